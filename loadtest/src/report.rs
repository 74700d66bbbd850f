//! Everything about one call of this program, from which all forms of reports are made.

pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod markdown;
mod number;
mod plot;
pub(crate) mod text;

use serde::Serialize;

use crate::facts::{DeviceRound, RelayFacts, ScenarioFacts};
use crate::machine::Machine;
use crate::run::Run;
use crate::summary::Summary;

/// What was asked for, where, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: String,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// When it began (RFC 3339, UTC).
    pub(crate) at: String,
    pub(crate) machine: Machine,
    pub(crate) scenarios: Vec<ScenarioFacts>,
    pub(crate) relays: Vec<RelayFacts>,
    /// Relays that were asked for and could not run here, with what to do.
    pub(crate) missing: Vec<String>,
    pub(crate) device: Vec<DeviceRound>,
    pub(crate) summaries: Vec<Summary>,
    pub(crate) runs: Vec<Run>,
}
