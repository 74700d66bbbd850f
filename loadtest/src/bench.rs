//! Runs a scenario against a relay, or against none, and measures it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::runtime::Runtime;
use units::Clock;

use crate::cost::{Measured, Meter, Relay};
use crate::drive::{self, Outcome};
use crate::facts::DIRECT;
use crate::peer::Chosen;
use crate::peer::running::{Running, Surroundings};
use crate::progress::Progress;
use crate::run::{Place, Run};
use crate::scenario::Scenario;
use crate::sink::Sink;
use crate::stop::Stop;
use crate::timeline::Watch;

/// Where runs take place.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) clock: Clock,
    /// Where relays keep their mail.
    pub(crate) folder: &'a Path,
    pub(crate) keeps_folder: bool,
    pub(crate) progress: Progress,
    pub(crate) stop: &'a Stop,
}

/// What the load is sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// The sink itself: the bound of this machine.
    Direct,
    /// A relay that runs already and has its smart host at `sink`.
    Started { label: &'a str, target: SocketAddr, sink: SocketAddr, pid: Option<i32> },
    /// A relay to start.
    Peer(&'a Chosen),
}

impl Subject<'_> {
    /// What it is called in reports.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Direct => DIRECT,
            Self::Started { label, .. } => label,
            Self::Peer(chosen) => &chosen.label,
        }
    }
}

impl Bench<'_> {
    /// One run from start to end; a relay that it starts is stopped again, whatever happens.
    pub(crate) fn run(
        &self,
        scenario: &Scenario,
        subject: Subject<'_>,
        (round, attempt): (u32, u32),
    ) -> anyhow::Result<Run> {
        // A runtime of its own: whatever the run leaves behind ends with it.
        let runtime = Runtime::new().context("no threads for source and sink")?;
        let at = timestamp(&self.clock);
        let result = self.run_in(&runtime, scenario, subject);
        runtime.shutdown_background();
        let (outcome, measured) = result
            .with_context(|| format!("scenario {}, relay {}", scenario.name, subject.label()))?;
        let place = Place { relay: subject.label().to_owned(), round, attempt, at };
        Ok(Run::new(place, scenario, outcome, measured))
    }

    fn run_in(
        &self,
        runtime: &Runtime,
        scenario: &Scenario,
        subject: Subject<'_>,
    ) -> anyhow::Result<(Outcome, Measured)> {
        let watch = Arc::new(Watch::default());
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sink_at = match subject {
            Subject::Started { sink, .. } => sink,
            Subject::Direct | Subject::Peer(_) => any_port,
        };
        let number = self.clock.unix_millis();
        let sink = runtime.block_on(Sink::listen(sink_at, scenario, number, &watch))?;
        if !matches!(subject, Subject::Peer(_)) && !sink.routes().is_empty() {
            bail!(
                "it has next hops of its own, which a relay must be told at its start: name a relay to start with --peer"
            );
        }
        let running = match subject {
            Subject::Peer(chosen) => Some(self.start(chosen, scenario, &sink)?),
            Subject::Direct | Subject::Started { .. } => None,
        };
        let (target, relay) = match (&running, subject) {
            (Some(running), _) => (running.address(), Relay::Process(running.pid())),
            (None, Subject::Started { target, pid, .. }) => {
                (target, pid.map_or(Relay::Unknown, Relay::Process))
            }
            (None, _) => (sink.address(), Relay::None),
        };
        let folder = running.as_ref().map(Running::folder);
        let meter = Meter::start(relay, folder, &self.clock)?;
        let bars = self.progress.of(runtime, scenario, subject.label(), &watch);
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = drive::drive(scenario, target, &sink, &self.clock, &watch) => outcome,
                () = self.stop.wait() => Err(anyhow::anyhow!("interrupted")),
            }
        });
        let measured = meter.finish();
        bars.finish();
        let said = running.as_ref().map(Running::last_words).unwrap_or_default();
        let outcome = match outcome {
            Err(error) if !said.is_empty() && !self.stop.is_asked() => {
                return Err(error.context(format!("the relay's last words:\n{said}")));
            }
            outcome => outcome?,
        };
        Ok((outcome, measured?))
    }

    fn start(&self, chosen: &Chosen, scenario: &Scenario, sink: &Sink) -> anyhow::Result<Running> {
        if self.stop.is_asked() {
            bail!("interrupted");
        }
        let around = Surroundings {
            folder: self.folder,
            keeps_folder: self.keeps_folder,
            sink: sink.address(),
            routes: sink.routes(),
            clock: &self.clock,
            stop: self.stop,
        };
        Running::start(chosen, scenario, &around)
    }
}

/// Now, as RFC 3339 has it.
pub(crate) fn timestamp(clock: &Clock) -> String {
    let millis = i64::try_from(clock.unix_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
