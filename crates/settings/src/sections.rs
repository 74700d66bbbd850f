//! The settings that belong to no service.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// How the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One line per event for people.
    #[default]
    Human,
    /// One JSON object per line for machines.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Only what needs somebody.
    Error,
    /// Also what is odd.
    Warn,
    /// Also one event per outcome: the level for daily use.
    #[default]
    Info,
    /// Also the steps between.
    Debug,
    /// Everything.
    Trace,
}

/// `[log]`: what the relay writes on its standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `human` for people, `json` for machines: one object per line.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`. At `info` each message leaves one line per outcome.
    pub level: LogLevel,
}

/// `[stop]`: how the relay ends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// How long open transactions may go on after SIGTERM. New connections are refused at once; what is not done
    /// in time is answered 421 4.3.2 (reception) or tried again after the next start (delivery). Nothing accepted
    /// is lost either way.
    pub drain_wait_max: Span,
}

impl Default for Stop {
    fn default() -> Self {
        Self { drain_wait_max: Span::seconds(30) }
    }
}

/// `[runtime]`: how the relay uses the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    /// Threads that drive connections; 0 takes one per processor.
    #[schemars(range(max = 1024))]
    pub threads: usize,
}

/// Where files with connectors are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct ConnectorsFolder(pub PathBuf);

impl Default for ConnectorsFolder {
    fn default() -> Self {
        Self(PathBuf::from("connectors.d"))
    }
}
