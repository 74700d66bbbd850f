//! What an operator sets of a listener.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tls::server::ClientCertificates;
use units::{ByteSize, Span};

mod auth;
mod extension;
mod greylist;
mod restraint;

pub use auth::Auth;
pub use extension::Extension;
pub use greylist::Greylist;
pub use restraint::{Defence, Dnsbl, LoginRates, RateLimits, Rates};

/// One address that takes mail, with its own limits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// Name in logs, metrics and `chasqui status`; each listener has its own.
    pub name: String,
    /// IP address and port. `0.0.0.0` is every IPv4 address and `[::]` every IPv6 address of the
    /// machine; list two listeners for both. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// Whether and how TLS is spoken.
    pub tls: ListenerTls,
    /// PEM file with the certificate, then its intermediates. Needed for `starttls` and `implicit`;
    /// read again on reload.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key, not encrypted.
    pub key: Option<PathBuf>,
    /// Further certificates, each with its `certificate` and `key`. A client that asks for a name (SNI) is shown the
    /// first one that is for it, by name or by a wildcard of one label; any other client is shown the one above.
    pub certificates: Vec<tls::server::Config>,
    /// The oldest version of TLS that is spoken: `1.2` or `1.3`. A client that has only older ones is refused in the
    /// handshake.
    pub tls_min: tls::server::Version,
    /// Whether clients are asked for a certificate: `no`, `ask`, or `require`. One that is trusted may let its holder
    /// relay (`tls_sender_certificate_names` of an inbound connector). With `ask`, a client without one, or with one that is not
    /// trusted, goes on as if it had none; with `require` its handshake is refused. What a certificate may be used for
    /// (extended key usage) is checked: for clients or for servers, or not stated, since mail hosts have those of servers.
    pub client_certificates: ClientCertificates,
    /// PEM file with the authorities that clients' certificates must come from, such as a company's own; read again on
    /// reload. Left out, it is those that the system trusts.
    pub client_authorities: Option<PathBuf>,
    /// With `tls = "starttls"`: whether MAIL is refused with 530 5.7.0 until STARTTLS has been done
    /// (RFC 3207 §4). Not for a port that takes mail from the whole Internet.
    pub requires_tls: bool,
    /// Networks of proxies, such as `HAProxy`, that begin each connection with the header of the PROXY protocol (version 1
    /// or 2), before TLS too. The address in it counts as the client's for everything. A connection from there without
    /// the header within `handshake_wait_max` is closed; from anywhere else the header is refused with 554 5.5.1.
    #[serde(deserialize_with = "policy::config::networks")]
    #[schemars(with = "Vec<String>")]
    pub proxy_networks: Vec<IpNet>,
    /// Networks of proxies that are offered XCLIENT (Postfix's extension), by which they say whose session they pass on.
    /// From anywhere else it is refused with 550 5.7.0. All that such a proxy says is believed: its clients' addresses and,
    /// with `auth`, the accounts that they have logged in to at the proxy (`LOGIN`). It must not pass on an XCLIENT of its
    /// own clients: one that is not a filtering SMTP proxy, such as a TCP or TLS forwarder, does, and must not be listed.
    #[serde(deserialize_with = "policy::config::networks")]
    #[schemars(with = "Vec<String>")]
    pub xclient_networks: Vec<IpNet>,
    /// Left out, AUTH is not offered (502 5.5.1).
    pub auth: Option<Auth>,
    /// Connections open at once. One more is answered 421 4.3.2 and closed; on an implicit TLS port it
    /// is closed without a word.
    pub connections_max: usize,
    /// Connections open at once from one IPv4 address or one IPv6 /64 network. One more is answered
    /// 421 4.7.0 and closed.
    pub connections_per_client_max: usize,
    /// Connections open at once from one network, whose size `rates.network_prefix_v4` and `network_prefix_v6` say. One more
    /// is answered 421 4.7.0 and closed. Left out, as many as the listener takes.
    pub connections_per_network_max: Option<usize>,
    /// Connections open at once that are logged in to one account. A login on one more is answered 421 4.7.0, and the
    /// connection is closed. Left out, as many as the listener takes.
    pub connections_per_login_max: Option<usize>,
    /// TLS handshakes going on at once. One more waits; past `handshake_wait_max` it is closed.
    pub handshakes_max: usize,
    /// How much clients may do in a time.
    pub rates: RateLimits,
    /// What becomes of clients that misbehave.
    pub defence: Defence,
    /// Left out, nobody is greylisted.
    pub greylist: Option<Greylist>,
    /// Connections that the system holds until they are accepted.
    pub backlog: u32,
    /// Largest message taken. Announced as `SIZE` (RFC 1870); larger mail is refused with
    /// 552 5.3.4 at MAIL if declared, else at the end of its content.
    pub message_octets_max: ByteSize,
    /// Recipients of one transaction, at least 100 (RFC 5321 §4.5.3.1.8). One more is refused with
    /// 452 4.5.3; the client sends the rest in a further transaction.
    pub recipients_max: usize,
    /// Longest command line with its CRLF, at least 512 (RFC 5321 §4.5.3.1.4). A longer one is
    /// refused with 500 5.5.2.
    pub command_octets_max: ByteSize,
    /// Largest header of a message. A larger one is refused with 552 5.3.4 at the end of the content.
    pub header_octets_max: ByteSize,
    /// Longest line of content with its CRLF, at least 1000 (RFC 5321 §4.5.3.1.6). A message with a
    /// longer one is refused with 554 5.6.0 at the end of the content.
    pub text_line_octets_max: ByteSize,
    /// Whether content may hold NULs, which no text does (RFC 2045 §2.8) and which some servers drop or end a line at. If
    /// not, a message with one is refused with 554 5.6.0 at the end of the content.
    pub takes_nul: bool,
    /// `Received` fields of a message, at least 100 (RFC 5321 §6.3). One with more is taken to go in
    /// circles and refused with 554 5.4.6.
    pub hops_max: u32,
    /// Commands that may fail in one session. One more ends it with 421 4.7.0.
    pub bad_commands_max: u32,
    /// Messages in one session. The next MAIL is answered 421 4.7.0 and the session ends; a client
    /// that has more connects again.
    pub transactions_max: u32,
    /// Extensions offered to every client, besides PIPELINING, SIZE, ENHANCEDSTATUSCODES and STARTTLS.
    /// A parameter of an extension that is not offered is refused with 555 5.5.4.
    pub extensions: Vec<Extension>,
    /// Extensions offered, besides those, to clients that an inbound connector lets relay. Where clients can log in, EHLO
    /// names the ones that are parameters (all but `8BITMIME`, `SMTPUTF8`, `CHUNKING`, `BINARYMIME` and `LIMITS`) before
    /// they have; until then a parameter is refused with 530 5.7.0.
    pub extensions_for_relaying: Vec<Extension>,
    /// With `FUTURERELEASE`: longest time for which a message may be held. A longer one is refused with
    /// 501 5.5.4 at MAIL (RFC 4865).
    pub hold_max: Span,
    /// With `DELIVERBY`: least time to deliver a message that is else to be returned. A shorter one is
    /// refused with 501 5.5.4 at MAIL (RFC 2852).
    pub deliver_by_min: Span,
    /// With `MT-PRIORITY`: name of the profile that EHLO tells; empty for none (RFC 6710 §10).
    pub priority_profile: String,
    /// Wait for the next command, at least 5m on the Internet (RFC 5321 §4.5.3.2.7). Then the session
    /// ends with 421 4.4.2.
    pub idle_wait_max: Span,
    /// Wait for more of a message's content. Then the session ends with 421 4.4.2.
    pub data_wait_max: Span,
    /// Octets a second that content comes with at least, averaged over each `data_wait_max` from the
    /// start of the content. Below it the session ends with 421 4.4.2. `0B` is any speed.
    pub data_rate_min: ByteSize,
    /// Length of a whole session. Then it ends with 421 4.4.2, but not in the middle of a commit.
    pub session_wait_max: Span,
    /// Wait for a client to read a reply. Then the connection is closed.
    pub write_wait_max: Span,
    /// Wait for a TLS handshake, in line and under way. Then the connection is closed.
    pub handshake_wait_max: Span,
    /// Wait for the spool to take a piece of content. Then the message is refused with 451 4.3.0.
    pub store_wait_max: Span,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            name: "smtp".to_owned(),
            address: SocketAddr::from(([0, 0, 0, 0], 25)),
            tls: ListenerTls::None,
            certificate: None,
            key: None,
            certificates: Vec::new(),
            tls_min: tls::server::Version::default(),
            client_certificates: ClientCertificates::No,
            client_authorities: None,
            requires_tls: false,
            proxy_networks: Vec::new(),
            xclient_networks: Vec::new(),
            auth: None,
            connections_max: 2000,
            connections_per_client_max: 200,
            connections_per_network_max: None,
            connections_per_login_max: None,
            handshakes_max: 256,
            rates: RateLimits::default(),
            defence: Defence::default(),
            greylist: None,
            backlog: 1024,
            message_octets_max: ByteSize::mib(50),
            recipients_max: 1000,
            command_octets_max: ByteSize::kib(4),
            header_octets_max: ByteSize::kib(256),
            text_line_octets_max: ByteSize::mib(1),
            takes_nul: false,
            hops_max: 100,
            bad_commands_max: 20,
            transactions_max: 10_000,
            extensions: Extension::usual(),
            extensions_for_relaying: Extension::usual_for_relaying(),
            hold_max: Span::hours(7 * 24),
            deliver_by_min: Span::minutes(1),
            priority_profile: "MIXER".to_owned(),
            idle_wait_max: Span::minutes(5),
            data_wait_max: Span::minutes(5),
            data_rate_min: ByteSize::octets(100),
            session_wait_max: Span::hours(2),
            write_wait_max: Span::minutes(1),
            handshake_wait_max: Span::seconds(30),
            store_wait_max: Span::seconds(30),
        }
    }
}

