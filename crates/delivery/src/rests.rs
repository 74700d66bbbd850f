//! Hosts that just failed.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// More are not remembered; then some failed host is tried in its turn.
const HOSTS_MAX: usize = 4096;

/// Remembers for a short while who could not be talked to, or not in a certain way.
pub(crate) struct Rests<Who> {
    until: Mutex<HashMap<Who, Instant>>,
    rest: Duration,
}

impl<Who: Eq + Hash> Rests<Who> {
    pub(crate) fn new(rest: Duration) -> Self {
        Self { until: Mutex::default(), rest }
    }

    /// Remembers that `address` failed.
    pub(crate) fn failed(&self, address: Who, now: Instant) {
        let mut until = self.until.lock();
        if until.len() >= HOSTS_MAX {
            until.retain(|_, until| *until > now);
        }
        if until.len() < HOSTS_MAX {
            until.insert(address, now + self.rest);
        }
    }

    /// Forgets that `address` failed.
    pub(crate) fn worked(&self, address: &Who) {
        self.until.lock().remove(address);
    }

    /// Whether `address` failed a short while ago.
    pub(crate) fn is_resting(&self, address: &Who, now: Instant) -> bool {
        let mut until = self.until.lock();
        let is_resting = until.get(address).is_some_and(|until| *until > now);
        if !is_resting {
            until.remove(address);
        }
        is_resting
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
        rests.failed(address(1), clock.now());
        rests.failed(address(2), clock.now());
        rests.worked(&address(2));
        assert!(rests.is_resting(&address(1), clock.now()));
        assert!(!rests.is_resting(&address(2), clock.now()));
        clock.advance(Duration::from_secs(61));
        assert!(!rests.is_resting(&address(1), clock.now()));
        for port in 0..5000 {
            rests.failed(address(port), clock.now());
        }
        assert_eq!(rests.until.lock().len(), HOSTS_MAX);
    }
}
