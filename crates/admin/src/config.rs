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
    /// Address of `/metrics`, `/health/live` and `/health/ready` over plain HTTP. Nothing can be changed here, but
    /// everybody who can connect can read. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Connections to each admin listener at once; more wait until one ends.
    #[schemars(range(min = 1, max = 10000))]
    pub connections_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/chasqui/admin.sock"),
            listen_enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9925)),
            connections_max: 64,
        }
    }
}
