//! How much memory content takes that somebody is shown.

use tokio::sync::Semaphore;

/// Content that a service keeps in memory at a time for those who are shown it, in octets.
pub const SHOWN_OCTETS_MAX: u64 = 256 << 20;

/// Room for that much: a permit an octet.
pub fn shown_room() -> Semaphore {
    Semaphore::new(usize::try_from(SHOWN_OCTETS_MAX).unwrap_or(Semaphore::MAX_PERMITS))
}
