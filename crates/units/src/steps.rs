//! Steps of the wall clock, as when somebody sets it.

use std::time::{Duration, Instant};

/// By how much the wall clock has gone ahead of the time that really passed.
///
/// Ages are measured from moments that the wall clock showed once. A step ahead makes all of them older than they are;
/// [`Self::since`] says by how much, so that nothing is given up for it.
#[derive(Clone, Debug, Default)]
pub struct ClockSteps {
    /// What both clocks showed last.
    seen: Option<(Instant, u64)>,
    /// Steps ahead, oldest first.
    ahead: Vec<Ahead>,
}

#[derive(Clone, Copy, Debug)]
struct Ahead {
    /// What the wall clock showed after it, in milliseconds since 1970-01-01 UTC.
    to_millis: u64,
    by_millis: u64,
}

/// A step of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockStep {
    /// So far ahead.
    Ahead(Duration),
    /// So far back.
    Back(Duration),
}

impl ClockSteps {
    /// Less is drift: it changes no decision about mail.
    pub const LEAST: Duration = Duration::from_hours(1);
    /// Of more than these the oldest are taken together.
    const STEPS_MAX: usize = 16;

    /// Compares both clocks with what they showed the last time; to be called now and then.
    pub fn look(&mut self, now: Instant, unix_millis: u64) -> Option<ClockStep> {
        let (seen_at, seen) = self.seen.replace((now, unix_millis))?;
        let due = seen.saturating_add(millis(now.saturating_duration_since(seen_at)));
        let (ahead, back) = (unix_millis.saturating_sub(due), due.saturating_sub(unix_millis));
        if ahead >= millis(Self::LEAST) {
            self.ahead.push(Ahead { to_millis: unix_millis, by_millis: ahead });
            self.shorten();
            Some(ClockStep::Ahead(Duration::from_millis(ahead)))
        } else if back >= millis(Self::LEAST) {
            self.take_back(back);
            Some(ClockStep::Back(Duration::from_millis(back)))
        } else {
            None
        }
    }

    /// By how much a moment at which the wall clock showed `unix_millis` seems older than it is.
    pub fn since(&self, unix_millis: u64) -> Duration {
        let later = self.ahead.iter().filter(|step| unix_millis < step.to_millis);
        Duration::from_millis(later.fold(0, |sum, step| step.by_millis.saturating_add(sum)))
    }

    /// A step back undoes steps ahead. One that undoes none makes nothing older, so it is passed over.
    fn take_back(&mut self, mut back: u64) {
        while let Some(step) = self.ahead.last_mut() {
            if step.by_millis > back {
                step.by_millis -= back;
                step.to_millis = step.to_millis.saturating_sub(back);
                return;
            }
            back -= step.by_millis;
            self.ahead.pop();
        }
    }

    fn shorten(&mut self) {
        if self.ahead.len() > Self::STEPS_MAX {
            let oldest = self.ahead.remove(0);
            if let Some(next) = self.ahead.first_mut() {
                next.by_millis = next.by_millis.saturating_add(oldest.by_millis);
            }
        }
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;

    const HOUR: Duration = Duration::from_hours(1);
    const HOUR_MILLIS: i64 = 3_600_000;

    fn look(steps: &mut ClockSteps, clock: &Clock) -> Option<ClockStep> {
        steps.look(clock.now(), clock.unix_millis())
    }

    #[test]
    fn what_was_noted_before_a_step_ahead_seems_older() {
        let (clock, mut steps) = (Clock::manual(1_000_000_000), ClockSteps::default());
        assert_eq!(look(&mut steps, &clock), None);
        clock.advance(100 * HOUR);
        assert_eq!(look(&mut steps, &clock), None, "time passes");
        let before = clock.unix_millis();
        clock.step(HOUR_MILLIS - 1);
        assert_eq!(look(&mut steps, &clock), None, "drift");
        clock.step(120 * HOUR_MILLIS);
        clock.advance(HOUR);
        assert_eq!(look(&mut steps, &clock), Some(ClockStep::Ahead(120 * HOUR)));
        let after = clock.unix_millis();
        assert_eq!([before, after].map(|at| steps.since(at)), [120 * HOUR, Duration::ZERO]);
        clock.step(2 * HOUR_MILLIS);
        assert_eq!(look(&mut steps, &clock), Some(ClockStep::Ahead(2 * HOUR)));
        assert_eq!([before, after].map(|at| steps.since(at)), [122 * HOUR, 2 * HOUR]);
    }

    /// Whatever is undone by whatever, nothing that is noted afterwards seems older than it is.
    #[test]
    fn a_step_back_undoes_steps_ahead() {
        let (clock, mut steps) = (Clock::manual(1_000_000_000), ClockSteps::default());
        look(&mut steps, &clock);
        let before = clock.unix_millis();
        for (hours, want) in [(5, 5), (10, 15), (-3, 12), (-7, 5), (-20, 0), (30, 30)] {
            clock.step(hours * HOUR_MILLIS);
            assert!(look(&mut steps, &clock).is_some());
            assert_eq!(steps.since(before), want * HOUR, "{hours}");
            assert_eq!(steps.since(clock.unix_millis()), Duration::ZERO);
        }
    }

    #[test]
    fn many_steps_are_taken_together() {
        let (clock, mut steps) = (Clock::manual(1_000_000_000), ClockSteps::default());
        look(&mut steps, &clock);
        let before = clock.unix_millis();
        for _ in 0..40 {
            clock.step(HOUR_MILLIS);
            look(&mut steps, &clock);
        }
        assert_eq!((steps.ahead.len(), steps.since(before)), (ClockSteps::STEPS_MAX, 40 * HOUR));
    }
}
