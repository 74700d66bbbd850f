//! A message handed to an application's own program.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use mail::Peer;
use spool::ReadError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::answer::OCTETS_MAX;
use super::handed::{Handed, Said, Seen, Verdict, last_line};
use crate::leaving::Pieces;
use crate::words::{OUR_SIDE, later};

/// Exit codes that say something of the message, not of the program: `EX_DATAERR`, `EX_NOUSER`, `EX_NOPERM` (sysexits.h).
const FINAL: [i32; 3] = [65, 67, 77];
/// What is kept of what a program complains of.
const WORDS_OCTETS_MAX: usize = 16 << 10;

/// A program and its arguments.
#[derive(Debug)]
pub(super) struct Program {
    name: Box<str>,
    arguments: Vec<String>,
}

impl Program {
    pub(super) fn new(name: &str, arguments: &[String]) -> Self {
        Self { name: name.into(), arguments: arguments.to_vec() }
    }

    pub(super) const fn name(&self) -> &str {
        &self.name
    }

    /// Looks whether it can be run.
    pub(super) async fn look(&self) -> Seen {
        match tokio::fs::metadata(&*self.name).await {
            Ok(facts) if facts.is_file() && facts.permissions().mode() & 0o111 != 0 => {
                Seen::Ready("the program is there".to_owned())
            }
            Ok(_) => Seen::Unable("is no file that can be run".to_owned()),
            Err(error) => Seen::Unable(error.to_string()),
        }
    }

    /// Runs it, killed once nobody waits for it any more.
    ///
    /// # Errors
    /// When the content cannot be read; then it may have had a part of it.
    pub(super) async fn run(
        &self,
        handed: &Handed<'_>,
        followers_max: u32,
    ) -> Result<Said, ReadError> {
        let failed = |error: std::io::Error| {
            let words = format!("the program {} cannot be run: {error}", self.name);
            Said { verdict: Verdict::Unreachable(later(OUR_SIDE, words)), peer: None }
        };
        let arguments: Vec<_> = self.arguments.iter().map(|it| filled(it, handed)).collect();
        let is_option = |(filled, written): (&String, &String)| {
            filled.starts_with('-') && !written.starts_with('-')
        };
        if arguments.iter().zip(&self.arguments).any(is_option) {
            let words =
                "an address that begins with a hyphen would be taken for an option of the program";
            return Ok(Said { verdict: Verdict::never("not tried", words), peer: None });
        }
        let child = Command::new(&*self.name)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return Ok(failed(error)),
        };
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (fed, answer, words) = tokio::join!(
            feed(handed.content.pieces(), stdin, &mut child),
            // One octet more shows that there was more.
            beginning(stdout, OCTETS_MAX + 1),
            beginning(stderr, WORDS_OCTETS_MAX),
        );
        fed?;
        let status = match child.wait().await {
            Ok(status) => status,
            Err(error) => return Ok(failed(error)),
        };
        Ok(self.said(status, (&answer, &words), followers_max))
    }

    fn said(
        &self,
        status: ExitStatus,
        (answer, words): (&[u8], &[u8]),
        followers_max: u32,
    ) -> Said {
        let words = last_line(words);
        let (how, code) = match status.code() {
            Some(code) => (format!("exit code {code}"), code),
            None => ("ended by a signal".to_owned(), -1),
        };
        let verdict = match code {
            0 => {
                // Others write for people.
                let is_json = answer.trim_ascii_start().starts_with(b"{");
                Verdict::taken(&how, if is_json { answer } else { &[] }, followers_max)
            }
            code if FINAL.contains(&code) => Verdict::never(&how, &words),
            _ => Verdict::later(&how, &words),
        };
        let peer = Peer {
            // As it is nobody's business elsewhere.
            host: format!("{}{}", Peer::UNIX, self.name).into(),
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            tls: None,
            offers_dsn: false,
            is_final: true,
            offers_deliver_by: false,
        };
        Said { verdict, peer: Some(Arc::new(peer)) }
    }
}

/// An argument with what is known in place of the names in braces; what was put in is not looked at again.
fn filled(argument: &str, handed: &Handed<'_>) -> String {
    let facts = handed.facts();
    let (mut filled, mut rest) = (String::new(), argument);
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let fact = facts.iter().find_map(|(name, value)| {
            let behind = after.strip_prefix(name)?.strip_prefix('}')?;
            Some((value, behind))
        });
        let (put_in, behind) =
            fact.map_or(("{", after), |(value, behind)| (value.as_str(), behind));
        filled.push_str(put_in);
        rest = behind;
    }
    filled + rest
}

/// Writes the content; a program that wants no more of it has made up its mind.
async fn feed(
    mut pieces: Pieces,
    stdin: Option<ChildStdin>,
    child: &mut Child,
) -> Result<(), ReadError> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    loop {
        match pieces.next().await {
            Ok(Some(piece)) => {
                if stdin.write_all(&piece).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                // Before its input ends, so that it does not take a part for the whole.
                drop(child.start_kill());
                return Err(error);
            }
        }
    }
}

/// The beginning of what is written; the rest is read and forgotten, so that nobody waits for it.
async fn beginning(from: Option<impl AsyncRead + Unpin>, octets_max: usize) -> Vec<u8> {
    let Some(mut from) = from else { return Vec::new() };
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(octets @ 1..) = from.read(&mut buffer).await {
        let room = octets_max.saturating_sub(kept.len());
        kept.extend_from_slice(buffer.get(..octets.min(room)).unwrap_or_default());
    }
    kept
}
