//! A message handed to an application's own program.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mail::Peer;
use rustix::process::{Pid, Signal, kill_process_group};
use spool::ReadError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::answer::OCTETS_MAX;
use super::handed::{Handed, Said, Seen, Verdict};
use super::line::last_line;
use crate::leaving::Pieces;
use crate::words::{OUR_SIDE, later};

/// Exit codes that say something of the message, not of the program: `EX_DATAERR`, `EX_NOUSER`, `EX_NOPERM` (sysexits.h).
const FINAL: [i32; 3] = [65, 67, 77];
/// How long its output is read on once it has ended.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(1);
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

    /// Runs it; none if it took longer than `wait`, and was killed with all that it had begun.
    ///
    /// # Errors
    /// When the content cannot be read; it was killed before it could take a part for the whole.
    pub(super) async fn run(
        &self,
        handed: &Handed<'_>,
        (followers_max, wait): (u32, Duration),
    ) -> Result<Option<Said>, ReadError> {
        let said = |verdict| Some(Said { verdict, peer: None });
        let failed = |error: std::io::Error| {
            let words = format!("the program {} cannot be run: {error}", self.name);
            said(Verdict::Unreachable(later(OUR_SIDE, words)))
        };
        let arguments: Vec<_> = self.arguments.iter().map(|it| filled(it, handed)).collect();
        let is_option = |(filled, written): (&String, &String)| {
            filled.starts_with('-') && !written.starts_with('-')
        };
        if arguments.iter().zip(&self.arguments).any(is_option) {
            let words =
                "an address that begins with a hyphen would be taken for an option of the program";
            return Ok(said(Verdict::never("not tried", words)));
        }
        let mut child = match self.start(&arguments) {
            Ok(child) => child,
            Err(error) => return Ok(failed(error)),
        };
        let mut group = Group::of(&child);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut answer, mut words) = (Vec::new(), Vec::new());
        let talk = async {
            tokio::join!(
                feed(handed.content.pieces(), stdin, &group),
                // One octet more shows that there was more.
                beginning(stdout, OCTETS_MAX + 1, &mut answer),
                beginning(stderr, WORDS_OCTETS_MAX, &mut words),
            )
            .0
        };
        let ended = {
            let mut talk = pin!(talk);
            let whole = async {
                let mut fed = None;
                let status = tokio::select! {
                    status = child.wait() => status,
                    done = &mut talk => {
                        fed = Some(done);
                        child.wait().await
                    }
                };
                // What it left behind may hold its output open; what it wrote itself is there.
                let rest = tokio::time::timeout(LAST_WORDS_WAIT, &mut talk);
                let fed = match fed {
                    Some(fed) => fed,
                    None => rest.await.unwrap_or(Ok(())),
                };
                (fed, status)
            };
            let ended = tokio::time::timeout(wait, whole).await;
            if !matches!(ended, Ok((Ok(()), Ok(_)))) {
                // While its input is still open: it must not take a part for the whole.
                group.kill();
            }
            ended
        };
        group.forget();
        let Ok((fed, status)) = ended else { return Ok(None) };
        fed?;
        Ok(match status {
            Ok(status) => Some(self.said(status, (&answer, &words), followers_max)),
            Err(error) => failed(error),
        })
    }

    fn start(&self, arguments: &[String]) -> std::io::Result<Child> {
        Command::new(&*self.name)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What it begins can be killed with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
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
            code if FINAL.contains(&code) => {
                return Said { verdict: Verdict::never(&how, &words), peer: None };
            }
            // As from nobody: what is wrong with the program is the operator's business.
            _ => return Said { verdict: Verdict::later(&how, &words), peer: None },
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
    group: &Group,
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
                // Before its input ends.
                group.kill();
                return Err(error);
            }
        }
    }
}

/// Keeps the beginning of what is written; the rest is read and forgotten, so that nobody waits for it.
async fn beginning(from: Option<impl AsyncRead + Unpin>, octets_max: usize, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 4096];
    while let Ok(octets @ 1..) = from.read(&mut buffer).await {
        let room = octets_max.saturating_sub(kept.len());
        kept.extend_from_slice(buffer.get(..octets.min(room)).unwrap_or_default());
    }
}

/// A program and what it has begun; killed when dropped, unless it is forgotten.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn kill(&self) {
        if let Some(group) = self.0 {
            // An error means that none of them is left.
            let _is_there = kill_process_group(group, Signal::KILL).is_ok();
        }
    }

    /// It has ended; what it left behind is its own business.
    const fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
