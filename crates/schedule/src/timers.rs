//! What wakes when.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;

use crate::entry::{At, Record};
use crate::list::List;
use crate::slab::Slab;

/// A span lasts 2^12 milliseconds, some four seconds.
const SPAN_BITS: u32 = 12;

/// What wakes when, in milliseconds since the schedule was made.
///
/// What is due in a later span only stands in the list of that span, which costs no memory for each
/// entry; once a span has begun its entries are put in order.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Entries of spans that have begun, by time.
    near: BTreeSet<(u64, u32)>,
    /// Spans with entries, by their number.
    spans: BTreeMap<u64, Span>,
    /// New entries of spans before this one go to `near`.
    next_span: u64,
    /// Destinations that rest, by time.
    places: BTreeSet<(u64, u32)>,
    /// Entries with a deadline that is exact, by time; wherever they stand.
    deadlines: BTreeSet<(u64, u32)>,
}

#[derive(Debug)]
struct Span {
    entries: List,
    /// No entry is due before.
    due: u64,
}

/// What one step of the timers came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This entry is due; it is in the timers no more.
    Entry(u32),
    /// The rest of this destination is over.
    Place(u32),
    /// The deadline of this entry is over.
    Deadline(u32),
    /// An entry was put in order.
    Sorted,
}

impl Timers {
    /// Puts in an entry that is to wake when it is due.
    pub(crate) fn insert(&mut self, key: u32, entries: &mut Slab<Record>) {
        let due = entries[key].due;
        if due >> SPAN_BITS < self.next_span {
            entries[key].at = At::Resting;
            self.near.insert((due, key));
            return;
        }
        entries[key].at = At::RestingLong;
        let span = self.spans.entry(due >> SPAN_BITS);
        let span = span.or_insert_with(|| Span { entries: List::new(), due });
        span.due = span.due.min(due);
        span.entries.push_back(key, entries);
    }

    /// Takes out an entry that rests.
    pub(crate) fn remove(&mut self, key: u32, entries: &mut Slab<Record>) {
        let (due, at) = (entries[key].due, entries[key].at);
        if at == At::Resting {
            self.near.remove(&(due, key));
        } else if let Some(span) = self.spans.get_mut(&(due >> SPAN_BITS)) {
            span.entries.remove(key, entries);
            if span.entries.is_empty() {
                self.spans.remove(&(due >> SPAN_BITS));
            }
        }
    }

    pub(crate) fn insert_place(&mut self, until: u64, key: u32) {
        self.places.insert((until, key));
    }

    pub(crate) fn remove_place(&mut self, until: u64, key: u32) {
        self.places.remove(&(until, key));
    }

    pub(crate) fn insert_deadline(&mut self, at: u64, key: u32) {
        self.deadlines.insert((at, key));
    }

    /// Takes out the deadline of an entry, if it is not over.
    pub(crate) fn remove_deadline(&mut self, at: u64, key: u32) {
        self.deadlines.remove(&(at, key));
    }

    /// Does one step of what is to be done by `now`; none if there is nothing.
    pub(crate) fn step(&mut self, now: u64, entries: &mut Slab<Record>) -> Option<Step> {
        let is_due = |(due, _): &&(u64, u32)| *due <= now;
        if let Some((_, key)) = self.places.first().filter(is_due).copied() {
            self.places.pop_first();
            return Some(Step::Place(key));
        }
        if let Some((_, key)) = self.deadlines.first().filter(is_due).copied() {
            self.deadlines.pop_first();
            return Some(Step::Deadline(key));
        }
        if let Some((_, key)) = self.near.first().filter(is_due).copied() {
            self.near.pop_first();
            return Some(Step::Entry(key));
        }
        self.next_span = self.next_span.max((now >> SPAN_BITS).saturating_add(1));
        let mut span = self.spans.first_entry().filter(|it| *it.key() < self.next_span)?;
        let key = span.get_mut().entries.pop_front(entries);
        if span.get().entries.is_empty() {
            span.remove();
        }
        let key = key?;
        let due = entries[key].due;
        if due <= now {
            return Some(Step::Entry(key));
        }
        entries[key].at = At::Resting;
        self.near.insert((due, key));
        Some(Step::Sorted)
    }

    /// When the next step is to be done at the latest; now and then a little earlier than needed.
    pub(crate) fn next(&self) -> Option<u64> {
        let first = |all: &BTreeSet<(u64, u32)>| all.first().map(|(due, _)| *due);
        let span = self.spans.first_key_value().map(|(_, span)| span.due);
        [first(&self.near), first(&self.places), first(&self.deadlines), span]
            .into_iter()
            .flatten()
            .min()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let sets = [&self.near, &self.places, &self.deadlines];
        self.spans.is_empty() && sets.iter().all(|set| set.is_empty())
    }

