//! Metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use policy::config::{OutboundConnector, TlsLevel};
use telemetry::{Counter, Gauge, Registry};

/// What delivery counts, by connector.
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    connectors: ArcSwap<HashMap<Box<str>, Arc<ConnectorMetrics>>>,
    panics: Counter,
}

/// What is counted of one connector.
pub(crate) struct ConnectorMetrics {
    level: TlsLevel,
    active: Gauge,
    idle: Gauge,
    reuse: Counter,
    failures: [Counter; Stage::ALL.len()],
    tls: [Counter; TlsResult::ALL.len()],
    /// Whose turn it is among the source addresses.
    turn: AtomicUsize,
}

/// How far a connection came before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    LookUp,
    Connect,
    Greeting,
    Ehlo,
    Tls,
    Login,
}

/// What a connector's TLS level led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsResult {
    Encrypted,
    /// With a certificate that matches the host's TLSA records.
    Dane,
    Clear,
    NotOffered,
    Failed,
}

impl Stage {
    const ALL: [Self; 6] =
        [Self::LookUp, Self::Connect, Self::Greeting, Self::Ehlo, Self::Tls, Self::Login];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LookUp => "look_up",
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::Tls => "tls",
            Self::Login => "login",
        }
    }
}

impl TlsResult {
    const ALL: [Self; 5] =
        [Self::Encrypted, Self::Dane, Self::Clear, Self::NotOffered, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Dane => "dane",
            Self::Clear => "clear",
            Self::NotOffered => "not_offered",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Arc<Registry>, connectors: &[OutboundConnector]) -> Self {
        let of = |connector: &OutboundConnector| {
            let metrics = ConnectorMetrics::register(registry, connector);
            (connector.name.as_str().into(), Arc::new(metrics))
        };
        let connectors: HashMap<_, _> = connectors.iter().map(of).collect();
        let help = "Tasks ended by a fault in the program; each ended only its own work.";
        Self {
            registry: Arc::clone(registry),
            connectors: ArcSwap::from_pointee(connectors),
            panics: registry.counter("panic_total", help, &[("service", "delivery")]),
        }
    }

    /// What is counted of `connector`, which may be new or changed since the last time.
    pub(crate) fn of(&self, connector: &OutboundConnector) -> Arc<ConnectorMetrics> {
        let known = self.connectors.load();
        let metrics = known.get(connector.name.as_str());
        if let Some(metrics) = metrics.filter(|metrics| metrics.level == connector.tls) {
            return Arc::clone(metrics);
        }
        // Registered twice, a series is the same: only the last of those who come at once is kept.
        let metrics = Arc::new(ConnectorMetrics::register(&self.registry, connector));
        self.connectors.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(connector.name.as_str().into(), Arc::clone(&metrics));
            known
        });
        metrics
    }

    /// An attempt's task panicked.
    pub(crate) fn panicked(&self) {
        self.panics.increment(1);
    }
}

impl ConnectorMetrics {
    fn register(registry: &Registry, connector: &OutboundConnector) -> Self {
        let name = connector.name.as_str();
        let open = |state| {
            let help = "Connections to next hops that are open.";
            registry.gauge("connections", help, &[("connector", name), ("state", state)])
        };
        let failed = |stage: Stage| {
            let help = "Hosts that could not be talked to, by the stage that failed.";
            let labels = [("connector", name), ("stage", stage.name())];
            registry.counter("connect_failures_total", help, &labels)
        };
        let tls = |result: TlsResult| {
            let help = "Connections by the TLS level asked for and what came of it.";
            // Connectors of the same level share the series.
            let labels = [("policy", connector.tls.name()), ("result", result.name())];
            registry.counter("tls_policy_total", help, &labels)
        };
        let help = "Messages sent over a connection that had sent others before.";
        Self {
            level: connector.tls,
            active: open("active"),
            idle: open("idle"),
            reuse: registry.counter("connection_reuse_total", help, &[("connector", name)]),
            failures: Stage::ALL.map(failed),
            tls: TlsResult::ALL.map(tls),
            turn: AtomicUsize::new(0),
        }
    }

    /// A connection is used once more.
    pub(crate) fn reused(&self) {
        self.reuse.increment(1);
    }

    /// Counts on, for what goes in turn.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// A host could not be talked to.
    pub(crate) fn host_failed(&self, stage: Stage) {
        count(&self.failures, Stage::ALL.iter().position(|one| *one == stage));
    }

    /// A connection has got TLS, or not.
    pub(crate) fn tls_ended(&self, result: TlsResult) {
        count(&self.tls, TlsResult::ALL.iter().position(|one| *one == result));
    }
}

fn count(counters: &[Counter], place: Option<usize>) {
    if let Some(counter) = place.and_then(|place| counters.get(place)) {
        counter.increment(1);
    }
}

/// Counts a connection for as long as it is open.
pub(crate) struct Open {
    metrics: Arc<ConnectorMetrics>,
    is_idle: bool,
}

impl Open {
    pub(crate) fn new(metrics: &Arc<ConnectorMetrics>) -> Self {
        metrics.active.increment(1.0);
        Self { metrics: Arc::clone(metrics), is_idle: false }
    }

    /// It waits for mail from now on.
    pub(crate) fn rest(&mut self) {
        self.gauge().decrement(1.0);
        self.is_idle = true;
        self.gauge().increment(1.0);
    }

    /// It carries mail from now on.
    pub(crate) fn wake(&mut self) {
        self.gauge().decrement(1.0);
        self.is_idle = false;
        self.gauge().increment(1.0);
    }

    fn gauge(&self) -> &Gauge {
        if self.is_idle { &self.metrics.idle } else { &self.metrics.active }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge().decrement(1.0);
    }
}
