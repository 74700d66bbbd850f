//! A map that never grows past its bound: the entry that was not touched for longest goes.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Entries with the order in which they were last touched.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    entries: HashMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    touches: u64,
    entries_max: usize,
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        let (entries, order) = (HashMap::new(), BTreeMap::new());
        Self { entries, order, touches: 0, entries_max: entries_max.max(1) }
    }

    /// The entry of `key`, made by `fresh` if there is none; the last one that will be forgotten.
    pub(crate) fn touch(&mut self, key: K, fresh: impl FnOnce() -> V) -> &mut V {
        let known = self.entries.get(&key).map(|(at, _)| *at);
        match known {
            Some(at) => {
                self.order.remove(&at);
            }
            None if self.entries.len() >= self.entries_max => {
                if let Some((_, oldest)) = self.order.pop_first() {
                    self.entries.remove(&oldest);
                }
            }
            None => {}
        }
        self.touches += 1;
        let now = self.touches;
        self.order.insert(now, key.clone());
        let entry = self.entries.entry(key).or_insert_with(|| (now, fresh()));
        entry.0 = now;
        &mut entry.1
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, value) = self.entries.remove(key)?;
        self.order.remove(&at);
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|(_, value)| value)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_untouched_goes_first() {
        let mut table = Table::new(2);
        *table.touch("a", || 0) += 1;
        *table.touch("b", || 0) += 2;
        *table.touch("a", || 0) += 1;
        table.touch("c", || 3);
        assert_eq!((table.get("a"), table.get("b"), table.get("c")), (Some(&2), None, Some(&3)));
        assert_eq!((table.remove("a"), table.remove("a"), table.len()), (Some(2), None, 1));
        table.touch("d", || 4);
        assert_eq!(table.iter().count(), 2);
        table.clear();
        assert_eq!(table.len(), 0);
    }
}
