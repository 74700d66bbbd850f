//! New message ids.

use std::sync::atomic::{AtomicU64, Ordering};

use mail::MessageId;
use units::Clock;

/// Makes ids that sort behind all that were in the spool when it was opened, even if the clock was
/// set back: the scan at start knows by the id which messages are its own.
#[derive(Debug)]
pub(crate) struct Ids {
    clock: Clock,
    floor_millis: u64,
    seed: u64,
    count: AtomicU64,
}

impl Ids {
    /// `last` is the greatest id in the spool.
    pub(crate) fn new(clock: Clock, seed: u64, last: Option<MessageId>) -> Self {
        let floor_millis = last.map_or(0, |id| id.unix_millis() + 1);
        Self { clock, floor_millis, seed, count: AtomicU64::new(0) }
    }

    /// An id that was not given before.
    pub(crate) fn next(&self) -> MessageId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let millis = self.clock.unix_millis().max(self.floor_millis);
        // The count keeps the order within a millisecond; the rest tells runs apart, and spreads ids
        // over the shards of the cache.
        let rest = mix(self.seed ^ mix(count)) & ((1 << REST_BITS) - 1);
        MessageId::new(millis, (u128::from(count) << REST_BITS) | u128::from(rest))
    }
}

/// Of the 80 bits behind the time: these are mixed, the others count.
const REST_BITS: u32 = 56;

/// Spreads small differences over all bits (the finish of `SplitMix64`).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_sort_behind_what_was_there() {
        let last = MessageId::new(5000, u128::MAX);
        let ids = Ids::new(Clock::manual(1000), 7, Some(last));
        let made: Vec<_> = (0..10_000).map(|_| ids.next()).collect();
        assert!(made.is_sorted_by(|one, two| one < two));
        assert!(made[0] > last);
        let clock = Clock::manual(9000);
        assert_eq!(Ids::new(clock, 7, Some(last)).next().unix_millis(), 9000);
    }
}
