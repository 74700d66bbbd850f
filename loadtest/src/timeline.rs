//! Counters that are read while a run goes on.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What came about so far: progress bars and the timeline read it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    accepted: AtomicU64,
    refused: AtomicU64,
    delivered: AtomicU64,
}

impl Watch {
    /// Messages that got their 250.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Messages that the relay did not take.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Recipients that have their message; copies do not count twice.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(crate) fn add_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_delivered(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Relaxed);
    }
}

/// The counters at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sample {
    /// Milliseconds since the start of the load.
    pub(crate) at_ms: u64,
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
}
