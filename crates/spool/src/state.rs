//! What the spool knows of a message besides its envelope and content.

use mail::{DeliverBy, Fate, MessageId, Peer, Priority, Timestamp, Wishes};

/// Where one recipient stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// Still to be delivered.
    Waiting {
        /// Tries that went before.
        tries: u16,
        /// When the next one is due.
        next_try_at: Timestamp,
        /// The last reply in words, if there was one.
        last: Option<Box<str>>,
        /// Whether the sender was told that it is late.
        is_told: bool,
    },
    /// Done with: delivered or given up.
    Settled {
        /// What became of it.
        fate: Fate,
        /// When.
        at: Timestamp,
        /// The reply that decided it, in words.
        reply: Box<str>,
        /// What the sender is still to be told of it; none if there is nothing, or a report has been stored.
        owed: Option<Box<Owed>>,
    },
}

/// What a report will say of a recipient besides what is known of it anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Tries in all.
    pub tries: u16,
    /// Who said the reply. Its TLS and what it offers are not written down.
    pub peer: Option<Peer>,
}

impl RecipientState {
    /// The state of a recipient that nothing was written about: due at `due_at`.
    pub const fn fresh(due_at: Timestamp) -> Self {
        Self::Waiting { tries: 0, next_try_at: due_at, last: None, is_told: false }
    }

    /// Whether it still is to be delivered.
    pub const fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }

    /// Whether the sender is still to be told of it.
    pub const fn is_owed(&self) -> bool {
        matches!(self, Self::Settled { owed: Some(_), .. })
    }
}

/// One message as the scan at start finds it: what a schedule needs to know, and nothing that takes
/// memory of its own, as there may be millions.
#[derive(Clone, Copy, Debug)]
pub struct Recovered<'a> {
    /// Its key.
    pub id: MessageId,
    /// When its 250 was due.
    pub received_at: Timestamp,
    /// Size of the content.
    pub octets: u64,
    /// What its sender asked for that bears on when it goes out.
    pub times: Times,
    /// Recipients that still are to be delivered, in the envelope's order. None if the message's end was
    /// written and its removal was not.
    pub waiting: &'a [Waiting<'a>],
    /// Whether the sender is still to be told of recipients that are settled.
    pub owes: bool,
}

/// What a sender asked for that bears on when a message goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// It may go then, not before (RFC 4865).
    pub hold_until: Option<Timestamp>,
    /// It shall have been delivered then (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
    /// How urgent it is among others (RFC 6710).
    pub priority: Option<Priority>,
}

impl Times {
    /// When a message that was received at `received_at` may first go.
    pub fn due_at(&self, received_at: Timestamp) -> Timestamp {
        self.hold_until.map_or(received_at, |at| at.max(received_at))
    }
}

impl From<&Wishes> for Times {
    fn from(wishes: &Wishes) -> Self {
        let Wishes { hold_until, deliver_by, priority, .. } = *wishes;
        Self { hold_until, deliver_by, priority }
    }
}

/// A recipient that still is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// The address as it was spelled.
    pub recipient: &'a str,
    /// The outbound connector chosen for it, where its domain alone would give another.
    pub via: Option<&'a str>,
    /// Tries that went before.
    pub tries: u16,
    /// When the next one is due.
    pub next_try_at: Timestamp,
    /// Whether the sender was told that it is late.
    pub is_told: bool,
}

/// What the scan at start found in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Messages handed over.
    pub messages: u64,
    /// Their content in octets.
    pub octets: u64,
    /// Records set aside because they could not be read.
    pub corrupt: u64,
}

/// How many of something were counted on a day. Written twice, or in another order, the largest count of the last day
/// stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Of what.
    pub name: Box<str>,
    /// On which day, counted from the first of 1970.
    pub day: u64,
    /// How many by now.
    pub count: u64,
}

impl Tally {
    /// Takes over what `other` of the same name says, if it is of another day or says more. What is written of the
    /// day before comes late; of a day before that, the clock was set back.
    pub fn take(&mut self, other: &Self) {
        let is_late = other.day.checked_add(1) == Some(self.day);
        if !is_late && (other.day != self.day || other.count > self.count) {
            (self.day, self.count) = (other.day, other.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_of_yesterday_comes_too_late() {
        let tally = |day, count| Tally { name: "a".into(), day, count };
        let cases = [
            (tally(8, 3), tally(8, 2), tally(8, 3)),
            (tally(8, 3), tally(8, 4), tally(8, 4)),
            (tally(8, 3), tally(9, 1), tally(9, 1)),
            (tally(8, 3), tally(7, 9), tally(8, 3)),
            (tally(8, 3), tally(6, 2), tally(6, 2)),
        ];
        for (mut known, other, want) in cases {
            known.take(&other);
            assert_eq!(known, want, "{other:?}");
        }
    }
}
