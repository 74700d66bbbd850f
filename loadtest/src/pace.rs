//! When messages are due.

use serde::Deserialize;
use units::Span;

/// When the next message is sent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Pace {
    /// As soon as a connection is free (closed loop): latency is what the relay takes.
    #[default]
    Closed,
    /// `pace = 2500.0`: so many a second, whatever the relay does (open loop): latency counts from when a message was due.
    Rate(f64),
    /// `pace = [{ at = "0s", rate = 200.0 }, { at = "30s", rate = 900.0 }]`: a rate that goes straight from point to
    /// point and stays at the last.
    Curve(Vec<PacePoint>),
}

/// The rate at one time of a run.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct PacePoint {
    /// Since the start.
    pub(crate) at: Span,
    /// Messages per second.
    pub(crate) rate: f64,
}
