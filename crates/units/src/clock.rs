//! The clock that services are handed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Says what time it is, so that no service asks the machine itself. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual {
        base: Instant,
        base_unix_millis: u64,
        passed_millis: Arc<AtomicU64>,
        stepped_millis: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock for tests that stands at `unix_millis` until it is advanced.
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing")]
    pub fn manual(unix_millis: u64) -> Self {
        Self(Source::Manual {
            base: Instant::now(),
            base_unix_millis: unix_millis,
            passed_millis: Arc::default(),
            stepped_millis: Arc::default(),
        })
    }

    /// Moves a manual clock and all its clones forward; the machine's clock cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { passed_millis, .. } = &self.0 {
            let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            passed_millis.fetch_add(millis, Ordering::Relaxed);
        }
    }

    /// Sets the wall-clock time of a manual clock and all its clones ahead, or back, as if somebody set the machine's.
    pub fn step(&self, millis: i64) {
        if let Source::Manual { stepped_millis, .. } = &self.0 {
            stepped_millis.fetch_add(millis, Ordering::Relaxed);
        }
    }

    /// The monotonic time: for waits and durations.
    #[expect(clippy::disallowed_methods, reason = "this is the place that asks")]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => Instant::now(),
            Source::Manual { base, passed_millis, .. } => {
                *base + Duration::from_millis(passed_millis.load(Ordering::Relaxed))
            }
        }
    }

    /// The wall-clock time in milliseconds since 1970-01-01 UTC: for headers, records and logs.
    #[expect(clippy::disallowed_methods, reason = "this is the place that asks")]
    pub fn unix_millis(&self) -> u64 {
        match &self.0 {
            Source::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            Source::Manual { base_unix_millis, passed_millis, stepped_millis, .. } => {
                let even = base_unix_millis + passed_millis.load(Ordering::Relaxed);
                even.saturating_add_signed(stepped_millis.load(Ordering::Relaxed))
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            Source::System => "system",
            Source::Manual { .. } => "manual",
        };
        write!(out, "Clock({name})")
    }
}
