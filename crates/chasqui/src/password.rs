//! A password from standard input: asked for twice at a terminal, which does not show it, or read from a pipe.

use std::io::{self, BufRead, IsTerminal, StdinLock, Write};

use anyhow::{Context, anyhow};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::failure::{Failure, Result};

/// The password, without the end of its line.
pub(crate) fn read() -> Result<String> {
    let mut stdin = io::stdin().lock();
    if !stdin.is_terminal() {
        return line(&mut stdin);
    }
    let terminal = Silent::new().context("the terminal cannot be kept from showing a password")?;
    let password = terminal.ask(&mut stdin, "password: ")?;
    let again = terminal.ask(&mut stdin, "once more: ")?;
    if password != again {
        return Err(Failure {
            hint: Some("start again".to_owned()),
            ..Failure::from(anyhow!("the two passwords are not the same"))
        });
    }
    Ok(password)
}

fn line(stdin: &mut StdinLock<'_>) -> Result<String> {
    let mut line = String::new();
    stdin.read_line(&mut line).context("standard input cannot be read")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent {
    before: Termios,
}

impl Silent {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        // Ctrl-C would end the program and leave the terminal silent: it ends the line instead.
        modes.special_codes[SpecialCodeIndex::VEOL] = before.special_codes[SpecialCodeIndex::VINTR];
        tcsetattr(io::stdin(), OptionalActions::Flush, &modes)?;
        Ok(Self { before })
    }

    /// Shows `prompt` on standard error, where it does not mix with the answer, and reads a line.
    fn ask(&self, stdin: &mut StdinLock<'_>, prompt: &str) -> Result<String> {
        let interrupt = self.before.special_codes[SpecialCodeIndex::VINTR];
        let mut stderr = io::stderr();
        stderr.write_all(prompt.as_bytes()).context("the terminal cannot be written to")?;
        let mut octets = Vec::new();
        // A line of a terminal ends by the interrupt too, and has at most 4095 octets.
        loop {
            let chunk = stdin.fill_buf().context("the terminal cannot be read")?;
            let (count, last) = (chunk.len(), chunk.last().copied());
            octets.extend_from_slice(chunk);
            stdin.consume(count);
            if last.is_none_or(|octet| octet == b'\n' || octet == interrupt) {
                break;
            }
        }
        stderr.write_all(b"\n").context("the terminal cannot be written to")?;
        match octets.strip_suffix(b"\n") {
            Some(password) => Ok(String::from_utf8(password.to_vec())
                .map_err(|_| anyhow!("the password is not UTF-8"))?),
            None => Err(anyhow!("no password was given").into()),
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing any more.
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.before).ok();
    }
}
