//! Load for any relay, on loopback: a source and a sink that count each message by its number.
//!
//! **Takes** the address of a relay whose next hop is the sink's address. **Gives** rates, latencies, and the
//! exact number of lost and doubled messages, as a table or JSON.
//! **Never** uses the relay's own SMTP code: a fault there shall not hide here.

mod load;
mod report;
mod sink;
mod source;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use units::{Clock, Span};

use crate::load::Load;
use crate::report::{Format, Report, Took};
use crate::sink::Sink;

/// Sends numbered messages to a relay, receives them from it, and reports.
#[derive(Debug, Parser)]
#[command(name = "chasqui-loadtest", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    load: Load,
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
    let load = Arc::new(Load { run: clock.unix_millis(), ..arguments.load.clone() });
    let sink = Sink::listen(arguments.sink, load.run, load.messages).await?;
    let progress = report::progress(load.messages, format);
    let started_at = clock.now();
    let sent = source::send_all(&load, &clock, &progress).await?;
    let accept = clock.now().duration_since(started_at);
    let wait = arguments.settle_wait_max.as_duration();
    let copies = sent.accepted * load.recipients as u64;
    // A relay that delivers nothing shall not hold the report up; what is missing is counted as lost.
    tokio::time::timeout(wait, sink.wait_for(copies)).await.ok();
    let deliver = sink.last_at().map_or(Duration::ZERO, |at| at.duration_since(started_at));
    let report = Report::new(&load, &sent, &sink, Took { accept, deliver });
    report.print(format)?;
    Ok(report)
}
