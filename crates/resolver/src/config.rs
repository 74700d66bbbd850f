//! Settings.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The DNS servers to ask, such as `["127.0.0.1:53"]`. Empty: those of `/etc/resolv.conf`. A caching server on
    /// the same machine serves a busy relay best.
    pub servers: Vec<SocketAddr>,
    /// Whether the servers validate DNSSEC, and nobody can stand between them and this machine, as with a validating
    /// server on it. Then it counts if they say that an answer is secure (the AD bit, RFC 6840 §5.8). Needed for
    /// `tls = "dane"` and `"dane-only"`: without it no answer counts as secure, so `dane` finds no TLSA records.
    pub trusts_dnssec: bool,
    /// How long one server has to answer one question. When it is over the next server is asked; when no server
    /// answers, the mail waits in the queue (451 4.4.3).
    pub answer_wait_max: Span,
    /// How many times a question is repeated before it counts as unanswered.
    pub tries_max: u16,
    /// Answers kept in memory, all kinds together; the least used go first.
    pub answers_max: u32,
    /// How long an answer is kept at most, whatever its own time to live says.
    pub answer_age_max: Span,
    /// Which kinds of addresses mail is sent to.
    pub families: Families,
}

/// Which kinds of addresses mail is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// IPv6 and IPv4 by turns, IPv6 first.
    #[default]
    Both,
    /// IPv4 only, for a machine or a reputation without IPv6.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            trusts_dnssec: false,
            answer_wait_max: Span::seconds(5),
            tries_max: 2,
            answers_max: 16_384,
            answer_age_max: Span::hours(1),
            families: Families::Both,
        }
    }
}
