//! What an application is told of a message besides its content, and what it said.

use std::sync::Arc;

use mail::{Address, EnhancedStatus, MessageId, Peer, Reply, ReversePath, ThreadName};

use super::answer::Answer;
use crate::leaving::Leaving;
use crate::words::{OUR_SIDE, later, never};

/// The application said that it does not want the message (RFC 3463 §3.3).
const REFUSED: EnhancedStatus = EnhancedStatus::new(5, 3, 0);
const TAKEN: EnhancedStatus = EnhancedStatus::new(2, 0, 0);

/// A message as an application gets it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handed<'a> {
    pub(crate) message: MessageId,
    pub(crate) thread: Option<&'a ThreadName>,
    pub(crate) sender: &'a ReversePath,
    pub(crate) recipient: &'a Address,
    /// Why it goes to no follower, if a program wrote it.
    pub(crate) automatic: Option<&'static str>,
    /// Whether it must not go in clear text (RFC 8689).
    pub(crate) requires_tls: bool,
    pub(crate) tries: u16,
    pub(crate) content: Leaving<'a>,
}

impl Handed<'_> {
    /// What is told, by name.
    pub(super) fn facts(&self) -> [(&'static str, String); 6] {
        let sender = self.sender.address().map_or("<>", Address::as_str);
        [
            ("message", self.message.to_string()),
            ("thread", self.thread.map(ThreadName::to_string).unwrap_or_default()),
            ("sender", sender.to_owned()),
            ("recipient", self.recipient.as_str().to_owned()),
            ("automatic", self.automatic.unwrap_or_default().to_owned()),
            ("tries", self.tries.to_string()),
        ]
    }
}

/// What became of a message.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) verdict: Verdict,
    /// Who said it; none if nobody did.
    pub(crate) peer: Option<Arc<Peer>>,
}

/// What it means.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It was taken; what is wrong with the answer, if it cannot be understood.
    Taken(Reply, Result<Answer, String>),
    /// Not now.
    Later(Reply),
    /// Never.
    Never(Reply),
    /// Nobody was there: nothing else gets through now either.
    Unreachable(Reply),
}

impl Verdict {
    /// What was taken, with what was answered.
    pub(super) fn taken(how: &str, answer: &[u8], followers_max: u32) -> Self {
        let words = format!("taken by the application ({how})");
        Self::Taken(Reply::new(250, Some(TAKEN), words), Answer::read(answer, followers_max))
    }

    /// What is to be tried again; why, is the operator's business.
    pub(super) fn later(how: &str, words: &str) -> Self {
        Self::Later(later(OUR_SIDE, said("did not take it", how, words)))
    }

    /// What goes back to its sender.
    pub(super) fn never(how: &str, words: &str) -> Self {
        Self::Never(never(554, REFUSED, said("refused it", how, words)))
    }
}

fn said(what: &str, how: &str, words: &str) -> String {
    match words {
        "" => format!("the application {what} ({how})"),
        words => format!("the application {what} ({how}): {words}"),
    }
}

/// What a look at an application came to, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is there.
    Ready(String),
    /// Somebody is there; whether it is the application is open.
    Odd(String),
    /// It is not there, or does not want us.
    Unable(String),
}
