//! Values with small keys that are used again.

use std::collections::BTreeSet;
use std::mem::size_of;
use std::ops::{Index, IndexMut};

/// The key of nothing: the end of a list.
pub(crate) const NONE: u32 = u32::MAX;

/// Values in one chunk: memory grows and shrinks by it, and nothing is copied when it does.
const CHUNK: u32 = 1024;

/// Places for values, in chunks; a key is the place of a value and stays until the value is removed.
///
/// The lowest chunk with a free place is used first, so that after a backlog the upper ones empty and
/// their memory is given back.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with a free place.
    free: BTreeSet<u32>,
    used: usize,
}

#[derive(Debug)]
struct Chunk<T> {
    /// Empty while nothing of it is used.
    slots: Vec<Slot<T>>,
    /// The first of the holes, which are linked.
    hole: u32,
    used: u32,
}

#[derive(Debug)]
enum Slot<T> {
    Hole(u32),
    Used(T),
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), free: BTreeSet::new(), used: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    /// Puts `value` in and returns its key; none if all keys (some four thousand million) are used.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        let number = match self.free.first() {
            Some(number) => *number,
            None => u32::try_from(self.chunks.len()).ok().filter(|it| *it < NONE / CHUNK)?,
        };
        if wide(number) == self.chunks.len() {
            self.chunks.push(Chunk::new());
            self.free.insert(number);
        }
        let chunk = self.chunks.get_mut(wide(number))?;
        if number > 0 && chunk.slots.capacity() == 0 {
            // The first one grows as it is filled: while there is little to hold, it comes and goes often.
            chunk.slots.reserve_exact(wide(CHUNK));
        }
        let place = chunk.insert(value);
        if chunk.used == CHUNK {
            self.free.remove(&number);
        }
        self.used = self.used.saturating_add(1);
        Some(number.saturating_mul(CHUNK).saturating_add(place))
    }

    /// Takes the value out; its key may be given to another.
    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let number = key / CHUNK;
        let value = self.chunks.get_mut(wide(number))?.remove(key % CHUNK)?;
        self.used = self.used.saturating_sub(1);
        self.free.insert(number);
        while self.chunks.pop_if(|last| last.used == 0).is_some() {
            self.free.remove(&u32::try_from(self.chunks.len()).unwrap_or(NONE));
        }
        if self.chunks.is_empty() {
            self.chunks = Vec::new();
        }
        Some(value)
    }

    /// The value of a key that may be stale.
    pub(crate) fn find(&self, key: u32) -> Option<&T> {
        match self.chunks.get(wide(key / CHUNK))?.slots.get(wide(key % CHUNK))? {
            Slot::Used(value) => Some(value),
            Slot::Hole(_) => None,
        }
    }

    /// The values from the key `first` on, by key.
    pub(crate) fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, &T)> {
        let chunks = self.chunks.iter().enumerate().skip(wide(first / CHUNK));
        let all = chunks.flat_map(|(number, chunk)| {
            let start = u32::try_from(number).unwrap_or(NONE).saturating_mul(CHUNK);
            (start..).zip(&chunk.slots)
        });
        all.skip_while(move |(key, _)| *key < first).filter_map(|(key, slot)| match slot {
            Slot::Used(value) => Some((key, value)),
            Slot::Hole(_) => None,
        })
    }

    /// Memory held for values, used or not.
    pub(crate) fn octets(&self) -> usize {
        let slots: usize = self.chunks.iter().map(|chunk| chunk.slots.capacity()).sum();
        slots * size_of::<Slot<T>>() + self.chunks.capacity() * size_of::<Chunk<T>>()
    }
}

impl<T> Chunk<T> {
    const fn new() -> Self {
        Self { slots: Vec::new(), hole: NONE, used: 0 }
    }

    /// Puts `value` in; there must be room.
    fn insert(&mut self, value: T) -> u32 {
        self.used = self.used.saturating_add(1);
        if let Some(slot) = self.slots.get_mut(wide(self.hole)) {
            let place = self.hole;
            if let Slot::Hole(next) = *slot {
                self.hole = next;
            }
            *slot = Slot::Used(value);
            return place;
        }
        let place = u32::try_from(self.slots.len()).unwrap_or(NONE);
        self.slots.push(Slot::Used(value));
        place
    }

    fn remove(&mut self, place: u32) -> Option<T> {
        let slot = self.slots.get_mut(wide(place))?;
        if matches!(slot, Slot::Hole(_)) {
            return None;
        }
        let Slot::Used(value) = std::mem::replace(slot, Slot::Hole(self.hole)) else { return None };
        self.hole = place;
        self.used = self.used.saturating_sub(1);
        if self.used == 0 {
            *self = Self::new();
        }
        Some(value)
    }
}

fn wide(key: u32) -> usize {
    usize::try_from(key).unwrap_or(usize::MAX)
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[expect(
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a key is dropped with its value; a stale one is a fault of this crate, and the recovery of the spool is safer than to go on"
    )]
    fn index(&self, key: u32) -> &T {
        match &self.chunks[wide(key / CHUNK)].slots[wide(key % CHUNK)] {
            Slot::Used(value) => value,
            Slot::Hole(_) => panic!("stale key"),
        }
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[expect(clippy::indexing_slicing, clippy::panic, reason = "as for `index`")]
    fn index_mut(&mut self, key: u32) -> &mut T {
        match &mut self.chunks[wide(key / CHUNK)].slots[wide(key % CHUNK)] {
            Slot::Used(value) => value,
            Slot::Hole(_) => panic!("stale key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_used_again_and_an_empty_slab_holds_nothing() {
        let mut slab = Slab::new();
        let keys: Vec<_> = (0..10).map(|value| slab.insert(value).unwrap()).collect();
        assert_eq!((slab.remove(keys[3]), slab.remove(keys[3])), (Some(3), None));
        assert_eq!(slab.remove(keys[7]), Some(7));
        assert_eq!((slab.find(keys[7]), slab.find(10_000)), (None, None));
        assert_eq!((slab.insert(70), slab.insert(30)), (Some(keys[7]), Some(keys[3])));
        assert_eq!((slab[keys[7]], slab[keys[3]], slab.len()), (70, 30, 10));
        let from: Vec<_> = slab.iter_from(keys[7]).map(|(_, value)| *value).collect();
        assert_eq!(from, [70, 8, 9]);
        for key in keys {
            slab.remove(key);
        }
        assert_eq!((slab.len(), slab.octets(), slab.iter_from(0).count()), (0, 0, 0));
    }

    /// After a backlog of many chunks a few values hold the memory of a few chunks.
    #[test]
    fn memory_of_a_backlog_is_given_back_while_some_values_stay() {
        let mut slab = Slab::new();
        let keys: Vec<_> = (0..100 * CHUNK).map(|value| slab.insert(value).unwrap()).collect();
        assert!(keys.is_sorted(), "the lowest place is taken first");
        let full = slab.octets();
        for key in keys.iter().filter(|key| **key / CHUNK != 50) {
            slab.remove(*key);
        }
        assert!(slab.octets() * 20 < full, "{} of {full}", slab.octets());
        assert_eq!(slab.iter_from(0).count(), wide(CHUNK));
        assert_eq!(slab[50 * CHUNK], 50 * CHUNK);
        assert_eq!(slab.insert(7), Some(0), "lower chunks fill again");
        slab.remove(0);
        for key in 50 * CHUNK..51 * CHUNK {
            slab.remove(key);
        }
        assert_eq!((slab.octets(), slab.free.len()), (0, 0));
    }
}
