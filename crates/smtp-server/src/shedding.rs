//! Which limits turn clients away at present, for whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use units::Clock;

use crate::metrics::Limit;

/// So long a limit counts as one that refuses.
const RECENT: Duration = Duration::from_mins(1);

/// When each limit of a listener last turned somebody away.
#[derive(Debug)]
pub(crate) struct Shedding {
    epoch: Instant,
    limits: [(AtomicU64, AtomicU64); Limit::ALL.len()],
}

impl Shedding {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, limits: Default::default() }
    }

    /// `limit` turns somebody away `now`.
    pub(crate) fn note(&self, limit: Limit, now: Instant) {
        let pairs = Limit::ALL.iter().zip(&self.limits);
        for (_, (count, last)) in pairs.filter(|((of, _), _)| *of == limit) {
            let millis = now.saturating_duration_since(self.epoch).as_millis();
            // Counts and times are only looked at by people.
            last.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A limit that turned clients away of late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shed {
    /// The listener.
    pub listener: String,
    /// The limit, as in the metric `load_shed_total`.
    pub cause: &'static str,
    /// How often since the start.
    pub count: u64,
    /// How long ago the last time was.
    pub ago: Duration,
}

/// Tells which limits turn clients away. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits {
    listeners: Arc<[(String, Arc<Shedding>)]>,
    clock: Clock,
}

impl Limits {
    pub(crate) fn new(listeners: Vec<(String, Arc<Shedding>)>, clock: Clock) -> Self {
        Self { listeners: listeners.into(), clock }
    }

    /// Those that did within the last minute.
    pub fn refusing(&self) -> Vec<Shed> {
        let now = self.clock.now();
        let all = self.listeners.iter().flat_map(|(listener, shedding)| {
            let since = now.saturating_duration_since(shedding.epoch);
            let pairs = Limit::ALL.iter().zip(&shedding.limits);
            pairs.filter_map(move |((_, cause), (count, last))| {
                let count = count.load(Ordering::Relaxed);
                let last = Duration::from_millis(last.load(Ordering::Relaxed));
                let ago = since.saturating_sub(last);
                let is_recent = count > 0 && ago < RECENT;
                is_recent.then(|| Shed { listener: listener.clone(), cause, count, ago })
            })
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refuses_now_is_told_and_forgotten_after_a_minute() {
        let clock = Clock::manual(0);
        let shedding = Arc::new(Shedding::new(clock.now()));
        let limits = Limits::new(vec![("smtp".to_owned(), Arc::clone(&shedding))], clock.clone());
        assert_eq!(limits.refusing(), []);
        shedding.note(Limit::Spool, clock.now());
        shedding.note(Limit::Spool, clock.now());
        clock.advance(Duration::from_secs(59));
        let want = Shed {
            listener: "smtp".to_owned(),
            cause: "spool",
            count: 2,
            ago: Duration::from_secs(59),
        };
        assert_eq!(limits.refusing(), [want]);
        clock.advance(Duration::from_secs(1));
        assert_eq!(limits.refusing(), []);
    }
}
