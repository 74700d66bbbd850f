//! When a message goes out, when its sender hears that it is late, and when it is given up; pure.

use std::time::Duration;

use dsn::Event;
use mail::{ByMode, DeliverBy, Timestamp};
use spool::Times;

use crate::config::Config;

/// What the settings say of every message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) expire_after: Duration,
    /// None if nobody is told of delays who does not ask for it by a deadline.
    pub(crate) delay_report_after: Option<Duration>,
}

impl From<&Config> for Terms {
    fn from(config: &Config) -> Self {
        let delay = config.delay_report_after.as_duration();
        Self {
            expire_after: config.expire_after.as_duration(),
            delay_report_after: (delay > Duration::ZERO).then_some(delay),
        }
    }
}

impl Terms {
    /// The moments of one message.
    pub(crate) fn moments(&self, received_at: Timestamp, times: Times) -> Moments {
        let due_at = times.due_at(received_at);
        let expires_at = due_at.plus(self.expire_after);
        let usual = self.delay_report_after.map(|wait| due_at.plus(wait));
        let (late_at, ends_at) = match times.deliver_by {
            None => (usual, expires_at),
            Some(DeliverBy { at, mode: ByMode::Notify, .. }) => (Some(at), expires_at),
            Some(DeliverBy { at, mode: ByMode::Return, .. }) => (usual, expires_at.min(at)),
        };
        let Times { hold_until, deliver_by, .. } = times;
        Moments { due_at, hold_until, late_at, ends_at, deliver_by }
    }
}

/// Whether the sender is still to hear that a message is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Owed,
    /// It was told, or wants no word.
    NotOwed,
}

impl Word {
    /// Of two recipients that share an entry.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Owed { self } else { other }
    }
}

/// What happens to a message when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    /// It may go.
    pub(crate) due_at: Timestamp,
    /// Its sender wants it to go then, not before.
    pub(crate) hold_until: Option<Timestamp>,
    /// Its sender is told that it is late.
    pub(crate) late_at: Option<Timestamp>,
    /// It is given up.
    pub(crate) ends_at: Timestamp,
    pub(crate) deliver_by: Option<DeliverBy>,
}

impl Moments {
    /// The same so much later, for a message that seems so much older than it is.
    pub(crate) fn later_by(self, by: Duration) -> Self {
        Self {
            late_at: self.late_at.map(|at| at.plus(by)),
            ends_at: self.ends_at.plus(by),
            deliver_by: self.deliver_by.map(|it| DeliverBy { at: it.at.plus(by), ..it }),
            ..self
        }
    }

    /// Whether its sender is to know by now that it is late.
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        self.late_at.is_some_and(|at| at <= now)
    }

    /// Whether it is given up because its sender set a time, rather than for its age.
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        self.deliver_by.is_some_and(|by| by.mode == ByMode::Return && by.at <= now)
    }

    /// What its sender is told when it is late.
    pub(crate) fn late_event(&self) -> Event {
        let until = self.ends_at;
        match self.deliver_by {
            Some(DeliverBy { mode: ByMode::Notify, .. }) => Event::Missed { until },
            Some(DeliverBy { mode: ByMode::Return, .. }) | None => Event::Late { until },
        }
    }

    /// Whether its moments are to be kept to, try or no try (RFC 2852).
    pub(crate) const fn are_exact(&self) -> bool {
        self.deliver_by.is_some()
    }

    /// When it is to be looked at next.
    pub(crate) fn next(&self, word: Word) -> Timestamp {
        let late_at = self.late_at.filter(|_| word == Word::Owed);
        late_at.map_or(self.ends_at, |at| at.min(self.ends_at))
    }

    /// As [`Self::next`], of a message that the schedule is to take on and that is tried at `due_at` next. If its
    /// moment is over, it is looked at after that try: a restart is no reason to try it sooner.
    pub(crate) fn next_from(&self, word: Word, due_at: Timestamp, now: Timestamp) -> Timestamp {
        let next = self.next(word);
        if next > now || self.are_exact() { next } else { next.max(due_at).min(self.ends_at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn moments(hold_until: Option<u64>, deliver_by: Option<(u64, ByMode)>) -> Moments {
        let terms = Terms {
            expire_after: Duration::from_secs(100),
            delay_report_after: Some(Duration::from_secs(10)),
        };
        let by = deliver_by.map(|(by, mode)| DeliverBy { at: at(by), mode, is_traced: false });
        let times = Times { hold_until: hold_until.map(at), deliver_by: by, ..Times::default() };
        terms.moments(at(1000), times)
    }

    #[test]
    fn ages_count_from_the_release() {
        for (hold_until, due) in [(None, 1000), (Some(5000), 5000), (Some(900), 1000)] {
            let moments = moments(hold_until, None);
            let seen = (moments.due_at, moments.late_at, moments.ends_at);
            assert_eq!(seen, (at(due), Some(at(due + 10)), at(due + 100)));
            assert_eq!(
                (moments.next(Word::Owed), moments.next(Word::NotOwed)),
                (at(due + 10), at(due + 100))
            );
            assert!(!moments.are_exact() && !moments.is_overdue(at(9999)));
        }
    }

    #[test]
    fn the_sender_may_set_a_time() {
        let returned = moments(None, Some((1005, ByMode::Return)));
        assert_eq!((returned.next(Word::Owed), returned.next(Word::NotOwed)), (at(1005), at(1005)));
        assert!(returned.is_overdue(at(1005)) && !returned.is_overdue(at(1004)));
        let told = moments(None, Some((1050, ByMode::Notify)));
        assert_eq!((told.next(Word::Owed), told.next(Word::NotOwed)), (at(1050), at(1100)));
        assert!(!told.is_late(at(1049)) && told.is_late(at(1050)) && !told.is_overdue(at(1050)));
        let patient = moments(None, Some((9999, ByMode::Return)));
        assert_eq!((patient.next(Word::Owed), patient.ends_at), (at(1010), at(1100)));
    }

    /// After a restart a rest goes on; what asks for a moment gets it.
    #[test]
    fn a_moment_that_is_over_waits_for_the_next_try() {
        let usual = moments(None, None);
        assert_eq!(usual.next_from(Word::Owed, at(1060), at(1020)), at(1060));
        assert_eq!(usual.next_from(Word::Owed, at(1060), at(1005)), at(1010));
        assert_eq!(usual.next_from(Word::Owed, at(1160), at(1120)), at(1100));
        assert_eq!(usual.next_from(Word::NotOwed, at(1060), at(1020)), at(1100));
        let told = moments(None, Some((1010, ByMode::Notify)));
        assert_eq!(told.next_from(Word::Owed, at(1060), at(1020)), at(1010));
    }
}
