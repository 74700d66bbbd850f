//! Where events of the log go, and how they look.

mod event;
mod gather;
mod lines;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::Context;
use settings::{Log, LogFormat, LogLevel};
use tracing_subscriber::EnvFilter;

use self::gather::Gathering;
use self::lines::{Human, Json};
use crate::failure::Result;

/// Libraries that say much at `info` that no operator asks for.
const QUIET: &str = "hickory_resolver=warn,hickory_proto=warn,hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn,tokio_rustls=warn";

/// Begins to write events to `file`, or on standard error. A second call, as in tests, changes nothing.
///
/// Keep what is returned until the end: dropped, it writes what is left.
pub(crate) fn start(log: &Log, file: Option<&Path>) -> Result<Gathering> {
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let (writer, is_terminal): (Box<dyn io::Write + Send>, bool) = match file {
        None => (Box::new(io::stderr()), io::stderr().is_terminal()),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file =
                file.with_context(|| format!("the log {} cannot be written", path.display()))?;
            (Box::new(file), false)
        }
    };
    let gathering = Gathering::start(writer).context("the log's thread cannot be started")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{level},{QUIET}")))
        .with_writer(gathering.lines())
        .with_ansi(is_terminal);
    let started = match log.format {
        LogFormat::Human => builder.event_format(Human).try_init(),
        LogFormat::Json => builder.event_format(Json).try_init(),
    };
    drop(started);
    Ok(gathering)
}