/// Whether and how a listener speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListenerTls {
    /// Never.
    #[default]
    None,
    /// When the client asks for it (RFC 3207).
    StartTls,
    /// From the first octet (RFC 8314), as on port 465.
    Implicit,
}

/// What is wrong with a listener's settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `tls` is on and a file is missing.
    #[error("listener \"{0}\": tls needs both `certificate` and `key`")]
    NoCertificate(String),
    /// `requires_tls` where there is none.
    #[error("listener \"{0}\": requires_tls needs tls = \"starttls\" or \"implicit\"")]
    RequiresTls(String),
    /// Clients cannot be asked for certificates where there is no TLS.
    #[error("listener \"{0}\": client_certificates needs tls = \"starttls\" or \"implicit\"")]
    ClientCertificates(String),
    /// Everybody would be believed to be anybody.
    #[error("listener \"{listener}\": {key} must not be everybody")]
    ProxyEverybody {
        /// The listener.
        listener: String,
        /// The setting.
        key: &'static str,
    },
    /// `auth` with nothing that a client could use.
    #[error("listener \"{0}\": no mechanism of `auth` could be used here")]
    NoMechanism(String),
    /// A list that cannot be asked.
    #[error("listener \"{listener}\": `{zone}` is not the domain of a list")]
    Dnsbl {
        /// The listener.
        listener: String,
        /// What stands there.
        zone: String,
    },
    /// BINARYMIME without CHUNKING.
    #[error("listener \"{0}\": BINARYMIME needs CHUNKING")]
    BinaryMime(String),
    /// What cannot stand in EHLO's reply.
    #[error("listener \"{0}\": priority_profile has letters, digits and `-` only")]
    PriorityProfile(String),
    /// A limit under what it must be.
    #[error("listener \"{listener}\": {key} is less than {least}")]
    TooSmall {
        /// The listener.
        listener: String,
        /// The setting.
        key: &'static str,
        /// What it must be at least.
        least: u64,
    },
    /// A limit above what it may be.
    #[error("listener \"{listener}\": {key} is more than {most}")]
    TooBig {
        /// The listener.
        listener: String,
        /// The setting.
        key: &'static str,
        /// What it may be at most.
        most: &'static str,
    },
}

