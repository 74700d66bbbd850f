//! What operators ask of the queue, and what they are told.

use std::fmt;
use std::sync::Arc;

use channel::Sender;
use mail::{Address, Destination, Envelope, MessageId, ReversePath, Timestamp};
use schedule::State;
use spool::RecipientState;
use tokio::sync::oneshot;

use crate::party::Party;

/// Which messages are meant: all conditions that are set must hold; none set means every message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these messages, if any are named.
    pub ids: Vec<MessageId>,
    /// Only where this is the destination, in its printed form: `connector` or `connector/domain`.
    pub destination: Option<Box<str>>,
    /// Only destinations of this outbound connector.
    pub connector: Option<Box<str>>,
    /// Only what stands so.
    pub state: Option<State>,
}

/// What only the spool knows of the messages to be listed; all conditions that are set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    /// Only messages from these.
    pub sender: Option<Party>,
    /// Only where one of these still waits.
    pub recipient: Option<Party>,
}

/// One look at a part of the queue, for those whom the schedule does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whom to look for.
    pub parties: Parties,
    /// Where an earlier look ended: messages up to this one are left out.
    pub after: Option<MessageId>,
}

/// Ids that a line of the log names; it counts the others.
const IDS_LOGGED_MAX: usize = 20;

impl Selection {
    /// The ids as the log says them; none if every message is meant.
    pub(crate) fn ids_words(&self) -> Option<String> {
        if self.ids.is_empty() {
            return None;
        }
        let ids: Vec<_> = self.ids.iter().take(IDS_LOGGED_MAX).map(MessageId::to_string).collect();
        Some(ids.join(" "))
    }
}

/// One message at one destination, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The message.
    pub id: MessageId,
    /// Where to.
    pub destination: Destination,
    /// How it stands there.
    pub state: State,
    /// Whether it rests because its sender wants it to go out later (RFC 4865).
    pub is_held: bool,
    /// When it was received.
    pub received_at: Timestamp,
    /// Tries so far.
    pub tries: u16,
    /// When it is tried next; none if it may go now or is under way.
    pub next_try_at: Option<Timestamp>,
    /// Its size in octets; none if the spool could not be asked.
    pub octets: Option<u64>,
    /// Its sender; none if the spool could not be asked.
    pub sender: Option<ReversePath>,
    /// Recipients that wait at this destination; none if the spool could not be asked.
    pub recipients: Option<u32>,
    /// The last reply in words.
    pub last_reply: Option<Box<str>>,
}

/// A part of the queue, oldest message first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The lines, at most as many as asked for.
    pub lines: Vec<Line>,
    /// How many fit the selection in all, whomever they are from or for.
    pub found: usize,
    /// How many of them were looked at for their parties.
    pub looked_at: usize,
    /// Where a further look goes on; none if there is nothing behind.
    pub next: Option<MessageId>,
}

/// One message in full.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The message.
    pub id: MessageId,
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// When it was received.
    pub received_at: Timestamp,
    /// Its size in octets.
    pub octets: u64,
    /// One per recipient, in the envelope's order.
    pub recipients: Vec<ShownRecipient>,
}

/// One recipient of a message.
#[derive(Clone, Debug)]
pub struct ShownRecipient {
    /// The address.
    pub address: Address,
    /// What is written about it in the spool.
    pub written: RecipientState,
    /// Where it goes; none if no connector takes it.
    pub destination: Option<Destination>,
    /// How it stands there; none if it is settled.
    pub state: Option<State>,
    /// What its destination rests for, if it rests.
    pub waits_for: Option<Box<str>>,
    /// Whether it rests because the sender wants the message to go out later (RFC 4865).
    pub is_held: bool,
}

/// How many are tried now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Messages at a destination that are.
    pub retried: usize,
    /// Those that are not, as they are held until an operator names them.
    pub held: usize,
}

/// How many were cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Messages at a destination that are taken out of the queue.
    pub cancelled: usize,
    /// Those that are being tried right now: what that try does not deliver is cancelled after it.
    pub after_this_try: usize,
}

/// The queue in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages.
    pub messages: usize,
    /// Messages at a destination that may go now.
    pub ready: usize,
    /// Messages at a destination that rest.
    pub resting: usize,
    /// Messages at a destination that are being tried or settled.
    pub in_flight: usize,
    /// When the oldest message was received.
    pub oldest_at: Option<Timestamp>,
    /// How many destinations have mail.
    pub destinations_total: usize,
    /// The destinations with most mail, most first, at most as many as asked for.
    pub destinations: Vec<DestinationLine>,
    /// Whether the scan of the spool at the start is still going on, so that there may be more.
    pub is_recovering: bool,
    /// The connectors with limits, by name.
    pub limits: Vec<LimitLine>,
}

