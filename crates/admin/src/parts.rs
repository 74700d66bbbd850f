//! What the routes need.

use std::sync::Arc;

use telemetry::Registry;

use crate::metrics::Metrics;
use crate::tokens::Tokens;

/// What the routes need.
pub(crate) struct Parts<R> {
    /// Who answers.
    pub(crate) relay: Arc<R>,
    /// What `/metrics` shows.
    pub(crate) registry: Arc<Registry>,
    /// Our own metrics.
    pub(crate) metrics: Metrics,
    /// Who may use the control API over TCP.
    pub(crate) tokens: Tokens,
}
