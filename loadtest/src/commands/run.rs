//! `run`: one scenario against one relay.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use units::Clock;

use crate::bench::{Bench, Subject, timestamp};
use crate::commands::options::{LoadOptions, PlaceOptions, facts};
use crate::facts::RelayFacts;
use crate::machine::Machine;
use crate::peer::Chosen;
use crate::progress::Progress;
use crate::report::{Report, json, text};
use crate::run::Run;
use crate::stop::Stop;
use crate::summary::Summary;

/// Sends one scenario through a relay.
#[derive(Debug, Args)]
pub(crate) struct RunCommand {
    /// A shipped scenario (see `list`) or the path of a file that ends in .toml; without it the options say what is
    /// sent.
    scenario: Option<String>,
    #[command(flatten)]
    options: RunOptions,
}

/// What `run` takes beside a scenario; it may also be called without the word `run`.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    load: LoadOptions,
    /// The relay's listener.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 2525)))]
    target: SocketAddr,
    /// Where the sink listens: the relay's smart host.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 2526)))]
    sink: SocketAddr,
    /// The relay's main process, whose time, memory and writes are then measured.
    #[arg(long)]
    pid: Option<i32>,
    /// Start this relay instead: NAME, FILE.toml, or either with @PROGRAM.
    #[arg(long, conflicts_with_all = ["target", "sink", "pid"])]
    peer: Option<String>,
    #[command(flatten)]
    place: PlaceOptions,
}

impl RunCommand {
    /// Whether the relay broke its promise.
    pub(crate) fn execute(&self, stop: &Stop) -> anyhow::Result<bool> {
        self.options.execute(self.scenario.as_deref(), stop)
    }
}

impl RunOptions {
    /// Whether the relay broke its promise.
    pub(crate) fn execute(&self, scenario: Option<&str>, stop: &Stop) -> anyhow::Result<bool> {
        let scenario = self.load.scenario(scenario)?;
        let chosen = self.peer.as_deref().map(Chosen::parse).transpose()?;
        let subject = match &chosen {
            Some(chosen) => Subject::Peer(chosen),
            None if self.target == self.sink => Subject::Direct,
            None => Subject::Started {
                label: "relay",
                target: self.target,
                sink: self.sink,
                pid: self.pid,
            },
        };
        let clock = Clock::system();
        let at = timestamp(&clock);
        let bench = Bench {
            clock,
            folder: &self.place.folder,
            keeps_folder: self.place.keep,
            progress: if self.place.json { Progress::Hidden } else { Progress::Shown },
            stop,
        };
        let run = bench.run(&scenario, subject, (1, 1))?;
        let facts = vec![facts(&scenario)?];
        let runs = vec![run];
        let report = Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: std::env::args().collect(),
            at,
            machine: Machine::read(&self.place.folder)?,
            relays: chosen
                .iter()
                .map(Chosen::facts)
                .collect::<anyhow::Result<Vec<RelayFacts>>>()?,
            missing: Vec::new(),
            device: Vec::new(),
            summaries: facts.iter().map(|facts| Summary::new(facts, &runs, &[])).collect(),
            scenarios: facts,
            runs,
        };
        self.place.write(&report)?;
        self.print(&report)?;
        report.is_broken()
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.place.json {
            return json::write_runs(report, &mut out);
        }
        for run in &report.runs {
            let Run { scenario, relay, .. } = run;
            writeln!(out, "{:<11}{scenario}, {relay}", "scenario")?;
            write!(out, "{}", text::of(run))?;
        }
        Ok(())
    }
}
