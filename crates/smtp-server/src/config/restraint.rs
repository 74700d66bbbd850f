//! How much clients may do in a time, and what becomes of those that misbehave.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Rate, Span};

/// How much is taken in a time. What is left out is not limited.
///
/// Each is an amount and a time, such as `100/1m`: so many may come at once, and from then on as many as fit the time. A
/// reply that refuses says which limit it is and when to come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// Connections. One more is answered 421 4.7.0 and closed.
    pub connections: Option<Rate>,
    /// Messages. MAIL for one more is refused with 450 4.7.1.
    pub messages: Option<Rate>,
    /// Recipients. RCPT for one more is refused with 452 4.7.1.
    pub recipients: Option<Rate>,
    /// Octets of accepted content, such as `500MiB/1h`. Past it, the next MAIL is refused with 450 4.7.1.
    pub octets: Option<Rate<ByteSize>>,
}

/// How much an account is given in a time. What is left out is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoginRates {
    /// Messages, such as `200/1h`. MAIL for one more is refused with 450 4.7.1.
    pub messages: Option<Rate>,
    /// Recipients. RCPT for one more is refused with 452 4.7.1.
    pub recipients: Option<Rate>,
    /// Octets of accepted content. Past it, the next MAIL is refused with 450 4.7.1.
    pub octets: Option<Rate<ByteSize>>,
}

impl From<LoginRates> for Rates {
    fn from(rates: LoginRates) -> Self {
        let LoginRates { messages, recipients, octets } = rates;
        Self { connections: None, messages, recipients, octets }
    }
}

/// Rates of a listener's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Of all clients together.
    pub listener: Rates,
    /// Of each client: one IPv4 address, or one IPv6 /64 network.
    pub client: Rates,
    /// Of each network.
    pub network: Rates,
    /// Of each account that clients have logged in to, wherever they are; besides those of the clients.
    pub login: LoginRates,
    /// Bits of an IPv4 address that make its network.
    pub network_prefix_v4: u8,
    /// Bits of an IPv6 address that make its network.
    pub network_prefix_v6: u8,
    /// Clients, networks and accounts that are remembered at once, for rates and for bans; each takes 56 octets of memory. Of more,
    /// those are forgotten first that are furthest from their limits.
    pub remembered_max: usize,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            listener: Rates::default(),
            client: Rates::default(),
            network: Rates::default(),
            login: LoginRates::default(),
            network_prefix_v4: 24,
            network_prefix_v6: 48,
            remembered_max: 65_536,
        }
    }
}

/// A list of addresses in the DNS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dnsbl {
    /// Its domain, such as `zen.spamhaus.org`.
    pub zone: String,
    /// The answers that mean a client is not wanted: addresses and networks of 127.0.0.0/8. Lists answer otherwise to
    /// say that they were asked wrongly.
    #[serde(deserialize_with = "policy::config::networks")]
    #[schemars(with = "Vec<String>")]
    pub answers: Vec<IpNet>,
}

impl Default for Dnsbl {
    fn default() -> Self {
        let usual = Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 16);
        Self { zone: String::new(), answers: usual.map(IpNet::V4).into_iter().collect() }
    }
}

/// What becomes of clients that misbehave. Those that an inbound connector lets relay are spared all of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Defence {
    /// Wait before the greeting, at most 1m. A client that speaks meanwhile is refused with 554 5.5.1. `0s` is none; not on
    /// an implicit TLS port.
    pub greeting_wait: Span,
    /// Lists of addresses in the DNS from which no mail is wanted (RFC 5782), asked before the greeting. A client on one is
    /// refused with 554 5.7.1, which names the list and the address. Not for a port where clients log in.
    pub dnsbl: Vec<Dnsbl>,
    /// Wait for the answers of all lists. A list that has not answered then, or cannot, refuses nobody.
    pub dnsbl_wait_max: Span,
    /// Wait before each reply that refuses something, at most 1m. `0s` is none.
    pub tarpit: Span,
    /// Sessions that wait so at once; others are answered at once.
    pub tarpits_max: usize,
    /// Refusals after which a client is banned, such as `20/10m`: 5yz at MAIL or RCPT, sessions ended for bad commands or
    /// a foreign protocol, failed handshakes. Left out, nobody is banned.
    pub ban_after: Option<Rate>,
    /// How long a ban lasts. Meanwhile connections are answered 421 4.7.0 and closed.
    pub ban_time: Span,
}

impl Default for Defence {
    fn default() -> Self {
        Self {
            greeting_wait: Span::seconds(0),
            dnsbl: Vec::new(),
            dnsbl_wait_max: Span::seconds(3),
            tarpit: Span::seconds(0),
            tarpits_max: 100,
            ban_after: None,
            ban_time: Span::hours(1),
        }
    }
}
