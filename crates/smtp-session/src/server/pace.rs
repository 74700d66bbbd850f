//! How fast content comes.

use std::time::{Duration, Instant};

use crate::server::settings::Settings;

/// The octets of a content in the window of time under way. Windows follow each other from the content's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    since: Instant,
    octets: u64,
}

impl Pace {
    /// A window that begins now, with `octets` already there.
    pub(super) fn new(now: Instant, octets: usize) -> Self {
        Self { since: now, octets: count(octets) }
    }

    pub(super) fn take(&mut self, octets: usize) {
        self.octets = self.octets.saturating_add(count(octets));
    }

    /// When the window is over; none if any speed will do.
    pub(super) fn ends_at(&self, settings: &Settings) -> Option<Instant> {
        if settings.data_rate_min == 0 {
            return None;
        }
        self.since.checked_add(settings.data_wait_max)
    }

    /// Whether the window is over by `now` and too little came in it. If enough did, the next one begins.
    pub(super) fn is_too_slow(&mut self, settings: &Settings, now: Instant) -> bool {
        if self.ends_at(settings).is_none_or(|ends_at| now < ends_at) {
            return false;
        }
        let wanted = octets_in(settings.data_wait_max, settings.data_rate_min);
        let is_too_slow = self.octets < wanted;
        *self = Self::new(now, 0);
        is_too_slow
    }
}

fn octets_in(window: Duration, rate: u64) -> u64 {
    let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    rate.saturating_mul(millis) / 1000
}

fn count(octets: usize) -> u64 {
    u64::try_from(octets).unwrap_or(u64::MAX)
}
