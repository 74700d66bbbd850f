//! Metrics.

use telemetry::{Counter, Registry};

use crate::error::LookupError;

/// What the resolver counts.
#[derive(Clone)]
pub(crate) struct Metrics {
    found: Counter,
    empty: Counter,
    failed: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let counter = |result| {
            let help =
                "Look-ups of mail exchangers and host addresses, cached ones included, by result.";
            registry.counter("dns_lookups_total", help, &[("result", result)])
        };
        Self { found: counter("found"), empty: counter("none"), failed: counter("failed") }
    }

    /// Counts a look-up.
    pub(crate) fn looked_up<T>(&self, result: &Result<T, LookupError>) {
        match result {
            Ok(_) => self.found.increment(1),
            Err(error) if error.is_temporary() => self.failed.increment(1),
            Err(_) => self.empty.increment(1),
        }
    }
}
