//! What a large queue costs: fills a spool with deferred messages, starts the relay on it, and measures.
//!
//! **Takes** the relay's program, how many messages, over how many domains. **Gives** resident memory for each message,
//! how long until mail is taken and until the queue is whole again; as a table or JSON.
//! **Never** touches a spool that it did not make. `cargo run --release -p benches --bin scale -- --help`

mod fill;
mod relay;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde::Serialize;

use crate::fill::{Fill, Filled};
use crate::relay::{Measured, measure};

/// Fills a spool, starts the relay on it, and says what the queue costs.
#[derive(Debug, Parser)]
#[command(name = "scale", max_term_width = 100)]
struct Arguments {
    /// The relay's program, built with `--release`.
    #[arg(long, default_value = "target/release/chasqui")]
    relay: PathBuf,
    /// How many messages wait.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Over how many recipient domains they are spread.
    #[arg(long, default_value_t = 1000)]
    domains: u64,
    /// Size of each message.
    #[arg(long, default_value_t = 1024)]
    octets: usize,
    /// Minutes until the messages are tried again; each up to a fifth earlier.
    #[arg(long, default_value_t = 240)]
    minutes_due: u32,
    /// A folder on the device in question; a folder `scale` is made in it, and removed at the end.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Keeps the filled spool, and uses one that was kept instead of filling it.
    #[arg(long)]
    keep: bool,
    /// How often the relay is started on the spool.
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// Seconds from the complete queue to the last look at its memory.
    #[arg(long, default_value_t = 15)]
    rest: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is found in all.
#[derive(Debug, Serialize)]
struct Report {
    messages: u64,
    domains: u64,
    octets: usize,
    /// None if a spool that was kept is used.
    filled: Option<Filled>,
    spool_octets: u64,
    /// The relay with nothing in its spool.
    empty: Measured,
    runs: Vec<Run>,
}

/// One start of the relay.
#[derive(Debug, Serialize)]
struct Run {
    #[serde(flatten)]
    measured: Measured,
    /// (Resident memory − that of the empty relay) / messages.
    octets_per_message: f64,
    /// The same of the most memory it had.
    octets_per_message_peak: f64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.messages > 0 && arguments.domains > 0, "nothing to measure");
    let folder = arguments.folder.join("scale");
    let (spool, empty) = (folder.join("spool"), folder.join("empty"));
    let is_filled = folder.join("filled");
    let filled = if arguments.keep && is_filled.exists() {
        None
    } else {
        remove(&folder)?;
        std::fs::create_dir_all(&folder).context("the folder cannot be made")?;
        let fill = Fill {
            spool: &spool,
            messages: arguments.messages,
            domains: arguments.domains,
            octets: arguments.octets,
            due_in: Duration::from_secs(u64::from(arguments.minutes_due) * 60),
        };
        let filled = fill.run()?;
        std::fs::write(&is_filled, [])?;
        Some(filled)
    };
    let rest = Duration::from_secs(arguments.rest);
    remove(&empty)?;
    let empty = measure(&arguments.relay, &empty, 0, rest)?;
    let mut runs = Vec::new();
    for _ in 0..arguments.runs {
        let measured = measure(&arguments.relay, &spool, arguments.messages, rest)?;
        runs.push(Run {
            octets_per_message: each(measured.rss_kib, empty.rss_kib, arguments.messages),
            octets_per_message_peak: each(measured.peak_kib, empty.peak_kib, arguments.messages),
            measured,
        });
    }
    let Arguments { messages, domains, octets, .. } = arguments;
    let spool_octets = size(&spool)?;
    let report = Report { messages, domains, octets, filled, spool_octets, empty, runs };
    let text = if arguments.json { serde_json::to_string(&report)? } else { report.text() };
    writeln!(std::io::stdout(), "{text}")?;
    if arguments.keep { Ok(()) } else { remove(&folder) }
}

#[expect(clippy::cast_precision_loss, reason = "less than 2^52")]
fn each(with_kib: u64, without_kib: u64, messages: u64) -> f64 {
    (with_kib as f64 - without_kib as f64) * 1024.0 / messages as f64
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Octets of all files in `folder` and below.
fn size(folder: &Path) -> Result<u64> {
    let mut octets = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        octets += if facts.is_dir() { size(&entry.path())? } else { facts.len() };
    }
    Ok(octets)
}

impl Report {
    fn text(&self) -> String {
        let Self { messages, domains, octets, spool_octets, .. } = self;
        let mut lines = vec![format!(
            "{messages} messages of {octets} octets for {domains} domains, {} MiB on the device",
            spool_octets >> 20
        )];
        if let Some(filled) = &self.filled {
            let Filled { seconds, messages_per_second } = filled;
            lines.push(format!("filled in {seconds:.0} s, {messages_per_second:.0} a second"));
        }
        let columns = ["", "220", "250", "whole", "RSS ready", "RSS whole", "peak", "RSS", "each"];
        lines.push(row(columns.map(str::to_owned)));
        lines.push(self.empty.line("empty", None));
        for run in &self.runs {
            lines.push(run.measured.line("filled", Some(run.octets_per_message)));
        }
        lines.push(
            "times in ms since the start, memory in MiB, the last in octets a message".into(),
        );
        lines.join("\n")
    }
}

impl Measured {
    fn line(&self, name: &str, each: Option<f64>) -> String {
        let memory = [self.rss_ready_kib, self.rss_whole_kib, self.peak_kib, self.rss_kib];
        let [ready, whole, peak, last] = memory.map(|kib| (kib >> 10).to_string());
        let times = [self.first_220_ms, self.first_250_ms, self.whole_ms];
        let [greeted, taken, complete] = times.map(|ms| format!("{ms:.0}"));
        let each = each.map_or(String::new(), |each| format!("{each:.1}"));
        row([name.to_owned(), greeted, taken, complete, ready, whole, peak, last, each])
    }
}

fn row(cells: [String; 9]) -> String {
    cells.map(|cell| format!("{cell:>10}")).concat()
}
