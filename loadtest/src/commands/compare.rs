//! `compare`: several relays and scenarios, round by round.

use std::io::Write;

use anyhow::ensure;
use clap::Args;
use units::Clock;

use crate::bench::{Bench, timestamp};
use crate::commands::options::{PlaceOptions, facts, find_scenario};
use crate::compare::{Comparison, Plan};
use crate::device::Effort;
use crate::machine::Machine;
use crate::peer::Chosen;
use crate::peer::values::unable;
use crate::progress::Progress;
use crate::report::{Report, json, markdown};
use crate::scenario::Scenario;
use crate::stop::Stop;
use crate::summary::Summary;

/// Sends scenarios through several relays by turns, and says how they compare.
#[derive(Debug, Args)]
pub(crate) struct CompareCommand {
    /// Relays: NAME, FILE.toml, or LABEL=NAME@PROGRAM for another build of one.
    #[arg(long, value_delimiter = ',', default_value = "chasqui,postfix")]
    peers: Vec<String>,
    /// Scenarios: shipped names or paths that end in .toml.
    #[arg(long, value_delimiter = ',', required = true)]
    scenarios: Vec<String>,
    /// How often all of it is done.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How often a scenario's part of a round is repeated because others used the machine.
    #[arg(long, default_value_t = 2)]
    repeats: u32,
    /// Send so many messages instead of as many as each scenario says.
    #[arg(long)]
    messages: Option<u64>,
    #[command(flatten)]
    place: PlaceOptions,
}

impl CompareCommand {
    /// Whether a relay broke its promise.
    pub(crate) fn execute(&self, stop: &Stop) -> anyhow::Result<bool> {
        let scenarios = self.scenarios()?;
        let (peers, mut missing) = self.peers()?;
        missing.extend(unable_pairs(&peers, &scenarios));
        for missing in &missing {
            writeln!(std::io::stderr(), "chasqui-loadtest: left out: {missing}").ok();
        }
        ensure!(!peers.is_empty(), "no relay is left to compare: {}", missing.join("; "));
        let clock = Clock::system();
        let mut report = Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: std::env::args().collect(),
            at: timestamp(&clock),
            machine: Machine::read(&self.place.folder)?,
            scenarios: scenarios.iter().map(facts).collect::<anyhow::Result<_>>()?,
            relays: peers.iter().map(Chosen::facts).collect::<anyhow::Result<_>>()?,
            missing,
            device: Vec::new(),
            summaries: Vec::new(),
            runs: Vec::new(),
        };
        let bench = Bench {
            clock,
            folder: &self.place.folder,
            keeps_folder: self.place.keep,
            progress: if self.place.json { Progress::Hidden } else { Progress::Shown },
            stop,
        };
        let plan = Plan {
            peers: &peers,
            scenarios: &scenarios,
            rounds: self.rounds,
            repeats: self.repeats,
            effort: Effort::default(),
        };
        let mut comparison = Comparison::default();
        for round in 1..=plan.rounds {
            comparison.add_round(&bench, &plan, round)?;
            // What is there is kept even if a later round fails.
            report.device.clone_from(&comparison.device);
            report.runs.clone_from(&comparison.runs);
            let summary = |facts| Summary::new(facts, &report.runs, &report.device);
            report.summaries = report.scenarios.iter().map(summary).collect();
            self.place.write(&report)?;
        }
        let mut out = std::io::stdout().lock();
        if self.place.json {
            write!(out, "{}", json::whole(&report)?)?;
        } else {
            writeln!(out, "{}", markdown::scenarios(&report))?;
        }
        report.is_broken()
    }

    fn scenarios(&self) -> anyhow::Result<Vec<Scenario>> {
        let mut scenarios: Vec<Scenario> =
            self.scenarios.iter().map(|name| find_scenario(name)).collect::<anyhow::Result<_>>()?;
        for scenario in &mut scenarios {
            scenario.load.messages = self.messages.unwrap_or(scenario.load.messages);
        }
        Ok(scenarios)
    }

    /// Relays that can run here, and why others cannot.
    fn peers(&self) -> anyhow::Result<(Vec<Chosen>, Vec<String>)> {
        let (mut able, mut missing) = (Vec::<Chosen>::new(), Vec::new());
        for text in &self.peers {
            let chosen = Chosen::parse(text)?;
            ensure!(
                able.iter().all(|other| other.label != chosen.label),
                "two relays are called {}: name one of them otherwise, as in other={text}",
                chosen.label
            );
            match chosen.obstacle() {
                Some(obstacle) => missing.push(obstacle),
                None => able.push(chosen),
            }
        }
        Ok((able, missing))
    }
}

/// Which relay cannot run which scenario, and why.
fn unable_pairs(peers: &[Chosen], scenarios: &[Scenario]) -> Vec<String> {
    let pairs =
        peers.iter().flat_map(|peer| scenarios.iter().map(move |scenario| (peer, scenario)));
    let said = |(peer, scenario): (&Chosen, &Scenario)| {
        let reason = unable(&peer.peer, scenario)?;
        Some(format!("{} in scenario {}: {reason}", peer.label, scenario.name))
    };
    pairs.filter_map(said).collect()
}
