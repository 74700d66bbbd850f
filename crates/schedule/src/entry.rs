//! One message at one destination.

use mail::{MessageId, Priority, Timestamp};

use crate::list::{Linked, Links};
use crate::slab::NONE;

/// One message at one destination. Times are milliseconds since the schedule was made.
#[derive(Debug)]
pub(crate) struct Record {
    /// The id, as octets: a number of 128 bits would waste room for its alignment.
    id: [u8; 16],
    pub(crate) received_at: Timestamp,
    /// When the next try is due, if it rests or will rest; when it was begun, if it is under way.
    pub(crate) due: u64,
    /// From when on whoever knows the message is to look what follows if it still waits.
    pub(crate) deadline: u64,
    pub(crate) place: u32,
    /// The next entry of the same message.
    pub(crate) sibling: u32,
    links: Links,
    pub(crate) tries: u16,
    /// What [`Ways::now`](crate::ways::Ways::now) was when it was last handed out.
    pub(crate) ways: u16,
    pub(crate) at: At,
    pub(crate) cancelled: Cancelled,
    /// Whether the deadline has a timer, rather than waiting for the end of a try.
    pub(crate) is_exact: bool,
    pub(crate) urgency: Urgency,
}

/// How urgent a message is among those that wait for the same destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgency {
    /// It goes before others.
    Urgent,
    /// As most are.
    #[default]
    Usual,
    /// It lets others go first.
    Patient,
}

impl Urgency {
    /// What follows from a priority: the three levels of the profile MIXER, -4, 0 and 4, stand for those around them
    /// (RFC 6710 §10).
    pub const fn of(priority: Option<Priority>) -> Self {
        match priority {
            Some(priority) if priority.value() > 0 => Self::Urgent,
            Some(priority) if priority.value() < 0 => Self::Patient,
            _ => Self::Usual,
        }
    }
}

/// Where an entry stands; each stands in exactly one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// In the list of its destination.
    Ready,
    /// In the timers, in order of time.
    Resting,
    /// In the timers, in the list of a later span.
    RestingLong,
    /// With delivery, in the list of what was begun lately; it holds a slot of its destination.
    InFlight,
    /// As `InFlight`, but for so long that it stands in no list any more.
    Lingering,
    /// In the list of those that leave without a further try.
    Leaving,
    /// With the spool, which writes down what became of it. Then it rests until it is due.
    Settling,
    /// As `Settling`, but it rests as long as its destination does.
    SettlingReady,
}

impl At {
    /// Whether it is with delivery, or the spool writes down what became of it.
    pub(crate) const fn is_in_other_hands(self) -> bool {
        matches!(self, Self::InFlight | Self::Lingering | Self::Settling | Self::SettlingReady)
    }

    /// Whether it is with delivery.
    pub(crate) const fn is_under_way(self) -> bool {
        matches!(self, Self::InFlight | Self::Lingering)
    }
}

/// Whether an operator took it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    No,
    /// While it waited: it leaves without a further try.
    Waiting,
    /// While it, or what may hold the same recipients, was tried or settled: it leaves afterwards, if anything of it still waits.
    UnderWay,
}

/// What a new entry is made of.
pub(crate) struct Made {
    pub(crate) id: MessageId,
    pub(crate) received_at: Timestamp,
    pub(crate) due: u64,
    pub(crate) deadline: u64,
    pub(crate) place: u32,
    pub(crate) tries: u16,
    pub(crate) is_exact: bool,
    pub(crate) urgency: Urgency,
}

impl Record {
    pub(crate) const fn new(made: &Made) -> Self {
        Self {
            id: made.id.to_bytes(),
            received_at: made.received_at,
            due: made.due,
            deadline: made.deadline,
            place: made.place,
            sibling: NONE,
            links: Links::NONE,
            tries: made.tries,
            ways: 0,
            at: At::Resting,
            cancelled: Cancelled::No,
            is_exact: made.is_exact,
            urgency: made.urgency,
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled != Cancelled::No
    }

    pub(crate) const fn id(&self) -> MessageId {
        MessageId::from_bytes(self.id)
    }
}

impl Linked for Record {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bound is stated in the crate that holds millions of these.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Record>() <= 64, "{}", size_of::<Record>());
    }
}
