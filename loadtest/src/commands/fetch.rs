//! `fetch`: brings a relay that packages cannot bring.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use clap::Args;

use crate::peer::{Chosen, Peer};

/// Brings a relay that cannot be installed beside others into a folder beside this program.
#[derive(Debug, Args)]
pub(crate) struct FetchCommand {
    /// NAME or FILE.toml.
    peer: String,
}

impl FetchCommand {
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let peer = Peer::find(&self.peer)?;
        let name = &peer.name;
        ensure!(!peer.fetch.is_empty(), "{name} is not fetched but installed: see `list`");
        let folder = peer.fetched();
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(&peer.fetch).current_dir(&folder).stdin(Stdio::null());
        let status = shell.status().context("no shell can be started (/bin/sh)")?;
        ensure!(
            status.success(),
            "{name} could not be fetched into {} ({status})",
            folder.display()
        );
        let program = Chosen::parse(&self.peer)?.program;
        let program =
            program.with_context(|| format!("{name} was fetched and lacks {}", peer.program))?;
        Ok(writeln!(std::io::stdout(), "{name} is there: {}", program.display())?)
    }
}
