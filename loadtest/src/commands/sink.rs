//! `sink`: receives alone, for a relay whose mail a source on another machine sends.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tokio::runtime::Runtime;
use units::Clock;

use crate::commands::options::LoadOptions;
use crate::drive;
use crate::progress::Progress;
use crate::sink::Sink;
use crate::stop::Stop;
use crate::timeline::Watch;

/// Receives a scenario that `source` elsewhere sends, with the same scenario and --run, until all is there or nothing
/// more comes.
#[derive(Debug, Args)]
pub(crate) struct SinkCommand {
    /// A shipped scenario or the path of a file that ends in .toml.
    scenario: Option<String>,
    #[command(flatten)]
    load: LoadOptions,
    /// Where it listens: the relay's smart host.
    #[arg(long)]
    listen: SocketAddr,
    /// Tells the messages of this run from those of other runs.
    #[arg(long, default_value_t = 1)]
    run: u64,
}

impl SinkCommand {
    /// Whether something is missing or damaged.
    pub(crate) fn execute(&self, stop: &Stop) -> anyhow::Result<bool> {
        let scenario = self.load.scenario(self.scenario.as_deref())?;
        let (clock, watch) = (Clock::system(), Arc::new(Watch::default()));
        let runtime = Runtime::new()?;
        let sink = runtime.block_on(Sink::listen(self.listen, &scenario, self.run, &watch))?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "listening on {}", sink.address())?;
        for route in sink.routes() {
            writeln!(out, "mail for *.{}.example must go to {}", route.class, route.address)?;
        }
        let bars = Progress::Shown.of(&runtime, &scenario, "sink", &watch);
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = drive::receive(&scenario, &sink, &clock, &watch) => outcome,
                () = stop.wait() => Err(anyhow::anyhow!("interrupted")),
            }
        });
        bars.finish();
        runtime.shutdown_background();
        let outcome = outcome?;
        writeln!(
            out,
            "delivered {} recipients, {:.0} messages/s, doubled {}, damaged {}, of other runs {}",
            outcome.delivered,
            outcome.delivered_per_second(),
            outcome.duplicates,
            outcome.damaged,
            outcome.unknown
        )?;
        Ok(outcome.is_broken())
    }
}
