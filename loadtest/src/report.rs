//! Everything about one call of this program, from which all forms of reports are made.

pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod markdown;
mod number;
mod plot;
mod prose;
mod table;
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

impl Report {
    /// Whether a relay broke its promise.
    ///
    /// # Errors
    /// If a relay stopped answering, so that nothing can be said of it.
    pub(crate) fn is_broken(&self) -> anyhow::Result<bool> {
        if let Some(run) = self.runs.iter().find(|run| run.unsent > 0) {
            let Run { scenario, relay, unsent, messages, .. } = run;
            anyhow::bail!(
                "scenario {scenario}, relay {relay}: {unsent} of {messages} messages were given up, as nothing was answered any more (see --settle-wait-max)"
            );
        }
        Ok(self.runs.iter().any(Run::is_broken))
    }
}
