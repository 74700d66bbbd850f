//! The queue's metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dsn::Action;
use policy::Router;
use telemetry::{Counter, Gauge, Gauges, Histogram, Registry};

use crate::plan::Status;
use crate::request::Summary;
use crate::shared::NO_ROUTE;

/// Handles, by event.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    ready: Gauge,
    resting: Gauge,
    in_flight: Gauge,
    destinations: Gauge,
    oldest: Gauge,
    connectors: HashMap<Box<str>, OfConnector>,
    /// Of connectors with limits.
    limits: Gauges<2>,
    stages: [Histogram; 4],
    /// By action.
    reports_written: [Counter; Action::ALL.len()],
    reports_dropped: Counter,
    missing: Counter,
    settle_failures: Counter,
    recovered: Counter,
    clock_steps: Counter,
}

/// What is counted by connector.
#[derive(Debug)]
struct OfConnector {
    attempts: Counter,
    outcomes: [Counter; Status::ALL.len()],
}

/// What is shown of a connector's limits.
const OF_LIMIT: [(&str, &str); 2] = [
    (
        "connector_sent_today",
        "Messages that a connector with a daily limit has sent since 00:00 UTC.",
    ),
    (
        "connector_limit_reached",
        "1 while a connector is at one of its limits, so that mail waits or goes another way.",
    ),
];

/// How long a delivered message spent where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stages {
    pub(crate) receive: Duration,
    pub(crate) queue: Duration,
    pub(crate) connect: Duration,
    pub(crate) transmit: Duration,
}

impl Metrics {
    /// Makes the handles; connectors come from the settings, so their number is bounded.
    pub(crate) fn register(registry: &Arc<Registry>, router: &Router) -> Self {
        let gauge = |name, help| registry.gauge(name, help, &[]);
        let state = |state| {
            let help = "Messages at a destination, by how they stand: ready, resting until a later try, in flight.";
            registry.gauge("queue_messages", help, &[("state", state)])
        };
        let report = |action| {
            let help = "Delivery status notifications, by the worst action in each; dropped: failures of mail with the null sender, such as reports, of which nobody is told.";
            registry.counter("dsn_total", help, &[("action", action)])
        };
        let stage = |stage| {
            let help =
                "Where the time of a delivered message went: receive, queue, connect, transmit.";
            registry.histogram("delivery_stage_seconds", help, &[("stage", stage)])
        };
        let counter = |name, help| registry.counter(name, help, &[]);
        let mut metrics = Self {
            registry: Arc::clone(registry),
            ready: state("ready"),
            resting: state("resting"),
            in_flight: state("in_flight"),
            destinations: gauge("queue_destinations", "Destinations with mail."),
            oldest: gauge("queue_oldest_seconds", "Age of the oldest message in the queue."),
            connectors: HashMap::new(),
            limits: Gauges::new(registry, "connector", OF_LIMIT),
            stages: ["receive", "queue", "connect", "transmit"].map(stage),
            reports_written: Action::ALL.map(|action| report(action.name())),
            reports_dropped: report("dropped"),
            missing: counter(
                "queue_missing_total",
                "Messages that the spool had no more or could not read.",
            ),
            settle_failures: counter(
                "queue_settle_failures_total",
                "Settlements that the spool could not take at once; they are done again.",
            ),
            recovered: counter(
                "queue_recovered_total",
                "Messages taken over from the spool at the start.",
            ),
            clock_steps: counter(
                "queue_clock_steps_total",
                "Times that the machine's clock was seen to be set by an hour or more.",
            ),
        };
        metrics.know(router);
        metrics
    }

    /// Counts by the connectors of `router` from now on, and by those before.
    pub(crate) fn know(&mut self, router: &Router) {
        let names = router.connectors().iter().map(|it| it.name.as_str());
        for name in names.chain([NO_ROUTE]) {
            if !self.connectors.contains_key(name) {
                self.connectors.insert(name.into(), OfConnector::register(&self.registry, name));
            }
        }
    }

    pub(crate) fn attempt_ended(&self, connector: &str) {
        if let Some(of) = self.connectors.get(connector) {
            of.attempts.increment(1);
        }
    }

    pub(crate) fn recipient_ended(&self, connector: &str, status: Status) {
        let place = Status::ALL.iter().position(|it| *it == status);
        let of = self.connectors.get(connector);
        if let Some(counter) = of.zip(place).and_then(|(of, place)| of.outcomes.get(place)) {
            counter.increment(1);
        }
    }

    pub(crate) fn delivered(&self, stages: Stages) {
        let spent = [stages.receive, stages.queue, stages.connect, stages.transmit];
        for (histogram, wait) in self.stages.iter().zip(spent) {
            histogram.record(wait);
        }
    }

    pub(crate) fn report_written(&self, action: Option<Action>) {
        let counters = Action::ALL.iter().zip(&self.reports_written);
        for (_, counter) in counters.filter(|(it, _)| Some(**it) == action) {
            counter.increment(1);
        }
    }

    pub(crate) fn report_dropped(&self) {
        self.reports_dropped.increment(1);
    }

    pub(crate) fn clock_stepped(&self) {
        self.clock_steps.increment(1);
    }

    pub(crate) fn message_missing(&self) {
        self.missing.increment(1);
    }

    pub(crate) fn settle_failed(&self) {
        self.settle_failures.increment(1);
    }

    pub(crate) fn messages_recovered(&self, count: usize) {
        self.recovered.increment(count as u64);
    }

    /// Shows how the queue stands.
    pub(crate) fn show(&mut self, summary: &Summary, oldest: Duration) {
        let set = |gauge: &Gauge, count: usize| gauge.set(u32::try_from(count).unwrap_or(u32::MAX));
        set(&self.ready, summary.ready);
        set(&self.resting, summary.resting);
        set(&self.in_flight, summary.in_flight);
        set(&self.destinations, summary.destinations_total);
        self.oldest.set(oldest.as_secs_f64());
        let limits = summary.limits.iter();
        self.limits.show(
            limits.map(|it| (&*it.connector, [it.sent_today, it.full_until.is_some().into()])),
        );
    }
}

impl OfConnector {
    fn register(registry: &Registry, connector: &str) -> Self {
        let help = "Attempts that ended with an answer, or without a connection.";
        let attempts = registry.counter("queue_attempts_total", help, &[("connector", connector)]);
        let outcome = |status: Status| {
            let labels = [("connector", connector), ("result", status.name())];
            registry.counter("delivery_total", "Outcomes of tries, one per recipient.", &labels)
        };
        Self { attempts, outcomes: Status::ALL.map(outcome) }
    }
}
