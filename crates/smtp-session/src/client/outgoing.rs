//! What a client transaction is given, what it asks of its driver, and what it leaves.

use std::time::Duration;

use bytes::Bytes;
use mail::{BodyType, Fate, Recipient, Reply, ReversePath, Timestamp, Wishes};

/// A message to hand over, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Who is told of failure.
    pub sender: ReversePath,
    /// Who shall have it, never empty; an answer names one by its place here.
    pub recipients: Vec<Recipient>,
    /// Size of the content, for `SIZE=` and BDAT: the driver hands just as many octets.
    pub octets: u64,
    /// What the content's octets are.
    pub body_type: BodyType,
    /// Whether the next hop must offer SMTPUTF8.
    pub needs_smtputf8: bool,
    /// What the sender asked for; each goes on if the next hop offers it.
    pub wishes: Box<Wishes>,
    /// What the wall clock shows, for `BY=`.
    pub now: Timestamp,
}

impl Outgoing {
    /// Whether an address is beyond ASCII.
    pub(super) fn has_wide_address(&self) -> bool {
        let is_wide = |recipient: &Recipient| !recipient.address.is_ascii();
        let sender = self.sender.address();
        sender.is_some_and(|address| !address.is_ascii()) || self.recipients.iter().any(is_wide)
    }
}

/// How long to wait for the next hop, by phase (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the reply to MAIL, and to RSET.
    pub mail: Duration,
    /// For each reply to RCPT.
    pub rcpt: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For the socket to take a block of content.
    pub block: Duration,
    /// For the reply to the final dot.
    pub dot: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        Self {
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            dot: minutes(10),
        }
    }
}

/// What the driver does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes.
    Send(Bytes),
    /// Hand the next piece of content by [`body`](super::Transaction::body), or say that there is none by
    /// [`body_ended`](super::Transaction::body_ended). Asked again until then.
    NeedBody,
    /// The transaction is over. The last step.
    Done(End),
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// One answer for each recipient of [`Outgoing::recipients`], in its order.
    pub recipients: Vec<Answer>,
    /// What the connection is good for.
    pub connection: After,
    /// Places of the recipients that were too many for this transaction (RFC 5321 §4.5.3.1.10, RFC 9422): send them at
    /// once in another one. Their answers say deferred. Never all of the recipients, so this comes to an end.
    pub retry_rest: Vec<usize>,
    /// The connection was closed, or closing (421), before MAIL had an answer: on a reused connection this says nothing
    /// of the message, so try at once on another.
    pub was_dead_before_first_reply: bool,
    /// All of the content was given out, and the next hop may have it: sent at once again, it may arrive twice.
    pub was_content_sent: bool,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it means.
    pub fate: Fate,
    /// The reply that decided it.
    pub reply: Reply,
    /// Whether the next hop said it; if not, the words are ours.
    pub is_remote: bool,
}

/// What to do with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    /// It is ready for another MAIL.
    Reuse,
    /// Close it.
    Close,
}
