//! Metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use telemetry::{Counter, Histogram, Registry};

use crate::breaker::Breaker;
use crate::config::Stage;

/// What came of asking a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Continued,
    Accepted,
    Refused,
    Deferred,
    Discarded,
    Held,
    /// Too large to be shown.
    Skipped,
    Failed,
}

impl Ending {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Continued, "continued"),
        (Self::Accepted, "accepted"),
        (Self::Refused, "refused"),
        (Self::Deferred, "deferred"),
        (Self::Discarded, "discarded"),
        (Self::Held, "held"),
        (Self::Skipped, "skipped"),
        (Self::Failed, "failed"),
    ];
}

/// Handles of one filter's metrics.
pub(crate) struct Metrics {
    endings: Vec<(Stage, Ending, Counter)>,
    seconds: Vec<(Stage, Histogram)>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry, filter: &str, stages: &[Stage]) -> Self {
        let endings = stages.iter().flat_map(|stage| {
            Ending::ALL.map(|(ending, verdict)| {
                let labels = [("filter", filter), ("stage", stage.name()), ("verdict", verdict)];
                let help = "Answers of filters, and failures to get one, by what came of them.";
                (*stage, ending, registry.counter("filter_answers_total", help, &labels))
            })
        });
        let seconds = stages.iter().map(|stage| {
            let labels = [("filter", filter), ("stage", stage.name())];
            let help = "How long filters took over an answer or a failure.";
            (*stage, registry.histogram("filter_answer_seconds", help, &labels))
        });
        Self { endings: endings.collect(), seconds: seconds.collect() }
    }

    /// Shows whether a filter rests.
    pub(crate) fn watch(registry: &Registry, filter: &str, breaker: &Arc<Breaker>) {
        let breaker = Arc::clone(breaker);
        let help = "Whether a filter rests after failures: 1 if it does.";
        let read = move || f64::from(u8::from(breaker.rests()));
        registry.reading("filter_resting", help, &[("filter", filter)], read);
    }

    pub(crate) fn answered(&self, stage: Stage, ending: Ending, took: Duration) {
        self.noted(stage, ending);
        if let Some((_, seconds)) = self.seconds.iter().find(|(of, _)| *of == stage) {
            seconds.record(took.as_secs_f64());
        }
    }

    /// Counts what took no time: the filter was not asked.
    pub(crate) fn noted(&self, stage: Stage, ending: Ending) {
        let mut endings = self.endings.iter();
        if let Some((_, _, counter)) = endings.find(|(of, by, _)| *of == stage && *by == ending) {
            counter.increment(1);
        }
    }
}
