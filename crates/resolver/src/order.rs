//! Order among equals.

use std::sync::atomic::{AtomicU64, Ordering};

/// A seeded generator that many tasks may use at once (`SplitMix64`); for spreading load, not for secrets.
#[derive(Debug)]
pub struct Dice(AtomicU64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    /// Begins at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number.
    pub fn roll(&self) -> u64 {
        let mut z = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Sorts by `rank`; those of equal rank come in any order (RFC 5321 §5.1: MUST randomize).
    pub(crate) fn sort_by_rank<T>(&self, items: &mut [T], rank: impl Fn(&T) -> u16) {
        items.sort_by_cached_key(|item| (rank(item), self.roll()));
    }
}

/// Takes from both lists by turns, beginning with `first`.
pub(crate) fn by_turns<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let (one, two) = (first.next(), second.next());
        if one.is_none() && two.is_none() {
            return all;
        }
        all.extend(one.into_iter().chain(two));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_of_three_equals_comes_first_about_as_often_and_rank_always_wins() {
        let dice = Dice::new(7);
        let mut firsts = BTreeMap::new();
        for _ in 0..3000 {
            let mut hosts = [("z", 20), ("a", 10), ("b", 10), ("c", 10)];
            dice.sort_by_rank(&mut hosts, |host| host.1);
            assert_eq!(hosts[3].0, "z");
            *firsts.entry(hosts[0].0).or_insert(0) += 1;
        }
        assert!(firsts.values().all(|count| (800..1200).contains(count)), "{firsts:?}");
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn lists_are_woven() {
        assert_eq!(by_turns(vec![1, 3], vec![2, 4, 5]), [1, 2, 3, 4, 5]);
        assert_eq!(by_turns(vec![], vec![2]), [2]);
    }
}
