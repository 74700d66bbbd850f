//! Destinations by name.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem::size_of;

use mail::Destination;

/// Parts of the table: each grows for itself, so that none holds the queue up when there are a million.
const SHARDS: usize = 64;
/// A part with more room than this, three quarters of it empty, gives room back.
const ROOM_MIN: usize = 64;

/// The key of each destination.
#[derive(Debug, Default)]
pub(crate) struct Destinations {
    /// Which part a destination belongs to; nobody outside can tell, so nobody can fill one alone.
    hasher: RandomState,
    /// None while there is no destination.
    shards: Vec<HashMap<Destination, u32>>,
    len: usize,
}

impl Destinations {
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, destination: &Destination) -> Option<u32> {
        self.shards.get(self.shard(destination))?.get(destination).copied()
    }

    /// Puts in a destination that is not there.
    pub(crate) fn insert(&mut self, destination: Destination, key: u32) {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, HashMap::new);
        }
        let shard = self.shard(&destination);
        if let Some(shard) = self.shards.get_mut(shard)
            && shard.insert(destination, key).is_none()
        {
            self.len = self.len.saturating_add(1);
        }
    }

    pub(crate) fn remove(&mut self, destination: &Destination) {
        let shard = self.shard(destination);
        let Some(shard) = self.shards.get_mut(shard) else { return };
        if shard.remove(destination).is_none() {
            return;
        }
        if shard.capacity() > ROOM_MIN && shard.len() < shard.capacity() / 4 {
            shard.shrink_to(shard.len() * 2);
        }
        self.len = self.len.saturating_sub(1);
        if self.len == 0 {
            self.shards = Vec::new();
        }
    }

    fn shard(&self, destination: &Destination) -> usize {
        usize::try_from(self.hasher.hash_one(destination)).unwrap_or_default() % SHARDS
    }

    /// Memory held, but for the names.
    pub(crate) fn octets(&self) -> usize {
        let names = size_of::<(Destination, u32)>() + 1;
        self.shards.iter().map(|shard| size_of_val(shard) + shard.capacity() * names * 8 / 7).sum()
    }
}

#[cfg(test)]
mod tests {
    use mail::Domain;

    use super::*;

    #[test]
    fn what_goes_leaves_no_memory() {
        let mut all = Destinations::default();
        let names: Vec<_> = (0..20_000)
            .map(|number| Domain::parse(&format!("d{number}.example")).unwrap())
            .map(|domain| Destination::exchangers("internet", domain))
            .collect();
        for (key, name) in (0..).zip(&names) {
            all.insert(name.clone(), key);
        }
        let full = all.octets();
        assert_eq!((all.len(), all.get(&names[77])), (20_000, Some(77)));
        for name in &names[100..] {
            all.remove(name);
        }
        assert!(all.octets() * 2 < full, "{} of {full}", all.octets());
        assert_eq!((all.len(), all.get(&names[77]), all.get(&names[177])), (100, Some(77), None));
        names[..100].iter().for_each(|name| all.remove(name));
        assert_eq!((all.len(), all.octets()), (0, 0));
    }
}
