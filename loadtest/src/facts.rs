//! What a reader needs to know of what was run.

use serde::Serialize;

use crate::device::Probe;

/// The row of a comparison where the source talks to the sink.
pub(crate) const DIRECT: &str = "direct";

/// A scenario.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScenarioFacts {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) messages: u64,
    pub(crate) connections: usize,
    /// Of a message, on average.
    pub(crate) octets: u64,
}

/// A relay.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RelayFacts {
    pub(crate) label: String,
    pub(crate) about: String,
    pub(crate) version: String,
    pub(crate) program: String,
    pub(crate) durability: String,
}

/// What the device did in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeviceRound {
    pub(crate) round: u32,
    pub(crate) probes: Vec<Probe>,
}
