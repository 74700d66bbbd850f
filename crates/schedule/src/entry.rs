//! One message at one destination, and lists of them that cost no memory of their own.

use mail::{MessageId, Timestamp};

use crate::slab::{NONE, Slab};

/// One message at one destination. Times are milliseconds since the schedule was made.
#[derive(Debug)]
pub(crate) struct Record {
    /// The id, as octets: a number of 128 bits would waste room for its alignment.
    id: [u8; 16],
    pub(crate) received_at: Timestamp,
    /// When the next try is due, if it rests or will rest.
    pub(crate) due: u64,
    /// From when on a try that leaves it waiting is the last.
    pub(crate) expires: u64,
    pub(crate) place: u32,
    /// The next entry of the same message.
    pub(crate) sibling: u32,
    /// Neighbours in the list that it stands in.
    before: u32,
    behind: u32,
    pub(crate) tries: u16,
    pub(crate) at: At,
    pub(crate) is_cancelled: bool,
}

/// Where an entry stands; each stands in exactly one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// In the list of its destination.
    Ready,
    /// In the timers.
    Resting,
    /// With delivery; it holds a slot of its destination.
    InFlight,
    /// In the list of those that leave without a further try.
    Leaving,
    /// With the spool, which writes down what became of it. Then it rests until it is due.
    Settling,
    /// As `Settling`, but it rests as long as its destination does.
    SettlingReady,
}

/// What a new entry is made of.
pub(crate) struct Made {
    pub(crate) id: MessageId,
    pub(crate) received_at: Timestamp,
    pub(crate) due: u64,
    pub(crate) expires: u64,
    pub(crate) place: u32,
    pub(crate) tries: u16,
}

impl Record {
    pub(crate) const fn new(made: &Made) -> Self {
        Self {
            id: made.id.to_bytes(),
            received_at: made.received_at,
            due: made.due,
            expires: made.expires,
            place: made.place,
            sibling: NONE,
            before: NONE,
            behind: NONE,
            tries: made.tries,
            at: At::Resting,
            is_cancelled: false,
        }
    }

    pub(crate) const fn id(&self) -> MessageId {
        MessageId::from_bytes(self.id)
    }
}

/// A list through the entries themselves: first in, first out, and any may leave.
#[derive(Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl List {
    pub(crate) const fn new() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// The entry behind `key`.
    pub(crate) fn behind(key: u32, entries: &Slab<Record>) -> Option<u32> {
        Some(entries[key].behind).filter(|key| *key != NONE)
    }

    pub(crate) fn push_back(&mut self, key: u32, entries: &mut Slab<Record>) {
        (entries[key].before, entries[key].behind) = (self.last, NONE);
        if self.last == NONE {
            self.first = key;
        } else {
            entries[self.last].behind = key;
        }
        self.last = key;
        self.len = self.len.saturating_add(1);
    }

    pub(crate) fn push_front(&mut self, key: u32, entries: &mut Slab<Record>) {
        (entries[key].before, entries[key].behind) = (NONE, self.first);
        if self.first == NONE {
            self.last = key;
        } else {
            entries[self.first].before = key;
        }
        self.first = key;
        self.len = self.len.saturating_add(1);
    }

    /// Takes `key` out; it must be in this list.
    pub(crate) fn remove(&mut self, key: u32, entries: &mut Slab<Record>) {
        let (before, behind) = (entries[key].before, entries[key].behind);
        if before == NONE {
            self.first = behind;
        } else {
            entries[before].behind = behind;
        }
        if behind == NONE {
            self.last = before;
        } else {
            entries[behind].before = before;
        }
        (entries[key].before, entries[key].behind) = (NONE, NONE);
        self.len = self.len.saturating_sub(1);
    }

    pub(crate) fn pop_front(&mut self, entries: &mut Slab<Record>) -> Option<u32> {
        let key = self.first()?;
        self.remove(key, entries);
        Some(key)
    }

    #[cfg(test)]
    pub(crate) fn keys(&self, entries: &Slab<Record>) -> Vec<u32> {
        std::iter::successors(self.first(), |key| Self::behind(*key, entries)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_entry_may_leave_a_list() {
        let mut entries = Slab::new();
        let made = |tries| Made {
            id: MessageId::new(1, 1),
            received_at: Timestamp::from_millis(1),
            due: 0,
            expires: 0,
            place: 0,
            tries,
        };
        let keys: Vec<_> =
            (0..5).map(|tries| entries.insert(Record::new(&made(tries))).unwrap()).collect();
        let mut list = List::new();
        for key in &keys {
            list.push_back(*key, &mut entries);
        }
        list.remove(keys[2], &mut entries);
        list.remove(keys[4], &mut entries);
        list.push_front(keys[4], &mut entries);
        assert_eq!(list.keys(&entries), [keys[4], keys[0], keys[1], keys[3]]);
        list.remove(keys[4], &mut entries);
        assert_eq!(list.pop_front(&mut entries), Some(keys[0]));
        assert_eq!(list.pop_front(&mut entries), Some(keys[1]));
        assert_eq!(list.pop_front(&mut entries), Some(keys[3]));
        assert_eq!((list.pop_front(&mut entries), list.len()), (None, 0));
    }

    /// The bound is stated in the crate that holds millions of these.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Record>() <= 64, "{}", size_of::<Record>());
    }
}
