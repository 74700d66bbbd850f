//! Metrics of the admin listeners.

use telemetry::{Counter, Registry};

/// Handles of this crate's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    succeeded: Counter,
    refused: Counter,
    failed: Counter,
}

impl Metrics {
    /// Makes the handles.
    pub(crate) fn register(registry: &Registry) -> Self {
        let requests = |code_class| {
            registry.counter(
                "admin_requests_total",
                "Admin HTTP requests answered, by class of the status code.",
                &[("code_class", code_class)],
            )
        };
        Self { succeeded: requests("2xx"), refused: requests("4xx"), failed: requests("5xx") }
    }

    /// Counts a request answered with the HTTP status `code`.
    pub(crate) fn answered(&self, code: u16) {
        match code {
            500.. => self.failed.increment(1),
            400..500 => self.refused.increment(1),
            _ => self.succeeded.increment(1),
        }
    }
}
