//! The registry.

use std::collections::BTreeMap;
use std::fmt;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use parking_lot::Mutex;

/// Every family carries this prefix.
const PREFIX: &str = "chasqui_";
/// From a loopback round trip to a day in the queue.
const BUCKETS_SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 1800.0, 7200.0, 86_400.0,
];
const BUCKETS_BYTES: &[f64] = &[
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const BUCKETS_COUNT: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// What a family counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// One family, for the reference page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// The full name.
    pub name: String,
    /// What it counts.
    pub kind: Kind,
    /// One sentence.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: Vec<&'static str>,
}

type Reading = Box<dyn Fn() -> f64 + Send + Sync>;

/// Makes handles, keeps the list of families, renders the Prometheus text.
///
/// Names are given without the prefix `chasqui_`, with the unit last (`_seconds`, `_bytes`) and
/// `_total` for counters. Label values come from closed sets, never from the wire.
pub struct Registry {
    recorder: PrometheusRecorder,
    families: Mutex<BTreeMap<String, Family>>,
    readings: Mutex<Vec<(Gauge, Reading)>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for (suffix, buckets) in
            [("_seconds", BUCKETS_SECONDS), ("_bytes", BUCKETS_BYTES), ("_messages", BUCKETS_COUNT)]
        {
            let matcher = Matcher::Suffix(suffix.to_owned());
            // Fails only on an empty list.
            builder = match builder.set_buckets_for_metric(matcher, buckets) {
                Ok(builder) => builder,
                Err(_) => PrometheusBuilder::new(),
            };
        }
        Self {
            recorder: builder.build_recorder(),
            families: Mutex::default(),
            readings: Mutex::default(),
        }
    }

    /// A counter; `name` ends in `_total`.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        let key = self.key(name, Kind::Counter, help, labels);
        self.recorder.register_counter(&key, &METADATA)
    }

    /// A gauge that its owner sets.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Gauge {
        let key = self.key(name, Kind::Gauge, help, labels);
        self.recorder.register_gauge(&key, &METADATA)
    }

    /// A gauge that is read when somebody looks.
    pub fn reading(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        reading: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let gauge = self.gauge(name, help, labels);
        self.readings.lock().push((gauge, Box::new(reading)));
    }

    /// A histogram; `name` ends in its unit: `_seconds`, `_bytes` or `_messages`.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Histogram {
        let key = self.key(name, Kind::Histogram, help, labels);
        self.recorder.register_histogram(&key, &METADATA)
    }

    /// The text for `/metrics`.
    pub fn render(&self) -> String {
        for (gauge, reading) in &*self.readings.lock() {
            gauge.set(reading());
        }
        self.recorder.handle().render()
    }

    /// Moves histogram samples into their buckets; call every few seconds, or they pile up until
    /// somebody looks.
    pub fn upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }

    /// All families made so far, by name.
    pub fn families(&self) -> Vec<Family> {
        self.families.lock().values().cloned().collect()
    }

    fn key(
        &self,
        name: &'static str,
        kind: Kind,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Key {
        let full = format!("{PREFIX}{name}");
        let names = labels.iter().map(|(name, _)| *name).collect();
        let family = Family { name: full.clone(), kind, help, labels: names };
        if self.families.lock().insert(full.clone(), family).is_none() {
            let (name, help) = (full.clone().into(), help.into());
            match kind {
                Kind::Counter => self.recorder.describe_counter(name, None, help),
                Kind::Gauge => self.recorder.describe_gauge(name, None, help),
                Kind::Histogram => self.recorder.describe_histogram(name, None, help),
            }
        }
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
        Key::from_parts(full, labels)
    }
}

static METADATA: Metadata<'static> = Metadata::new("chasqui", Level::INFO, None);

impl fmt::Debug for Registry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Registry({} families)", self.families.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_show_in_the_text_and_the_list() {
        let registry = Registry::new();
        registry
            .counter("accept_total", "Messages answered.", &[("result", "accepted")])
            .increment(2);
        registry
            .counter("accept_total", "Messages answered.", &[("result", "refused")])
            .increment(1);
        registry.histogram("spool_commit_seconds", "Time.", &[]).record(0.003);
        registry.reading("queue_depth", "Waiting.", &[("queue", "accepted")], || 7.0);
        let text = registry.render();
        for line in [
            "# TYPE chasqui_accept_total counter",
            "chasqui_accept_total{result=\"accepted\"} 2",
            "chasqui_spool_commit_seconds_bucket{le=\"0.005\"} 1",
            "chasqui_queue_depth{queue=\"accepted\"} 7",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!(registry.families().len(), 3);
    }
}
