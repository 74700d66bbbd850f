//! Settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// How mail is handed on, over all outbound connectors; what belongs to one connector stands there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Messages that are sent at the same time, over all destinations. Each needs a socket and 20 KiB, with a large
    /// message up to 400 KiB; further ones wait in the queue.
    pub transactions_max: u32,
    /// Connections kept open without mail, over all destinations. A further one is closed instead of kept.
    pub idle_connections_max: u32,
    /// Addresses of a destination's hosts that one attempt tries at most; then the destination rests until the next
    /// attempt (RFC 5321 §5.1).
    pub addresses_per_attempt_max: u16,
    /// How long a host that could not be talked to is tried last, behind the other hosts of its destination.
    pub host_rest: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            transactions_max: 2000,
            idle_connections_max: 500,
            addresses_per_attempt_max: 5,
            host_rest: Span::minutes(1),
        }
    }
}
