//! What a relay says of itself.

use std::process::{Command, Stdio};

use crate::facts::RelayFacts;
use crate::peer::Chosen;
use crate::peer::render::{Values, render};

impl Chosen {
    /// What a reader needs to know of it; asks the program for its version.
    ///
    /// # Errors
    /// If the command for that has an unknown placeholder.
    pub(crate) fn facts(&self) -> anyhow::Result<RelayFacts> {
        let program = self.program.as_ref().map(|path| path.display().to_string());
        let program = program.unwrap_or_default();
        let fetched = self.peer.fetched().display().to_string();
        let values = Values::from([("program", program.clone()), ("fetched", fetched)]);
        let command =
            render(&self.peer.version, &values, &format!("version of {}", self.peer.name))?;
        let output = Command::new("/bin/sh").arg("-c").arg(command).stdin(Stdio::null()).output();
        let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let line =
            said.ok().and_then(|said| said.lines().next().map(|line| line.trim().to_owned()));
        Ok(RelayFacts {
            label: self.label.clone(),
            about: self.peer.about.clone(),
            version: line.filter(|line| !line.is_empty()).unwrap_or_else(|| "unknown".to_owned()),
            program,
            durability: self.peer.durability.clone(),
        })
    }
}
