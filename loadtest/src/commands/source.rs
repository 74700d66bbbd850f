//! `source`: sends alone, for a relay whose mail a sink on another machine takes.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tokio::runtime::Runtime;
use units::Clock;

use crate::commands::options::LoadOptions;
use crate::drive::{self, Outcome};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::timeline::Watch;

/// Sends a scenario; `sink` elsewhere, with the same scenario and --run, counts what arrives.
#[derive(Debug, Args)]
pub(crate) struct SourceCommand {
    /// A shipped scenario or the path of a file that ends in .toml.
    scenario: Option<String>,
    #[command(flatten)]
    load: LoadOptions,
    /// The relay's listener.
    #[arg(long)]
    target: SocketAddr,
    /// Tells the messages of this run from those of other runs.
    #[arg(long, default_value_t = 1)]
    run: u64,
}

impl SourceCommand {
    pub(crate) fn execute(&self, stop: &Stop) -> anyhow::Result<()> {
        let scenario = self.load.scenario(self.scenario.as_deref())?;
        let (clock, watch) = (Clock::system(), Arc::new(Watch::default()));
        let runtime = Runtime::new()?;
        let bars = Progress::Shown.of(&runtime, &scenario, "source", &watch);
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = drive::send(&scenario, self.target, self.run, &clock, &watch) => outcome,
                () = stop.wait() => Err(anyhow::anyhow!("interrupted")),
            }
        });
        bars.finish();
        runtime.shutdown_background();
        let Outcome { accepted, refused, in_doubt, last_refusal, .. } =
            &outcome.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let mut out = std::io::stdout().lock();
        let rate = outcome.as_ref().map(Outcome::accepted_per_second).unwrap_or_default();
        writeln!(
            out,
            "accepted {accepted} at {rate:.0} /s, refused {refused}, in doubt {in_doubt}"
        )?;
        if let Some(refusal) = last_refusal {
            writeln!(out, "last refusal: {refusal}")?;
        }
        Ok(())
    }
}
