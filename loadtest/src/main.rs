//! Load for any relay, on loopback: a source and a sink that count each message by its number.
//!
//! **Takes** the address of a relay whose next hop is the sink's address. **Gives** rates, latencies, and the
//! exact number of lost and doubled messages, as a table or JSON.
//! **Never** uses the relay's own SMTP code: a fault there shall not hide here.

mod content;
mod domains;
mod drive;
mod envelope;
mod load;
mod pace;
mod plan;
mod random;
mod report;
mod scenario;
mod sink;
mod size;
mod source;
mod tally;
mod timeline;
mod tls;
mod totals;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use units::{ByteSize, Clock, Span};

use crate::domains::Domains;
use crate::load::{Load, Recipients};
use crate::report::{Format, Report};
use crate::scenario::Scenario;
use crate::sink::Sink;
use crate::size::Sizes;
use crate::timeline::Watch;

/// Sends numbered messages to a relay, receives them from it, and reports.
#[derive(Debug, Parser)]
#[command(name = "chasqui-loadtest", version, max_term_width = 100)]
struct Arguments {
    /// A shipped scenario or a file; without it the flags say what is sent.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// The relay's listener.
    #[arg(long, default_value = "127.0.0.1:2525")]
    target: std::net::SocketAddr,
    /// How many messages to send.
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
    /// How many connections send at the same time.
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Size of each message, headers included.
    #[arg(long, default_value = "10KiB")]
    size: ByteSize,
    /// Messages a connection carries before it is closed; 0 for no end.
    #[arg(long, default_value_t = 0)]
    per_connection: u64,
    /// Recipients of each message.
    #[arg(long, default_value_t = 1)]
    recipients: u32,
    /// Recipient domains, used in turn.
    #[arg(long, default_value_t = 1)]
    domains: u64,
    /// Send MAIL, RCPT and DATA in one go (RFC 2920).
    #[arg(long)]
    pipelining: bool,
    /// Where the sink listens: the relay's smart host.
    #[arg(long, default_value = "127.0.0.1:2526")]
    sink: std::net::SocketAddr,
    /// How long to wait for the last messages once all are accepted.
    #[arg(long, default_value = "60s")]
    settle_wait_max: Span,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn scenario(&self) -> anyhow::Result<Scenario> {
        if let Some(file) = &self.scenario {
            return Scenario::read(file);
        }
        let load = Load {
            messages: self.messages,
            connections: self.connections,
            size: Sizes::Fixed(self.size),
            per_connection: self.per_connection,
            recipients: Recipients::Fixed(self.recipients),
            domains: Domains::InTurn(self.domains),
            pipelining: self.pipelining,
            ..Load::default()
        };
        Ok(Scenario { load, settle_wait_max: self.settle_wait_max, ..Scenario::default() })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(&arguments)));
    match result {
        Ok(report) if report.lost == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            report::complain(&error);
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let clock = Clock::system();
    let format = if arguments.json { Format::Json } else { Format::Table };
    let scenario = arguments.scenario()?;
    let watch = Arc::new(Watch::default());
    let sink = Sink::listen(arguments.sink, &scenario, clock.unix_millis(), &watch).await?;
    let progress = report::progress(scenario.load.messages, format);
    let outcome = drive::drive(&scenario, arguments.target, &sink, &clock, &watch).await?;
    progress.set_position(outcome.accepted);
    let report = Report::new(&scenario, &outcome);
    report.print(format)?;
    Ok(report)
}