/// How much a connector with limits has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitLine {
    /// Its name.
    pub connector: Box<str>,
    /// Messages sent since 00:00 UTC; counted only if there is a daily limit.
    pub sent_today: u64,
    /// How many it may send in a day.
    pub daily_max: Option<u64>,
    /// Until when it takes no more, if it does not now.
    pub full_until: Option<Timestamp>,
    /// Whether its mail goes another way for now.
    pub is_spilling: bool,
}

/// One destination in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationLine {
    /// The destination.
    pub destination: Destination,
    /// Messages that may go now, or once its rest is over.
    pub ready: usize,
    /// Messages that rest.
    pub resting: usize,
    /// Messages that are being tried or settled.
    pub in_flight: usize,
    /// When its rest is over, if nobody could be connected to.
    pub rests_until: Option<Timestamp>,
    /// Failures to connect in a row.
    pub connect_failures: u16,
    /// What the last of them said.
    pub last_failure: Option<Box<str>>,
}

/// A question for the queue's task; each is answered once, or dropped when the queue stops.
#[derive(Debug)]
pub enum Request {
    /// Messages that fit, oldest first.
    List {
        /// Which.
        selection: Selection,
        /// At most so many.
        limit: usize,
        /// Who is looked for; boxed, as it is rare.
        look: Option<Box<Look>>,
        /// Takes the answer.
        reply: oneshot::Sender<Listing>,
    },
    /// One message; none if the spool has it no more.
    Show {
        /// Which.
        id: MessageId,
        /// Takes the answer.
        reply: oneshot::Sender<Option<Shown>>,
    },
    /// Ends the rests of messages and of their destinations: they are tried now.
    Retry {
        /// Which.
        selection: Selection,
        /// Takes how many are tried now.
        reply: oneshot::Sender<Retried>,
    },
    /// Takes messages out of the queue; the sender is not told, the log is.
    Cancel {
        /// Which.
        selection: Selection,
        /// Takes how many.
        reply: oneshot::Sender<Cancelled>,
    },
    /// The queue in figures.
    Summary {
        /// At most so many destinations.
        limit: usize,
        /// Takes the answer.
        reply: oneshot::Sender<Summary>,
    },
}

/// The queue has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue has stopped")]
pub struct Gone;

/// Asks the queue's task and waits for the answer. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    requests: Sender<Request>,
}

impl Handle {
    /// A handle that asks through `requests`.
    pub const fn new(requests: Sender<Request>) -> Self {
        Self { requests }
    }

    /// Messages that fit `selection`, oldest first, at most `limit`.
    pub async fn list(&self, selection: Selection, limit: usize) -> Result<Listing, Gone> {
        self.ask(|reply| Request::List { selection, limit, look: None, reply }).await
    }

    /// Of the `limit` messages that fit `selection` and come first behind `look.after`, those with the parties that are
    /// looked for. All of what a message has at several destinations belongs to one look.
    pub async fn look(
        &self,
        selection: Selection,
        look: Look,
        limit: usize,
    ) -> Result<Listing, Gone> {
        let look = Some(Box::new(look));
        self.ask(|reply| Request::List { selection, limit, look, reply }).await
    }

    /// One message; none if the spool has it no more.
    pub async fn show(&self, id: MessageId) -> Result<Option<Shown>, Gone> {
        self.ask(|reply| Request::Show { id, reply }).await
    }

    /// Ends the rests of what fits `selection`, but for what is held until an operator names it.
    pub async fn retry(&self, selection: Selection) -> Result<Retried, Gone> {
        self.ask(|reply| Request::Retry { selection, reply }).await
    }

    /// Takes what fits `selection` out of the queue.
    pub async fn cancel(&self, selection: Selection) -> Result<Cancelled, Gone> {
        self.ask(|reply| Request::Cancel { selection, reply }).await
    }

    /// The queue in figures, with the `limit` destinations that have most mail.
    pub async fn summary(&self, limit: usize) -> Result<Summary, Gone> {
        self.ask(|reply| Request::Summary { limit, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Handle")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_ids_up_to_a_limit() {
        let id = MessageId::from_bytes([7; 16]);
        let words = |count| Selection { ids: vec![id; count], ..Selection::default() }.ids_words();
        assert_eq!(words(0), None);
        assert_eq!(words(2), Some(format!("{id} {id}")));
        let many = words(IDS_LOGGED_MAX + 1).unwrap();
        assert_eq!(many.split(' ').count(), IDS_LOGGED_MAX);
    }
}
