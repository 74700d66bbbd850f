//! What is sent.

use serde::Deserialize;
use units::ByteSize;

use crate::domains::Domains;
use crate::pace::Pace;
use crate::size::Sizes;

/// The load, as a scenario has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Load {
    /// How many messages to send.
    pub(crate) messages: u64,
    /// How many connections send at the same time.
    pub(crate) connections: usize,
    /// Messages a connection carries before it is closed; 0 for no end.
    pub(crate) per_connection: u64,
    /// Size of each message, headers included.
    pub(crate) size: Sizes,
    /// Recipients of each message.
    pub(crate) recipients: Recipients,
    /// Recipient domains.
    pub(crate) domains: Domains,
    /// When a message is sent.
    pub(crate) pace: Pace,
    /// Send MAIL, RCPT and DATA in one go (RFC 2920).
    pub(crate) pipelining: bool,
    /// How connections are encrypted.
    pub(crate) tls: SourceTls,
    /// Later connections resume the TLS session of earlier ones.
    pub(crate) tls_resumption: bool,
    /// Who logs in, after TLS where there is any.
    pub(crate) login: Option<Login>,
    /// Which contents the sink compares with what was sent.
    pub(crate) verify: Verify,
    /// Other seeds give other sizes, recipients and faults; the same seed gives the same.
    pub(crate) seed: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            messages: 10_000,
            connections: 50,
            per_connection: 0,
            size: Sizes::Fixed(ByteSize::kib(10)),
            recipients: Recipients::Fixed(1),
            domains: Domains::InTurn(1),
            pace: Pace::CLOSED,
            pipelining: false,
            tls: SourceTls::Off,
            tls_resumption: false,
            login: None,
            verify: Verify::All,
            seed: 1,
        }
    }
}

/// How many recipients a message has.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a number of recipients, or a list of { count, weight }"
)]
pub(crate) enum Recipients {
    /// `recipients = 1`.
    Fixed(u32),
    /// `recipients = [{ count = 1, weight = 9.0 }, { count = 20, weight = 1.0 }]`.
    Weighted(Vec<WeightedCount>),
}

/// A number of recipients and how often it comes, relative to the others.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightedCount {
    pub(crate) count: u32,
    pub(crate) weight: f64,
}

/// How the source's connections are encrypted.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceTls {
    /// Not at all.
    #[default]
    Off,
    /// After STARTTLS.
    Starttls,
    /// From the first octet.
    Implicit,
}

/// Which contents are compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verify {
    /// Each, octet by octet.
    #[default]
    All,
    /// None: only the number is read.
    None,
}

/// A user of the relay.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
    /// How both are said.
    #[serde(default)]
    pub(crate) mechanism: Mechanism,
}

/// How a user logs in (RFC 4954).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mechanism {
    /// AUTH PLAIN with an initial response.
    #[default]
    Plain,
    /// AUTH LOGIN, a question each.
    Login,
}
