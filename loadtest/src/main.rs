//! Load for any relay: a source and a sink that count each message by its number, and what the relay paid for it.
//!
//! **Takes** the address of a relay whose next hop is the sink's address, or the name of one to start. **Gives** rates,
//! latencies, costs, and the exact number of lost and doubled messages, as text, JSON, Markdown and HTML.
//! **Never** uses the relay's own SMTP code: a fault there shall not hide here.

mod bench;
mod commands;
mod compare;
mod content;
mod cost;
mod device;
mod domains;
mod drive;
mod envelope;
mod facts;
mod load;
mod machine;
mod pace;
mod peer;
mod plan;
mod process;
mod progress;
mod random;
mod report;
mod run;
#[cfg(test)]
mod samples;
mod scenario;
mod sink;
mod size;
mod source;
mod stop;
mod summary;
mod tally;
mod timeline;
mod tls;
mod totals;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::compare::CompareCommand;
use crate::commands::fetch::FetchCommand;
use crate::commands::run::{RunCommand, RunOptions};
use crate::commands::sink::SinkCommand;
use crate::commands::source::SourceCommand;
use crate::stop::Stop;

/// Sends numbered messages to a relay, receives them from it, and reports.
///
/// Without a command it is `run`. It ends with 0 if nothing was lost or damaged, with 1 if something was, and with 2 if
/// it could not be found out.
#[derive(Debug, Parser)]
#[command(
    name = "chasqui-loadtest",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(RunCommand),
    Compare(CompareCommand),
    Source(SourceCommand),
    Sink(SinkCommand),
    Fetch(FetchCommand),
    /// Prints the shipped scenarios and relays.
    List,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(&arguments) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody to tell if even that fails.
            writeln!(std::io::stderr(), "chasqui-loadtest: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}

/// Whether a promise was broken.
fn execute(arguments: &Arguments) -> anyhow::Result<bool> {
    let stop = Stop::listen()?;
    match &arguments.command {
        None => arguments.run.execute(None, &stop),
        Some(Command::Run(run)) => run.execute(&stop),
        Some(Command::Compare(compare)) => compare.execute(&stop),
        Some(Command::Source(source)) => source.execute(&stop).map(|()| false),
        Some(Command::Sink(sink)) => sink.execute(&stop),
        Some(Command::Fetch(fetch)) => fetch.execute().map(|()| false),
        Some(Command::List) => commands::list::execute().map(|()| false),
    }
}
