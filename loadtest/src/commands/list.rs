//! `list`: what comes with the program.

use std::io::Write;

use crate::peer::{Chosen, Peer};
use crate::scenario::Scenario;

/// Prints the shipped scenarios and relays, and which of these can run here.
pub(crate) fn execute() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "scenarios")?;
    for (name, text) in Scenario::shipped() {
        let scenario = Scenario::parse(text, name)?;
        writeln!(out, "  {name:<14} {}", scenario.about)?;
    }
    writeln!(out, "\nrelays")?;
    for (name, _) in Peer::shipped() {
        let chosen = Chosen::parse(name)?;
        let state = match (chosen.obstacle(), &chosen.program) {
            (None, Some(program)) => program.display().to_string(),
            (obstacle, _) => obstacle.unwrap_or_default(),
        };
        writeln!(out, "  {name:<14} {} ({state})", chosen.peer.about)?;
    }
    Ok(())
}
