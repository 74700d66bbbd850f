//! Values with small keys that are used again.

use std::mem::size_of;
use std::ops::{Index, IndexMut};

/// The key of nothing: the end of a list.
pub(crate) const NONE: u32 = u32::MAX;

/// A vector with holes; a key is the place of a value and stays until the value is removed.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The first of the holes, which are linked.
    hole: u32,
    used: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Hole(u32),
    Used(T),
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), hole: NONE, used: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    /// Puts `value` in and returns its key; none if all keys (some four thousand million) are used.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        let key = if self.hole == NONE {
            let key = u32::try_from(self.slots.len()).ok().filter(|key| *key != NONE)?;
            self.slots.push(Slot::Used(value));
            key
        } else {
            let key = self.hole;
            let slot = self.slots.get_mut(index(key))?;
            if let Slot::Hole(next) = *slot {
                self.hole = next;
            }
            *slot = Slot::Used(value);
            key
        };
        self.used = self.used.saturating_add(1);
        Some(key)
    }

    /// Takes the value out; its key may be given to another.
    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let slot = self.slots.get_mut(index(key))?;
        if matches!(slot, Slot::Hole(_)) {
            return None;
        }
        let Slot::Used(value) = std::mem::replace(slot, Slot::Hole(self.hole)) else { return None };
        self.hole = key;
        self.used = self.used.saturating_sub(1);
        if self.used == 0 {
            // Nothing names a slot any more: give the memory of a past backlog back.
            *self = Self::new();
        }
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.slots).filter_map(|(key, slot)| match slot {
            Slot::Used(value) => Some((key, value)),
            Slot::Hole(_) => None,
        })
    }

    /// Memory held for values, used or not.
    pub(crate) const fn octets(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<T>>()
    }
}

fn index(key: u32) -> usize {
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
        match &self.slots[index(key)] {
            Slot::Used(value) => value,
            Slot::Hole(_) => panic!("stale key"),
        }
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[expect(clippy::indexing_slicing, clippy::panic, reason = "as for `index`")]
    fn index_mut(&mut self, key: u32) -> &mut T {
        match &mut self.slots[index(key)] {
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
        assert_eq!((slab.insert(70), slab.insert(30)), (Some(keys[7]), Some(keys[3])));
        assert_eq!((slab[keys[7]], slab[keys[3]], slab.len()), (70, 30, 10));
        for key in keys {
            slab.remove(key);
        }
        assert_eq!((slab.len(), slab.octets(), slab.iter().count()), (0, 0, 0));
    }
}
