//! The greylist of a listener.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// Strangers' first message from a network (IPv4 /24, IPv6 /64) and a sender to a recipient is answered 451 4.7.1 at RCPT
/// until `wait` is over; whoever queues mail comes again then.
///
/// Spared are clients that have logged in, that show a certificate which lets them relay, and those of `exempt`. Not for
/// a port where people submit mail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Greylist {
    /// How long a stranger has to wait, in whole seconds.
    pub wait: Span,
    /// How soon it has to come again, else it begins anew.
    pub retry_max: Span,
    /// How long it is known without a message.
    pub keep: Span,
    /// Networks that are spared, such as those of one's own hosts.
    #[serde(deserialize_with = "policy::config::networks")]
    #[schemars(with = "Vec<String>")]
    pub exempt: Vec<IpNet>,
    /// Triples that are remembered at once; each takes 16 octets of memory. Of more, those are forgotten first that would
    /// be soonest.
    pub remembered_max: usize,
    /// File that keeps it over a restart, written every few minutes and at the end; each listener needs one of its own.
    /// Left out, everybody waits again after a restart.
    pub file: Option<PathBuf>,
}

impl Default for Greylist {
    fn default() -> Self {
        let exempt = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
        Self {
            wait: Span::minutes(5),
            retry_max: Span::hours(24),
            keep: Span::hours(36 * 24),
            exempt: exempt.into_iter().filter_map(|network| network.parse().ok()).collect(),
            remembered_max: 1_000_000,
            file: None,
        }
    }
}

impl Greylist {
    /// Whether clients at `client` are spared.
    pub(crate) fn spares(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.exempt.iter().any(|network| network.contains(&client))
    }
}
