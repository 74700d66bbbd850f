//! The values that pass from stage to stage.
//!
//! Reception → `Accepted` → queue → `Attempt` → delivery → `AttemptEnd` → queue.
//! Ids travel; content stays in the spool.

use std::sync::Arc;
use std::time::Duration;

use crate::destination::Destination;
use crate::envelope::Envelope;
use crate::id::MessageId;
use crate::outcome::Outcome;
use crate::time::Timestamp;

/// A message that the spool holds and the queue has not seen.
///
/// Dropped, it waits for the scan at the next start; it is never lost.
#[must_use = "dropped here, it waits for the next recovery scan"]
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its key in the spool.
    pub id: MessageId,
    /// Who it is for; the queue keeps only the destinations.
    pub envelope: Arc<Envelope>,
    /// When its 250 was due.
    pub received_at: Timestamp,
    /// Size of the content with trace headers, in octets.
    pub octets: u64,
}

/// One try at one message for one destination.
#[must_use = "an attempt holds a slot of its destination until its end is reported"]
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The message.
    pub id: MessageId,
    /// Where to. The recipients are those of the stored envelope that are not settled and whose
    /// route is this destination.
    pub destination: Destination,
    /// How many tries went before.
    pub tries: u16,
    /// When the message was received.
    pub received_at: Timestamp,
    /// By which ways recipients were told apart when it was handed out. If they have changed since, the attempt ends
    /// as [`Outcome::Elsewhere`](crate::Outcome::Elsewhere).
    pub ways: u64,
}

/// The return arrow: what became of an attempt, or of a part of it while the rest goes on ([`Outcome::Taken`]).
#[must_use = "unreported, the message waits for the next recovery scan"]
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// The attempt.
    pub attempt: Attempt,
    /// What became of it.
    pub outcome: Outcome,
    /// Whom the attempt still held, by their places in the envelope and in that order, where the outcome speaks of all of them and they are
    /// known.
    pub held: Option<Box<[u32]>>,
    /// Whether recipients of this attempt were reported as taken before.
    pub is_further: bool,
    /// Time spent to get a usable connection; zero if one was reused.
    pub connect_wait: Duration,
    /// Time from MAIL to the last reply.
    pub transmit_wait: Duration,
}
