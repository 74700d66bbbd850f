//! The entries by message, oldest message first.

use std::collections::BTreeMap;
use std::mem::size_of;

use mail::MessageId;

use crate::entry::Record;
use crate::slab::Slab;

/// Keys in one leaf, at most.
const LEAF: usize = 128;

/// The first entry of each message, by id; ids sort by age.
///
/// A tree of leaves that hold nothing but the keys of entries, some four octets a message: the ids
/// stand in the entries. The name of a leaf is at most the first id in it. Ids that come in order fill
/// their leaves whole.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    leaves: BTreeMap<MessageId, Vec<u32>>,
    len: usize,
}

impl Messages {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The first entry of a message.
    pub(crate) fn get(&self, id: MessageId, entries: &Slab<Record>) -> Option<u32> {
        let (_, leaf) = self.leaves.range(..=id).next_back()?;
        leaf.get(place(leaf, id, entries).ok()?).copied()
    }

    /// The first entry of the message with the greatest id.
    pub(crate) fn last(&self) -> Option<u32> {
        self.leaves.values().next_back()?.last().copied()
    }

    /// Makes `key` the first entry of its message; returns what was it before.
    pub(crate) fn insert(&mut self, key: u32, entries: &Slab<Record>) -> Option<u32> {
        let id = entries[key].id();
        let name = self.leaves.range(..=id).next_back().or_else(|| self.leaves.first_key_value());
        let Some(name) = name.map(|(name, _)| *name) else {
            self.begin(id, key);
            return None;
        };
        let leaf = self.leaves.get_mut(&name)?;
        match place(leaf, id, entries) {
            Ok(at) => return leaf.get_mut(at).map(|it| std::mem::replace(it, key)),
            Err(at) if leaf.len() < LEAF => {
                leaf.insert(at, key);
                self.len = self.len.saturating_add(1);
                if id < name
                    && let Some(leaf) = self.leaves.remove(&name)
                {
                    self.leaves.insert(id, leaf);
                }
            }
            // Ids that come in order leave whole leaves behind them.
            Err(LEAF) => self.begin(id, key),
            // So do those that come in order before others, as at a recovery.
            Err(at) => {
                let upper = leaf.split_off(at.max(LEAF / 2));
                if let Some(first) = upper.first() {
                    self.leaves.insert(entries[*first].id(), upper);
                }
                return self.insert(key, entries);
            }
        }
        None
    }

    fn begin(&mut self, id: MessageId, key: u32) {
        self.leaves.insert(id, vec![key]);
        self.len = self.len.saturating_add(1);
    }

    /// Takes a message out; its entry must still be there.
    pub(crate) fn remove(&mut self, id: MessageId, entries: &Slab<Record>) {
        let Some((name, leaf)) = self.leaves.range_mut(..=id).next_back() else { return };
        let Ok(at) = place(leaf, id, entries) else { return };
        leaf.remove(at);
        self.len = self.len.saturating_sub(1);
        if leaf.is_empty() {
            let name = *name;
            self.leaves.remove(&name);
        } else if leaf.len() <= leaf.capacity() / 4 {
            leaf.shrink_to(leaf.len() * 2);
        }
    }

    /// The first entry of each message behind `after`; of all messages if none is given.
    pub(crate) fn behind<'a>(
        &'a self,
        after: Option<MessageId>,
        entries: &'a Slab<Record>,
    ) -> impl Iterator<Item = u32> {
        let name = after.and_then(|id| self.leaves.range(..=id).next_back());
        let (first, at) = match name.zip(after) {
            Some(((name, leaf), id)) => {
                let at = place(leaf, id, entries).map_or_else(|at| at, |at| at.saturating_add(1));
                (Some(*name), at)
            }
            None => (None, 0),
        };
        let leaves = match first {
            Some(name) => self.leaves.range(name..),
            None => self.leaves.range(..),
        };
        leaves.flat_map(|(_, leaf)| leaf).skip(at).copied()
    }

    /// Memory held, about: trees are taken at their fill after insertions at random.
    pub(crate) fn octets(&self) -> usize {
        let leaf = size_of::<(MessageId, Vec<u32>)>() * 3 / 2;
        self.leaves.values().map(|keys| leaf + keys.capacity() * size_of::<u32>()).sum()
    }
}