    /// Memory held, about: trees are taken at their fill after insertions at random.
    pub(crate) fn octets(&self) -> usize {
        let timers = self.near.len() + self.places.len() + self.deadlines.len();
        let spans = self.spans.len() * size_of::<(u64, Span)>();
        (timers * size_of::<(u64, u32)>() + spans) * 3 / 2
    }

    #[cfg(test)]
    pub(crate) const fn deadlines(&self) -> &BTreeSet<(u64, u32)> {
        &self.deadlines
    }

    /// Entries in order, entries in lists of spans, and destinations, each with its time.
    #[cfg(test)]
    pub(crate) fn all(&self, entries: &Slab<Record>) -> [Vec<(u64, u32)>; 3] {
        let sorted = |all: &BTreeSet<_>| all.iter().copied().collect();
        let mut spans = Vec::new();
        for (number, span) in &self.spans {
            assert!(!span.entries.is_empty(), "an empty span stays");
            for key in span.entries.keys(entries) {
                let due = entries[key].due;
                assert!(due >= span.due && due >> SPAN_BITS == *number, "in the wrong span");
                spans.push((due, key));
            }
        }
        [sorted(&self.near), spans, sorted(&self.places)]
    }
}

#[cfg(test)]
mod tests {
    use mail::{MessageId, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::entry::Made;

    fn entry(entries: &mut Slab<Record>, due: u64) -> u32 {
        let made = Made {
            id: MessageId::new(1, 1),
            received_at: Timestamp::from_millis(1),
            due,
            deadline: u64::MAX,
            place: 0,
            tries: 0,
            is_exact: false,
            urgency: crate::entry::Urgency::Usual,
        };
        entries.insert(Record::new(&made)).unwrap()
    }

    fn woken(timers: &mut Timers, now: u64, entries: &mut Slab<Record>) -> Vec<u32> {
        let steps = std::iter::from_fn(|| timers.step(now, entries));
        let key = |step| if let Step::Entry(key) = step { Some(key) } else { None };
        steps.filter_map(key).collect()
    }

    #[test]
    fn a_span_is_put_in_order_before_anything_in_it_is_due() {
        let (mut entries, mut timers) = (Slab::new(), Timers::default());
        let dues = [10_300, 10_100, 10_200, 9_000, 50];
        let keys = dues.map(|due| entry(&mut entries, due));
        for key in keys {
            timers.insert(key, &mut entries);
        }
        assert_eq!(timers.next(), Some(50));
        assert_eq!(woken(&mut timers, 49, &mut entries), []);
        assert_eq!(woken(&mut timers, 50, &mut entries), [keys[4]]);
        assert_eq!(timers.next(), Some(9_000));
        assert_eq!(woken(&mut timers, 10_050, &mut entries), [keys[3]]);
        assert_eq!(timers.next(), Some(10_100));
        assert_eq!(woken(&mut timers, 20_000, &mut entries), [keys[1], keys[2], keys[0]]);
        assert!(timers.is_empty() && timers.octets() == 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Nothing wakes early or late, and what was taken out does not wake.
        #[test]
        fn each_wakes_in_its_time(
            dues in prop::collection::vec((0..40_000_u64, any::<bool>()), 0..100),
            pauses in prop::collection::vec(1..9_000_u64, 1..20),
        ) {
            let (mut entries, mut timers) = (Slab::new(), Timers::default());
            let mut left = Vec::new();
            for (due, stays) in dues {
                let key = entry(&mut entries, due);
                timers.insert(key, &mut entries);
                left.push((due, key, stays));
            }
            for (_, key, _) in left.iter().filter(|it| !it.2) {
                timers.remove(*key, &mut entries);
            }
            left.retain(|it| it.2);
            let mut now = 0;
            for pause in pauses.into_iter().chain([40_000]) {
                now += pause;
                let first = left.iter().map(|it| it.0).min();
                prop_assert!(timers.next() <= first || first.is_none());
                let mut woken = woken(&mut timers, now, &mut entries);
                let mut want: Vec<_> =
                    left.iter().filter(|it| it.0 <= now).map(|it| it.1).collect();
                left.retain(|it| it.0 > now);
                woken.sort_unstable();
                want.sort_unstable();
                prop_assert_eq!(woken, want);
                // What is taken out and put in again wakes all the same.
                if let Some((_, key, _)) = left.first() {
                    timers.remove(*key, &mut entries);
                    timers.insert(*key, &mut entries);
                }
            }
            prop_assert!(timers.is_empty());
        }
    }
}
