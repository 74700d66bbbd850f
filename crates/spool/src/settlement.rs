//! Changes to what is written about a message.

use bytes::Bytes;
use mail::{Envelope, MessageId, Timestamp};

use crate::state::{RecipientState, Tally};
use crate::stored::Stored;

/// A change to what is written about a message.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The message.
    pub id: MessageId,
    /// New states, by the recipient's place in the envelope.
    pub recipients: Vec<(u32, RecipientState)>,
    /// Whether no recipient waits any more: the message is removed and its space reclaimed.
    pub is_finished: bool,
    /// A message to store in the same write, such as the DSN about this one.
    pub report: Option<Report>,
    /// What is counted with it.
    pub tally: Option<Box<Tally>>,
}

/// A message that the relay itself wrote.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its content.
    pub content: ReportContent,
    /// When it was written.
    pub received_at: Timestamp,
}

/// What a message that the relay itself wrote consists of.
#[derive(Clone, Debug)]
pub enum ReportContent {
    /// These octets, trace headers included.
    Written(Bytes),
    /// What another message consists of, octet for octet: it is a copy for others.
    Of(Box<Stored>),
}

impl From<Bytes> for ReportContent {
    fn from(octets: Bytes) -> Self {
        Self::Written(octets)
    }
}
