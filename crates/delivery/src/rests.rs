//! Hosts that just failed.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// More are not remembered; then some failed host is tried in its turn.
const HOSTS_MAX: usize = 4096;

/// Remembers who could not be talked to, or not in a certain way, and keeps them resting for a short while.
pub(crate) struct Rests<Who> {
    /// Until it works again; the rest may be over.
    until: Mutex<HashMap<Who, Instant>>,
    rest: Duration,
}

/// Whether something is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was otherwise before, as far as is known.
    New,
    /// It was so before.
    Known,
}

impl<Who: Eq + Hash> Rests<Who> {
    pub(crate) fn new(rest: Duration) -> Self {
        Self { until: Mutex::default(), rest }
    }

    /// Remembers that `address` failed; says whether it had worked until now.
    pub(crate) fn failed(&self, address: Who, now: Instant) -> News {
        let mut until = self.until.lock();
        if until.len() >= HOSTS_MAX && !until.contains_key(&address) {
            until.retain(|_, until| *until > now);
            if until.len() >= HOSTS_MAX {
                return News::New;
            }
        }
        if until.insert(address, now + self.rest).is_none() { News::New } else { News::Known }
    }

    /// Forgets that `address` failed; says whether it had.
    pub(crate) fn worked(&self, address: &Who) -> News {
        if self.until.lock().remove(address).is_some() { News::New } else { News::Known }
    }

    /// Whether `address` failed a short while ago.
    pub(crate) fn is_resting(&self, address: &Who, now: Instant) -> bool {
        self.until.lock().get(address).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use units::Clock;

    use super::*;

    #[test]
    fn a_rest_ends_by_time_or_success_and_the_memory_is_bounded() {
        let (clock, rests) = (Clock::manual(0), Rests::new(Duration::from_mins(1)));
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        assert_eq!(rests.failed(address(1), clock.now()), News::New);
        assert_eq!(rests.failed(address(1), clock.now()), News::Known);
        assert_eq!(rests.failed(address(2), clock.now()), News::New);
        assert_eq!(rests.worked(&address(2)), News::New);
        assert_eq!(rests.worked(&address(2)), News::Known);
        assert!(rests.is_resting(&address(1), clock.now()));
        assert!(!rests.is_resting(&address(2), clock.now()));
        clock.advance(Duration::from_secs(61));
        assert!(!rests.is_resting(&address(1), clock.now()));
        assert_eq!(rests.failed(address(1), clock.now()), News::Known, "it failed all the time");
        for port in 0..5000 {
            rests.failed(address(port), clock.now());
        }
        assert_eq!(rests.until.lock().len(), HOSTS_MAX);
    }
}
