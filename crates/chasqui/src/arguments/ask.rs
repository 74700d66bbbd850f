//! How a running relay is asked, and its settings file named.

use std::path::PathBuf;

use clap::Args;

/// Where a packaged relay keeps its settings.
pub(crate) const SETTINGS: &str = "/etc/chasqui/chasqui.toml";

/// How a running relay is reached.
#[derive(Clone, Debug, Args)]
pub struct Reach {
    /// The settings file of the relay, which names its admin socket.
    #[arg(long, value_name = "FILE", default_value = SETTINGS, conflicts_with = "socket")]
    pub config: PathBuf,
    /// The relay's admin socket.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// A command about a settings file.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = SETTINGS)]
    pub config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// A command that asks a running relay and prints the answer.
#[derive(Clone, Debug, Args)]
pub struct Ask {
    /// How the relay is reached.
    #[command(flatten)]
    pub reach: Reach,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
