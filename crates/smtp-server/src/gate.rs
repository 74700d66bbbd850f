//! Keeps a flood of like events from becoming a flood of log lines.

use std::time::{Duration, Instant};

/// Lets one event through in a while and counts the others; the metrics count them all.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    opens_at: Option<Instant>,
    others: u64,
}

const REST: Duration = Duration::from_secs(5);

impl Gate {
    /// Whether the event that happens `now` is told; if so, how many were not told since the last one.
    pub(crate) fn open(&mut self, now: Instant) -> Option<u64> {
        if self.opens_at.is_some_and(|opens_at| now < opens_at) {
            self.others = self.others.saturating_add(1);
            return None;
        }
        self.opens_at = Some(now + REST);
        Some(std::mem::take(&mut self.others))
    }
}

#[cfg(test)]
mod tests {
    use units::Clock;

    use super::*;

    #[test]
    fn a_flood_is_one_line_with_a_count() {
        let (clock, mut gate) = (Clock::manual(0), Gate::default());
        assert_eq!(gate.open(clock.now()), Some(0));
        assert_eq!((gate.open(clock.now()), gate.open(clock.now())), (None, None));
        clock.advance(REST);
        assert_eq!((gate.open(clock.now()), gate.open(clock.now())), (Some(2), None));
    }
}