impl Listener {
    /// Whether a connection from `peer` begins with a proxy's header.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        holds(&self.proxy_networks, peer)
    }

    /// Whether a client at `peer` may say whose session it passes on.
    pub(crate) fn takes_xclient(&self, peer: IpAddr) -> bool {
        holds(&self.xclient_networks, peer)
    }

    /// Says all that is wrong; empty when nothing is.
    pub fn problems(&self) -> Vec<ConfigError> {
        let name = || self.name.clone();
        let mut problems = Vec::new();
        if self.tls != ListenerTls::None && (self.certificate.is_none() || self.key.is_none()) {
            problems.push(ConfigError::NoCertificate(name()));
        }
        if self.tls == ListenerTls::None && self.requires_tls {
            problems.push(ConfigError::RequiresTls(name()));
        }
        if self.tls == ListenerTls::None && self.client_certificates != ClientCertificates::No {
            problems.push(ConfigError::ClientCertificates(name()));
        }
        for (key, networks) in
            [("proxy_networks", &self.proxy_networks), ("xclient_networks", &self.xclient_networks)]
        {
            if networks.iter().any(|network| network.prefix_len() == 0) {
                problems.push(ConfigError::ProxyEverybody { listener: name(), key });
            }
        }
        let lacks_way = |auth: &Auth| match self.tls {
            ListenerTls::None => !auth.has_way_without_tls(),
            ListenerTls::StartTls | ListenerTls::Implicit => auth.mechanisms.is_empty(),
        };
        if self.auth.as_ref().is_some_and(lacks_way) {
            problems.push(ConfigError::NoMechanism(name()));
        }
        let offers =
            |it| self.extensions.contains(&it) || self.extensions_for_relaying.contains(&it);
        if offers(Extension::BinaryMime) && !self.extensions.contains(&Extension::Chunking) {
            problems.push(ConfigError::BinaryMime(name()));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !self.priority_profile.bytes().all(is_plain) {
            problems.push(ConfigError::PriorityProfile(name()));
        }
        problems.extend(self.problems_of_restraint());
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let limits = [
            ("connections_max", count(self.connections_max), 1),
            ("connections_per_client_max", count(self.connections_per_client_max), 1),
            (
                "connections_per_network_max",
                count(self.connections_per_network_max.unwrap_or(usize::MAX)),
                1,
            ),
            (
                "connections_per_login_max",
                count(self.connections_per_login_max.unwrap_or(usize::MAX)),
                1,
            ),
            ("handshakes_max", count(self.handshakes_max), 1),
            ("message_octets_max", self.message_octets_max.as_octets(), 64 << 10),
            ("recipients_max", count(self.recipients_max), 1),
            ("command_octets_max", self.command_octets_max.as_octets(), 512),
            ("header_octets_max", self.header_octets_max.as_octets(), 1024),
            ("text_line_octets_max", self.text_line_octets_max.as_octets(), 1000),
            ("hops_max", u64::from(self.hops_max), 1),
            ("transactions_max", u64::from(self.transactions_max), 1),
            ("rates.remembered_max", count(self.rates.remembered_max), 8),
        ];
        for (key, value, least) in limits {
            if value < least {
                problems.push(ConfigError::TooSmall { listener: name(), key, least });
            }
        }
        problems
    }

    fn problems_of_restraint(&self) -> Vec<ConfigError> {
        let name = || self.name.clone();
        let mut problems = Vec::new();
        let (rates, defence) = (&self.rates, &self.defence);
        for list in &defence.dnsbl {
            // The longest name that is put before it is that of an IPv6 address.
            let is_zone = mail::Domain::parse(&list.zone)
                .is_ok_and(|zone| zone.literal().is_none() && zone.as_str().len() <= 180);
            if !is_zone {
                problems.push(ConfigError::Dnsbl { listener: name(), zone: list.zone.clone() });
            }
        }
        if let Some(greylist) = &self.greylist {
            if greylist.wait >= greylist.retry_max {
                let (key, most) = ("greylist.wait", "greylist.retry_max");
                problems.push(ConfigError::TooBig { listener: name(), key, most });
            }
            if greylist.remembered_max < 8 {
                let (key, least) = ("greylist.remembered_max", 8);
                problems.push(ConfigError::TooSmall { listener: name(), key, least });
            }
        }
        let minute = Span::minutes(1);
        let most = [
            ("rates.network_prefix_v4", rates.network_prefix_v4 <= 32, "32"),
            ("rates.network_prefix_v6", rates.network_prefix_v6 <= 128, "128"),
            ("defence.greeting_wait", defence.greeting_wait <= minute, "1m"),
            ("defence.dnsbl_wait_max", defence.dnsbl_wait_max <= minute, "1m"),
            ("defence.tarpit", defence.tarpit <= minute, "1m"),
        ];
        for (key, _, most) in most.into_iter().filter(|(_, is_right, _)| !is_right) {
            problems.push(ConfigError::TooBig { listener: name(), key, most });
        }
        problems
    }
}

fn holds(networks: &[IpNet], peer: IpAddr) -> bool {
    // The usual listener has none.
    !networks.is_empty() && {
        let peer = peer.to_canonical();
        networks.iter().any(|network| network.contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(Listener::default().problems(), []);
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let listener = Listener {
            tls: ListenerTls::StartTls,
            command_octets_max: ByteSize::octets(100),
            ..Listener::default()
        };
        let words: Vec<_> = listener.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "listener \"smtp\": tls needs both `certificate` and `key`",
                "listener \"smtp\": command_octets_max is less than 512",
            ]
        );
        let auth = Auth { mechanisms: vec![policy::config::Mechanism::Plain], ..Auth::default() };
        let listener = Listener { auth: Some(auth.clone()), ..Listener::default() };
        assert_eq!(listener.problems(), [ConfigError::NoMechanism("smtp".to_owned())]);
        let auth = Auth { login_without_tls: true, ..auth };
        let listener = Listener { auth: Some(auth), ..Listener::default() };
        assert_eq!(listener.problems(), []);
        let listener = Listener { requires_tls: true, ..Listener::default() };
        assert_eq!(listener.problems(), [ConfigError::RequiresTls("smtp".to_owned())]);
    }
}
