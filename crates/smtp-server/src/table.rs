//! What is remembered of clients, in a table that never grows.

use std::hash::{BuildHasher, Hash, RandomState};

/// What the table holds of a client.
pub(crate) trait Remembered: Copy + Default {
    /// From when on it says nothing that a new one would not.
    fn is_void_at(&self) -> u64;
}

/// Clients that share a place in the table.
const WAYS: usize = 8;

/// Values by key. With no room left, the value that is void first gives way.
///
/// A key is known by 64 bits of a hash with a secret, so nobody can choose whose place to take.
#[derive(Debug)]
pub(crate) struct Table<V> {
    sets: Vec<[Entry<V>; WAYS]>,
    hasher: RandomState,
    forgotten: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry<V> {
    /// 0 where nothing is.
    print: u64,
    value: V,
}

impl<V: Remembered> Table<V> {
    /// Room for `entries_max`, rounded up to whole sets.
    pub(crate) fn new(entries_max: usize) -> Self {
        let sets = vec![[Entry::default(); WAYS]; entries_max.div_ceil(WAYS).max(1)];
        Self { sets, hasher: RandomState::new(), forgotten: 0 }
    }

    /// What is remembered under `key`.
    pub(crate) fn find(&self, key: &impl Hash) -> Option<&V> {
        let print = self.print(key);
        let entry = self.sets.get(self.set(print))?.iter().find(|entry| entry.print == print)?;
        Some(&entry.value)
    }

    /// Changes what is remembered under `key`, from a new value if there is none.
    pub(crate) fn change<T>(
        &mut self,
        key: &impl Hash,
        now: u64,
        with: impl FnOnce(&mut V) -> T,
    ) -> T {
        self.change_print(self.print(key), now, with)
    }

    /// As [`Self::change`], for a caller that makes its own prints, which are not 0.
    pub(crate) fn change_print<T>(
        &mut self,
        print: u64,
        now: u64,
        with: impl FnOnce(&mut V) -> T,
    ) -> T {
        let set = self.set(print);
        let Some(set) = self.sets.get_mut(set) else { return with(&mut V::default()) };
        let found = set.iter().position(|entry| entry.print == print);
        let place = found.unwrap_or_else(|| {
            let void_at =
                |entry: &Entry<V>| if entry.print == 0 { 0 } else { entry.value.is_void_at() };
            let first = set.iter().enumerate().min_by_key(|(_, entry)| void_at(entry));
            first.map_or(0, |(place, _)| place)
        });
        let Some(entry) = set.get_mut(place) else { return with(&mut V::default()) };
        if found.is_none() {
            let is_lost = entry.print != 0 && entry.value.is_void_at() > now;
            self.forgotten = self.forgotten.saturating_add(u64::from(is_lost));
            *entry = Entry { print, value: V::default() };
        }
        with(&mut entry.value)
    }

    /// How many values had to give way although they said something.
    #[cfg(test)]
    pub(crate) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// All that is remembered, by its print.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, V)> {
        let entries = self.sets.iter().flatten();
        entries.filter(|entry| entry.print != 0).map(|entry| (entry.print, entry.value))
    }

    fn print(&self, key: &impl Hash) -> u64 {
        self.hasher.hash_one(key).max(1)
    }

    /// The low bits choose the set; all of them tell its keys apart.
    fn set(&self, print: u64) -> usize {
        let sets = u64::try_from(self.sets.len()).unwrap_or(1).max(1);
        usize::try_from(print % sets).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, Default)]
    struct Until(u64);

    impl Remembered for Until {
        fn is_void_at(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_flood_of_keys_takes_no_memory_and_leaves_what_lasts() {
        let mut table = Table::<Until>::new(64);
        table.change(&"banned", 0, |value| value.0 = u64::MAX);
        let sets = table.sets.len();
        for key in 0..1_000_000_u32 {
            table.change(&key, 0, |value| value.0 = 10);
        }
        assert_eq!((table.sets.len(), table.sets.capacity()), (sets, sets));
        assert_eq!(table.find(&"banned").unwrap().0, u64::MAX);
        assert!(table.forgotten() > 900_000);
    }

    #[test]
    fn what_is_void_gives_way_first_and_is_no_loss() {
        let mut table = Table::<Until>::new(1);
        for key in 0..8_u64 {
            table.change(&key, 0, |value| value.0 = 10 + key);
        }
        assert_eq!(table.forgotten(), 0);
        table.change(&100_u64, 11, |value| value.0 = 50);
        assert_eq!(table.forgotten(), 0);
        assert!(table.find(&0_u64).is_none() && table.find(&7_u64).is_some());
        table.change(&101_u64, 11, |value| value.0 = 50);
        table.change(&102_u64, 11, |value| value.0 = 50);
        assert_eq!(table.forgotten(), 1, "the third was still good for a while");
    }
}
