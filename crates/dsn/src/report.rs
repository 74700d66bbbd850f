//! What a report says.

use mail::{Address, Domain, EnhancedStatus, MessageId, Peer, Reply, Timestamp};

use crate::original::Original;

/// What a report says.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The relay that writes.
    pub hostname: &'a Domain,
    /// An id of its own, from which the report's `Message-ID` and boundary are made.
    pub id: MessageId,
    /// When it is written.
    pub written_at: Timestamp,
    /// The message that failed.
    pub message: MessageId,
    /// When that was received.
    pub received_at: Timestamp,
    /// Its recipients that failed, never empty.
    pub failures: &'a [Failure],
    /// What is known of its content.
    pub original: Original<'a>,
}

/// One recipient that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The recipient.
    pub recipient: Address,
    /// Why it was given up.
    pub cause: Cause,
    /// The reply that decided it; it may come from an enemy.
    pub reply: Reply,
    /// Who said so; none if the relay itself did.
    pub peer: Option<Peer>,
    /// Tries in all.
    pub tries: u16,
    /// When the last of them ended.
    pub last_try_at: Timestamp,
}

/// Why a recipient was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The answer was no for good.
    Refused,
    /// The answer was not now, until the message was too old.
    Expired,
}

impl Failure {
    /// The status for the report: class 5, or 4.4.7 for what was given up because of its age
    /// (RFC 3463 §3.5).
    pub fn status(&self) -> EnhancedStatus {
        let given = self.reply.status_or_default();
        match self.cause {
            Cause::Expired => EnhancedStatus::new(4, 4, 7),
            Cause::Refused if given.class() == 5 => given,
            Cause::Refused => EnhancedStatus::new(5, 0, 0),
        }
    }
}
