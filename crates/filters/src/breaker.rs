//! Lets a filter rest that keeps failing, so that it costs nothing.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Counts failures in a row; after too many it opens for a while, then lets one question through.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_max: u16,
    rest: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Works { failures: u16 },
    Rests { until: Instant },
}

impl Breaker {
    pub(crate) fn new(failures_max: u16, rest: Duration) -> Self {
        let failures_max = failures_max.max(1);
        Self { failures_max, rest, state: Mutex::new(State::Works { failures: 0 }) }
    }

    /// Whether the filter may be asked; of a rest that is over one asker hears yes, and the rest begins again for the
    /// others.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match *state {
            State::Works { .. } => true,
            State::Rests { until } if now < until => false,
            State::Rests { .. } => {
                *state = State::Rests { until: now + self.rest };
                true
            }
        }
    }

    /// Notes an answer.
    pub(crate) fn worked(&self) {
        *self.state.lock() = State::Works { failures: 0 };
    }

    /// Notes a failure.
    pub(crate) fn failed(&self, now: Instant) {
        let mut state = self.state.lock();
        let failures = match *state {
            State::Works { failures } => failures.saturating_add(1),
            State::Rests { .. } => self.failures_max,
        };
        *state = if failures >= self.failures_max {
            State::Rests { until: now + self.rest }
        } else {
            State::Works { failures }
        };
    }

    /// Whether it rests.
    pub(crate) fn rests(&self) -> bool {
        matches!(*self.state.lock(), State::Rests { .. })
    }
}

#[cfg(test)]
mod tests {
    use units::Clock;

    use super::*;

    #[test]
    fn a_dead_filter_is_asked_once_a_rest() {
        let clock = Clock::manual(0);
        let breaker = Breaker::new(2, Duration::from_secs(30));
        breaker.failed(clock.now());
        breaker.worked();
        breaker.failed(clock.now());
        assert!(breaker.lets_through(clock.now()), "two in a row are needed");
        breaker.failed(clock.now());
        assert!(!breaker.lets_through(clock.now()) && breaker.rests());
        clock.advance(Duration::from_secs(30));
        assert!(breaker.lets_through(clock.now()), "one tries");
        assert!(!breaker.lets_through(clock.now()), "the others wait for what it finds");
        breaker.failed(clock.now());
        clock.advance(Duration::from_secs(29));
        assert!(!breaker.lets_through(clock.now()));
        clock.advance(Duration::from_secs(1));
        assert!(breaker.lets_through(clock.now()));
        breaker.worked();
        assert!(breaker.lets_through(clock.now()) && breaker.lets_through(clock.now()));
    }
}
