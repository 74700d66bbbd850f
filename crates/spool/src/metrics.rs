//! What the spool counts.

use std::sync::Arc;
use std::time::Duration;

use telemetry::{Counter, Histogram, Registry};

use crate::body::BodyIoKind;
use crate::engine::Family;
use crate::place::Accounts;
use crate::segments::Segments;
use crate::warm::Warm;

/// The handles.
pub(crate) struct Metrics {
    commit_seconds: Histogram,
    sync_seconds: Histogram,
    group_messages: Histogram,
    stored: Counter,
    failed: Counter,
    finished: Counter,
    warm_hits: Counter,
    warm_misses: Counter,
    corrupt: [(Family, Counter); Family::ALL.len()],
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let load = |result| {
            registry.counter(
                "spool_load_total",
                "Messages loaded, by where they were found.",
                &[("source", result)],
            )
        };
        let commit = |result| {
            registry.counter(
                "spool_commit_total",
                "Messages committed, by result.",
                &[("result", result)],
            )
        };
        let corrupt = |family: Family| {
            let help = "Records set aside because they could not be read.";
            (family, registry.counter("spool_corrupt_total", help, &[("record", family.name())]))
        };
        Self {
            commit_seconds: registry.histogram(
                "spool_commit_seconds",
                "Time from the end of the content until the message is on the device.",
                &[],
            ),
            sync_seconds: registry.histogram(
                "spool_sync_seconds",
                "Time of one synced write of the database.",
                &[],
            ),
            group_messages: registry.histogram(
                "spool_group_messages",
                "Messages that shared one synced write.",
                &[],
            ),
            stored: commit("stored"),
            failed: commit("failed"),
            finished: registry.counter(
                "spool_finished_total",
                "Messages removed because no recipient waits.",
                &[],
            ),
            warm_hits: load("memory"),
            warm_misses: load("device"),
            corrupt: Family::ALL.map(corrupt),
        }
    }

    /// Readings of what others keep.
    pub(crate) fn register_readings(
        registry: &Registry,
        (accounts, warm, segments): (&Arc<Accounts>, &Arc<Warm>, &Arc<Segments>),
        kind: BodyIoKind,
    ) {
        let name = kind.to_string();
        registry
            .gauge(
                "spool_body_io_info",
                "What writes large content: 1 for the kind that runs.",
                &[("kind", &name)],
            )
            .set(1.0);
        let reading = |name, help, read: Box<dyn Fn() -> f64 + Send + Sync>| {
            registry.reading(name, help, &[], read);
        };
        let it = Arc::clone(accounts);
        let read = Box::new(move || float(it.counts().messages));
        reading("spool_messages", "Messages held or being received.", read);
        let it = Arc::clone(accounts);
        let read = Box::new(move || float(it.counts().octets));
        reading("spool_bytes", "Content held or being received.", read);
        let it = Arc::clone(accounts);
        let read = Box::new(move || float(it.counts().free_octets));
        reading("spool_free_bytes", "Free space on the device of the spool.", read);
        let it = Arc::clone(accounts);
        let read = Box::new(move || float(it.counts().unsaved_settlements));
        reading(
            "spool_unsaved_settlements",
            "Settlements that wait in memory for the device.",
            read,
        );
        let it = Arc::clone(warm);
        let read = Box::new(move || float(it.octets() as u64));
        reading("spool_warm_bytes", "Memory taken by fresh messages.", read);
        let it = Arc::clone(segments);
        let read = Box::new(move || float(it.count() as u64));
        reading("spool_segments", "Segment files.", read);
    }

    pub(crate) fn committed(&self, wait: Duration) {
        self.stored.increment(1);
        self.commit_seconds.record(wait.as_secs_f64());
    }

    pub(crate) fn commit_failed(&self) {
        self.failed.increment(1);
    }

    pub(crate) fn group_synced(&self, messages: usize, wait: Duration) {
        self.sync_seconds.record(wait.as_secs_f64());
        self.group_messages.record(float(messages as u64));
    }

    pub(crate) fn messages_finished(&self, count: u64) {
        self.finished.increment(count);
    }

    pub(crate) fn loaded_warm(&self) {
        self.warm_hits.increment(1);
    }

    pub(crate) fn loaded_cold(&self) {
        self.warm_misses.increment(1);
    }

    pub(crate) fn corrupt_found(&self, family: Family) {
        if let Some((_, counter)) = self.corrupt.iter().find(|(it, _)| *it == family) {
            counter.increment(1);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; no figure here nears 2^53")]
fn float(figure: u64) -> f64 {
    figure as f64
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Metrics")
    }
}
