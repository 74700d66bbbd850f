//! Waiting for a condition with a limit instead of for a time.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for anything that works, on a busy machine with two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);
const STEP: Duration = Duration::from_millis(10);

/// The first `Some` that `look` gives, or a failed test after [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    match within(PATIENCE, look) {
        Some(found) => found,
        None => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Waits until `look` says yes, or fails the test.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut look: impl FnMut() -> bool) {
    wait_for(what, || look().then_some(()));
}

/// The first `Some` that `look` gives before `limit` is over.
pub(crate) fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(STEP);
    }
}
