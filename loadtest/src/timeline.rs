//! Counters that are read while a run goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::JoinHandle;
use units::Clock;

/// What came about so far: progress bars and the timeline read it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    accepted: AtomicU64,
    refused: AtomicU64,
    delivered: AtomicU64,
    is_sent: AtomicBool,
}

impl Watch {
    /// Whether the source is done: no more will be accepted.
    pub(crate) fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Relaxed)
    }

    pub(crate) fn end_sending(&self) {
        self.is_sent.store(true, Ordering::Relaxed);
    }

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
    /// Messages.
    pub(crate) accepted: u64,
    /// Recipients.
    pub(crate) delivered: u64,
}

/// How far samples are apart.
const SAMPLE_WAIT: Duration = Duration::from_millis(100);

/// Reads the counters every 100 ms until it is dropped.
pub(crate) struct Sampler {
    counters: Counters,
    samples: Arc<Mutex<Vec<Sample>>>,
    reader: JoinHandle<()>,
}

impl Sampler {
    /// Begins to read; `started_at` is the time 0 of the samples.
    pub(crate) fn start(watch: &Arc<Watch>, clock: &Clock, started_at: Instant) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let counters = Counters { watch: Arc::clone(watch), clock: clock.clone(), started_at };
        let (reads, kept) = (counters.clone(), Arc::clone(&samples));
        let reader = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SAMPLE_WAIT);
            loop {
                ticks.tick().await;
                kept.lock().push(reads.sample());
            }
        });
        Self { counters, samples, reader }
    }

    /// What was read so far, and the counters as they are now.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut samples = self.samples.lock().clone();
        samples.push(self.counters.sample());
        samples
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// What samples are read from.
#[derive(Clone)]
struct Counters {
    watch: Arc<Watch>,
    clock: Clock,
    started_at: Instant,
}

impl Counters {
    fn sample(&self) -> Sample {
        let at = self.clock.now().saturating_duration_since(self.started_at);
        Sample {
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            accepted: self.watch.accepted(),
            delivered: self.watch.delivered(),
        }
    }
}
