//! Chance.

/// A number that differs each time: for jitter and ids, not for secrets.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
