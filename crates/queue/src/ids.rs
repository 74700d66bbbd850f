//! Ids of reports: what stands in their `Message-ID` and boundary.

use std::sync::atomic::{AtomicU64, Ordering};

use mail::{MessageId, Timestamp};

/// Makes ids that nobody outside can guess before they are used.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: u64,
    count: AtomicU64,
}

impl Ids {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self, now: Timestamp) -> MessageId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let (high, low) = (mix(self.seed ^ count), mix(self.seed.wrapping_add(count)));
        MessageId::new(now.as_millis(), (u128::from(high) << 64) | u128::from(low))
    }
}

/// Spreads small differences over all bits (the finish of `SplitMix64`).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
