//! Options that several commands share.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use units::{ByteSize, Span};

use crate::domains::Domains;
use crate::facts::ScenarioFacts;
use crate::load::{Load, Recipients};
use crate::report::Report;
use crate::report::{html, json, markdown};
use crate::scenario::Scenario;
use crate::size::{SizeTable, Sizes};

/// What is sent: without a scenario all of it, with one what is to be otherwise.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadOptions {
    /// How many messages to send [default: 10000].
    #[arg(long)]
    messages: Option<u64>,
    /// How many connections send at the same time [default: 50].
    #[arg(long)]
    connections: Option<usize>,
    /// Size of each message, headers included [default: 10KiB].
    #[arg(long)]
    size: Option<ByteSize>,
    /// Messages a connection carries before it is closed; 0 for no end [default: 0].
    #[arg(long)]
    per_connection: Option<u64>,
    /// Recipients of each message [default: 1].
    #[arg(long)]
    recipients: Option<u32>,
    /// Recipient domains, used in turn [default: 1].
    #[arg(long)]
    domains: Option<u64>,
    /// Send MAIL, RCPT and DATA in one go (RFC 2920).
    #[arg(long)]
    pipelining: bool,
    /// How long nothing may arrive, once all is accepted, until what is missing counts as lost [default: 60s].
    #[arg(long)]
    settle_wait_max: Option<Span>,
}

impl LoadOptions {
    /// The scenario of that name or path, or a plain one, with what these options say.
    pub(crate) fn scenario(&self, name: Option<&str>) -> anyhow::Result<Scenario> {
        let mut scenario = match name {
            Some(name) => find_scenario(name)?,
            None => Scenario {
                name: "plain".to_owned(),
                about: "what the command line says".to_owned(),
                ..Scenario::default()
            },
        };
        let load = &mut scenario.load;
        let Load { messages, connections, per_connection, .. } = *load;
        load.messages = self.messages.unwrap_or(messages);
        load.connections = self.connections.unwrap_or(connections);
        load.per_connection = self.per_connection.unwrap_or(per_connection);
        load.pipelining |= self.pipelining;
        if let Some(size) = self.size {
            load.size = Sizes::Fixed(size);
        }
        if let Some(recipients) = self.recipients {
            load.recipients = Recipients::Fixed(recipients);
        }
        if let Some(domains) = self.domains {
            load.domains = Domains::InTurn(domains);
        }
        scenario.settle_wait_max = self.settle_wait_max.unwrap_or(scenario.settle_wait_max);
        Ok(scenario)
    }
}

/// The shipped scenario of that name, or the file at that path.
pub(crate) fn find_scenario(name: &str) -> anyhow::Result<Scenario> {
    let path = Path::new(name);
    let is_path = path.extension().is_some_and(|extension| extension == "toml");
    if is_path { Scenario::read(path) } else { Scenario::named(name) }
}

/// Messages whose sizes are looked at for their average.
const SAMPLE: u64 = 1000;

/// What a reader needs to know of `scenario`.
pub(crate) fn facts(scenario: &Scenario) -> anyhow::Result<ScenarioFacts> {
    let load = &scenario.load;
    let sizes = SizeTable::new(&load.size).context("load.size")?;
    let count = load.messages.clamp(1, SAMPLE);
    let sum: u64 = (0..count).map(|number| sizes.of(load.seed, number) as u64).sum();
    Ok(ScenarioFacts {
        name: scenario.name.clone(),
        about: scenario.about.clone(),
        messages: load.messages,
        connections: load.connections,
        octets: sum / count,
    })
}

/// Where relays that are started keep their mail, and where reports go.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlaceOptions {
    /// Relays that are started keep their mail in a folder below this one. It must lie on the device that is meant,
    /// not in memory.
    #[arg(long, default_value = "/var/tmp")]
    pub(crate) folder: PathBuf,
    /// Do not remove the folders of relays that were started.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Write report.json, report.md and report.html to this folder.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl PlaceOptions {
    /// Writes the files of `report`, if that was asked for.
    pub(crate) fn write(&self, report: &Report) -> anyhow::Result<()> {
        let Some(folder) = &self.out else { return Ok(()) };
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let files = [
            ("report.json", json::whole(report)?),
            ("report.md", markdown::whole(report)),
            ("report.html", html::page(report)?),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }
}