/// Where `id` stands in a leaf, or belongs.
fn place(leaf: &[u32], id: MessageId, entries: &Slab<Record>) -> Result<usize, usize> {
    leaf.binary_search_by(|key| entries[*key].id().cmp(&id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mail::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::entry::Made;

    fn id(number: u64) -> MessageId {
        MessageId::new(number, 5)
    }

    fn entry(entries: &mut Slab<Record>, number: u64) -> u32 {
        let received_at = Timestamp::from_millis(number);
        let made = Made {
            id: id(number),
            received_at,
            due: 0,
            deadline: 0,
            place: 0,
            tries: 0,
            is_exact: false,
            urgency: crate::entry::Urgency::Usual,
        };
        entries.insert(Record::new(&made)).unwrap()
    }

    #[test]
    fn messages_in_order_take_some_four_octets_each() {
        let (mut entries, mut messages) = (Slab::new(), Messages::default());
        for number in 0..100_000 {
            let key = entry(&mut entries, number);
            assert_eq!(messages.insert(key, &entries), None);
        }
        assert!(messages.octets() < 5 * 100_000, "{}", messages.octets());
        // Three of four go, as after a backlog: so does their memory.
        for number in (0..100_000).filter(|number| number % 4 != 0) {
            messages.remove(id(number), &entries);
        }
        assert_eq!(messages.len(), 25_000);
        assert!(messages.octets() < 12 * 25_000, "{}", messages.octets());
    }

    /// As a recovery does it: old messages come in order while new ones are there already.
    #[test]
    fn old_messages_behind_new_ones_find_their_place() {
        let (mut entries, mut messages) = (Slab::new(), Messages::default());
        for number in (10_000..10_100).chain(0..10_000) {
            let key = entry(&mut entries, number);
            messages.insert(key, &entries);
        }
        let all: Vec<_> = messages.behind(None, &entries).map(|key| entries[key].id()).collect();
        assert_eq!(all, (0..10_100).map(id).collect::<Vec<_>>());
        assert!(messages.octets() < 6 * 10_100, "{}", messages.octets());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// It says what a sorted set says.
        #[test]
        fn it_is_a_sorted_set(steps in prop::collection::vec((0..600_u64, 0..4_u8), 0..2000)) {
            let (mut entries, mut messages) = (Slab::new(), Messages::default());
            let keys: Vec<_> = (0..600).map(|number| entry(&mut entries, number)).collect();
            let mut model = BTreeSet::new();
            for (number, what) in steps {
                let key = keys[usize::try_from(number).unwrap()];
                if what == 0 {
                    messages.remove(id(number), &entries);
                    model.remove(&number);
                } else {
                    let before = messages.insert(key, &entries);
                    prop_assert_eq!(before.is_none(), model.insert(number));
                }
                let known = messages.get(id(number), &entries);
                prop_assert_eq!(known, model.contains(&number).then_some(key));
                let behind = messages.behind(Some(id(number)), &entries).next();
                let want = model.range(number + 1..).next();
                prop_assert_eq!(behind.map(|key| entries[key].id()), want.map(|it| id(*it)));
            }
            prop_assert_eq!(messages.len(), model.len());
            let last = messages.last().map(|key| entries[key].id());
            prop_assert_eq!(last, model.last().map(|it| id(*it)));
            let all: Vec<_> = messages.behind(None, &entries).map(|it| entries[it].id()).collect();
            prop_assert_eq!(all, model.into_iter().map(id).collect::<Vec<_>>());
        }
    }
}
