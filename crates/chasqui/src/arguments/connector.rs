//! `connector`.

use std::path::PathBuf;

use admin::view::Direction;
use clap::{Args, Subcommand, ValueEnum};

use crate::arguments::ask::{Ask, Reach};

/// `connector`.
#[derive(Debug, Subcommand)]
pub enum Connector {
    /// List connectors
    List(Ask),
    /// Show one connector with every field, also those that are not set
    Show(ConnectorWhich),
    /// Add a connector
    Add(ConnectorAdd),
    /// Change fields of a connector
    Set(ConnectorSet),
    /// Use a connector
    Enable(ConnectorChange),
    /// Use a connector no more
    Disable(ConnectorChange),
    /// Remove a connector
    Remove(ConnectorChange),
    /// Try an outbound connector as mail would use it, up to RCPT, and send nothing
    ///
    /// Each step is shown with what it came to and what to do: the name, the connection, TLS, EHLO, the login, MAIL and
    /// RCPT. The running relay does it with what deliveries use; while none runs, this command does it by the settings'
    /// files. A disabled connector is tried by its settings. Exits with 1 if mail does not go.
    Test(ConnectorTest),
    /// Take connectors over from New-InboundConnector and New-OutboundConnector, or from the JSON of Get-InboundConnector
    Import(ConnectorImport),
    /// Write connectors as such commands or JSON
    Export(ConnectorExport),
}

/// Which way.
#[derive(Clone, Copy, Debug, Args)]
pub struct Way {
    /// Mail comes in by it.
    #[arg(long, conflicts_with = "outbound")]
    pub inbound: bool,
    /// Mail goes out by it.
    #[arg(long)]
    pub outbound: bool,
}

impl Way {
    /// If it was said.
    pub fn direction(self) -> Option<Direction> {
        match (self.inbound, self.outbound) {
            (true, _) => Some(Direction::Inbound),
            (false, true) => Some(Direction::Outbound),
            (false, false) => None,
        }
    }
}

/// How sure the operator is.
#[derive(Clone, Copy, Debug, Args)]
pub struct Yes {
    /// Change it without asking.
    #[arg(long)]
    pub yes: bool,
    /// Only say what would change.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// `connector show`; the connector that is shown or changed.
#[derive(Debug, Args)]
pub struct ConnectorWhich {
    /// How the relay is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// Needed only where both directions have the name.
    #[command(flatten)]
    pub direction: Way,
    /// The connector's name.
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `connector enable`, `disable` and `remove`.
#[derive(Debug, Args)]
pub struct ConnectorChange {
    /// Which.
    #[command(flatten)]
    pub which: ConnectorWhich,
    /// Whether to ask.
    #[command(flatten)]
    pub yes: Yes,
}

/// `connector add`.
#[derive(Debug, Args)]
pub struct ConnectorAdd {
    /// How the relay is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// Which way.
    #[command(flatten)]
    pub direction: Way,
    /// Whether to ask.
    #[command(flatten)]
    pub yes: Yes,
    /// Whether to try it first.
    #[command(flatten)]
    pub first: TestFirst,
    /// Its name, unique among those of its direction.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Fields as in the settings, with values in TOML.
    #[arg(value_name = "KEY=VALUE")]
    pub fields: Vec<String>,
}

/// `connector set`.
#[derive(Debug, Args)]
pub struct ConnectorSet {
    /// Which.
    #[command(flatten)]
    pub which: ConnectorWhich,
    /// Whether to ask.
    #[command(flatten)]
    pub yes: Yes,
    /// Whether to try it first.
    #[command(flatten)]
    pub first: TestFirst,
    /// Fields as in the settings, with values in TOML; nothing behind the `=` gives a field its default back.
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub fields: Vec<String>,
}

/// Whether a connector is tried before it is saved.
#[derive(Clone, Debug, Args)]
pub struct TestFirst {
    /// Try the connector as it would be; if mail does not go, it is saved only when that is confirmed, or with --yes.
    #[arg(long, requires = "from", requires = "to")]
    pub test: bool,
    /// With --test: the sender that MAIL names.
    #[arg(long, value_name = "ADDRESS", requires = "test")]
    pub from: Option<String>,
    /// With --test: the recipient that RCPT names.
    #[arg(long, value_name = "ADDRESS", requires = "test")]
    pub to: Option<String>,
}

/// `connector test`.
#[derive(Debug, Args)]
pub struct ConnectorTest {
    /// How the relay is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// Its name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The sender that MAIL names; empty is the null sender.
    #[arg(long, value_name = "ADDRESS")]
    pub from: String,
    /// The recipient that RCPT names.
    #[arg(long, value_name = "ADDRESS")]
    pub to: String,
    /// Really send a small message in the end.
    #[arg(long)]
    pub probe: bool,
}

/// `connector import`.
#[derive(Debug, Args)]
pub struct ConnectorImport {
    /// How the relay is asked.
    #[command(flatten)]
    pub ask: Ask,
    /// Whether to ask.
    #[command(flatten)]
    pub yes: Yes,
    /// The commands or the JSON; `-` reads standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `connector export`.
#[derive(Debug, Args)]
pub struct ConnectorExport {
    /// How the relay is reached.
    #[command(flatten)]
    pub reach: Reach,
    /// In which words.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = ExportFormat::Powershell)]
    pub format: ExportFormat,
}

/// The words of `connector export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// New-InboundConnector and New-OutboundConnector.
    Powershell,
    /// As Get-InboundConnector | ConvertTo-Json writes it.
    Json,
}
