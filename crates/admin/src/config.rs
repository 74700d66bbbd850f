//! Settings of the admin listeners.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where operators and monitoring reach the relay.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Unix socket of the control API, which the command line uses. It is made with mode 0600, so only the
    /// relay's own user and root may control it. Its folder must exist.
    pub socket: PathBuf,
    /// Whether metrics and health are also served on TCP, at `listen`.
    pub listen_enabled: bool,
    /// Address of `/metrics`, `/health/live` and `/health/ready` over plain HTTP, which everybody who can connect can
    /// read; and of the control API for those who hold a `token`. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Connections to each admin listener at once; more wait until one ends.
    #[schemars(range(min = 1, max = 10000))]
    pub connections_max: usize,
    /// Who may use the control API over TCP too, one `[[admin.token]]` each; without any it is not served there.
    pub token: Vec<Token>,
}

/// A bearer token: whoever shows it (`Authorization: Bearer …`) may use the control API over TCP.
///
/// `chasqui token new` makes one. Anybody who can listen to plain HTTP learns it: let `admin.listen` be an address of
/// this machine, or stand behind a proxy that speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// Who holds it, as the log's `audit` lines say.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The file with the token's SHA-256 hash in hexadecimal digits and nothing else; read each time the token is shown.
    pub hash_file: PathBuf,
}

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything, change nothing.
    #[default]
    Viewer,
    /// Everything that the command line can do.
    Admin,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/chasqui/admin.sock"),
            listen_enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9925)),
            connections_max: 64,
            token: Vec::new(),
        }
    }
}
