//! What the sender of a message is owed while an attempt at it goes on.

use std::time::{Duration, Instant};

/// Recipients that one report waits for at most.
const OWED_MAX: usize = 1000;
/// How long a report waits for more; looked at when the next recipient was taken.
const OWED_WAIT: Duration = Duration::from_mins(15);

/// Since when, and of how many recipients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owing {
    since: Instant,
    recipients: usize,
}

impl Owing {
    /// Nothing yet.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { since: now, recipients: 0 }
    }

    /// Adds so many recipients; says whether it is time to tell of them.
    pub(crate) fn add(&mut self, recipients: usize, now: Instant) -> bool {
        self.recipients = self.recipients.saturating_add(recipients);
        let is_long = now.saturating_duration_since(self.since) >= OWED_WAIT;
        is_long || self.recipients >= OWED_MAX
    }
}
