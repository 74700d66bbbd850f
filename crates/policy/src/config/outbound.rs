//! Outbound connectors.

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{Rate, Span};

use crate::config::application::Application;
use crate::config::entries::entries;
use crate::config::login::Login;

/// Where mail for some recipient domains goes, and how.
///
/// The most specific recipient domain wins: an exact name, then the longest `*.` pattern, then `*`. Of several connectors
/// for it, the one with the most specific `from_filter` that fits wins: an address, then a domain, then none; of these the
/// smallest `priority`, then the first by name. If none fits, those of the next less specific recipient domain are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct OutboundConnector {
    /// Its name in logs, metrics and `chasqui queue`; unique among outbound connectors.
    pub name: String,
    /// Whether it is used. Mail that only a disabled connector would take finds no route.
    pub enabled: bool,
    /// Recipient domains that go this way: `example.com` itself, `*.example.com` for every name
    /// below it, `*` for all others.
    pub recipient_domains: Vec<String>,
    /// Whose mail goes this way, by the address in the From of its header: `sales@example.com` for just that one,
    /// `example.com` for all of a domain, `*.example.com` for all below it. One text with commas between them will do.
    /// Empty: everybody's.
    #[serde(deserialize_with = "entries")]
    pub from_filter: Vec<String>,
    /// Which of several connectors that could take a message does: the one with the smallest number.
    pub priority: u32,
    /// Whether only mail goes this way that a rule sends here. Such a connector is never chosen by itself.
    pub is_transport_rule_scoped: bool,
    /// What is spoken with the hosts. LMTP needs `smart_hosts`.
    pub protocol: Protocol,
    /// The smart hosts that take this mail. Empty: the mail exchangers (MX) of the recipient's
    /// domain take it.
    pub smart_hosts: Vec<SmartHost>,
    /// The application that takes this mail, in place of any host.
    pub application: Option<Application>,
    /// How to log in to the smart hosts; left out, nobody logs in.
    pub login: Option<Login>,
    /// The port of mail exchangers; smart hosts name their own.
    pub port: u16,
    /// How much TLS is asked for before mail is handed over.
    pub tls: TlsLevel,
    /// Whether TLS begins with the connection instead of by STARTTLS (RFC 8314), as it does at port 465. Needs
    /// `tls = "encrypt"`, `"verify"`, `"dane"` or `"dane-only"`.
    pub implicit_tls: bool,
    /// The addresses of this machine that connections come from, in turn, each to hosts of its own family; a host of a family
    /// that none of these has is passed over. Empty: as the system chooses. Not for Unix sockets.
    pub source_addresses: Vec<IpAddr>,
    /// The lowest version of TLS that is spoken. A host that speaks older ones only gets mail in clear text with
    /// `tls = "opportunistic"`, and none otherwise.
    pub tls_version_min: TlsVersion,
    /// The name that the host's certificate must show, instead of the host's own: `mx.partner.example`, or
    /// `*.partner.example` for any name with just one label in front. Only with `tls = "verify"`.
    pub tls_domain: Option<String>,
    /// PEM file with the certificate authorities that the host's certificate must come from; no others are trusted here
    /// then. Only with `tls = "verify"`. Read at start and at reload.
    pub ca_file: Option<PathBuf>,
    /// The certificate that we show to hosts that ask for one. Read at start and at reload; a file that cannot be used
    /// stops the start, and leaves the old certificate in use at reload.
    pub client_certificate: Option<ClientCertificate>,
    /// The address in MAIL under which mail leaves here.
    pub return_path: ReturnPath,
    /// Whether content goes in chunks (BDAT) to hosts that offer CHUNKING (RFC 3030): a small message
    /// then takes one round trip instead of two. Turn it off for hosts that do it badly; a message with
    /// `BODY=BINARYMIME` then cannot go there.
    pub chunking: bool,
    /// Whether no mail goes this way yet: only `chasqui connector test` uses it, until this is turned off.
    pub test_mode: bool,
    /// Messages that go this way in a day of UTC at most, each counted once for a destination when a host has taken it. The
    /// count is kept over restarts. Left out, there is no limit.
    pub daily_messages_max: Option<u32>,
    /// Messages that are tried this way in a time at most, such as `"600/1h"`. Begins anew at each start. Left out, there
    /// is no limit.
    #[schemars(with = "Option<String>")]
    pub rate_max: Option<Rate>,
    /// What becomes of mail for which `daily_messages_max` or `rate_max` leaves no room.
    pub on_limit: OnLimit,
    /// What is asked of one destination at most.
    pub limits: Limits,
    /// How long each step of a session may take (RFC 5321 §4.5.3.2).
    pub timeouts: Timeouts,
}

impl Default for OutboundConnector {
    fn default() -> Self {
        Self {
            name: String::new(),
            enabled: true,
            recipient_domains: vec!["*".to_owned()],
            from_filter: Vec::new(),
            priority: 10,
            is_transport_rule_scoped: false,
            protocol: Protocol::default(),
            smart_hosts: Vec::new(),
            application: None,
            login: None,
            port: 25,
            tls: TlsLevel::default(),
            implicit_tls: false,
            source_addresses: Vec::new(),
            tls_version_min: TlsVersion::default(),
            tls_domain: None,
            ca_file: None,
            client_certificate: None,
            return_path: ReturnPath::default(),
            chunking: true,
            test_mode: false,
            daily_messages_max: None,
            rate_max: None,
            on_limit: OnLimit::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl OutboundConnector {
    /// Whether mail goes this way at all.
    pub const fn carries_mail(&self) -> bool {
        self.enabled && !self.test_mode
    }

    /// Whether it logs in, and only behind TLS.
    pub fn login_needs_tls(&self) -> bool {
        self.login.as_ref().is_some_and(|login| !login.login_without_tls)
    }
}

/// The address in MAIL under which mail leaves: that of its sender, or one of ours (in `alias_domain` of `[rewrite]`), so
/// that SPF is about our domain (RFC 7208 §2.4). What comes back to ours goes to the sender. Reports keep `<>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReturnPath {
    /// The sender's.
    #[default]
    Keep,
    /// One of ours that holds the sender's address, signed (Sender Rewriting Scheme): for mail that is passed on for
    /// others. A sender in `alias_domain` itself stays.
    Srs,
    /// One of ours for each message and recipient, that also says which they are: the log names what came back. Each
    /// recipient gets a transaction of its own. Of a sender of more than some 35 octets only the address is kept, as by `srs`.
    Verp,
}

/// What becomes of mail that finds a connector at its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnLimit {
    /// It waits until there is room again.
    #[default]
    Defer,
    /// It goes by the next connector for the recipient's domain that has room and neither a From filter nor
    /// `is_transport_rule_scoped`; without one it waits.
    Spill,
}

/// What is spoken with a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// SMTP (RFC 5321).
    #[default]
    Smtp,
    /// LMTP (RFC 2033), as mailbox servers take mail: each recipient has its own answer to the
    /// content, so one full mailbox keeps nobody else waiting.
    Lmtp,
}

/// A next hop given by name or address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmartHost {
    /// A host name, whose addresses are looked up (A, AAAA), or an address; or `unix:` and the path of
    /// a Unix socket, such as `unix:/run/dovecot/lmtp`, over which TLS is not spoken.
    pub host: String,
    /// The port. LMTP mostly is at 24. Means nothing to a Unix socket.
    pub port: u16,
    /// Hosts of the smallest order are tried first; the next order is tried when none of them
    /// could be talked to.
    pub order: u16,
    /// The share of mail among hosts of the same order; 0 takes mail only when the others fail.
    pub weight: u16,
}

impl SmartHost {
    /// What stands before the path of a Unix socket.
    pub const UNIX: &str = mail::Peer::UNIX;
}

impl Default for SmartHost {
    fn default() -> Self {
        Self { host: String::new(), port: 25, order: 10, weight: 1 }
    }
}

/// How much TLS is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsLevel {
    /// No TLS, even if the host offers it.
    None,
    /// STARTTLS when offered, with any certificate; clear text otherwise (RFC 7435). A host whose TLS
    /// fails where clear text works is asked for TLS again after ten minutes.
    #[default]
    Opportunistic,
    /// STARTTLS with any certificate; without it the mail waits.
    Encrypt,
    /// STARTTLS with a certificate that names the host and chains to a trusted root; without it
    /// the mail waits.
    Verify,
    /// STARTTLS with a certificate that matches the host's TLSA records, if it has any that DNSSEC vouches for (RFC
    /// 7672); without it the mail waits. Where none of the records can be used, any certificate will do; where there is
    /// none, or DNSSEC does not vouch for the MX and the address of the host, as `opportunistic`. Needs
    /// `trusts_dnssec` in `[resolver]`.
    Dane,
    /// The same, and the mail waits where there are no TLSA records that can be used.
    #[serde(rename = "dane-only")]
    DaneOnly,
}

impl TlsLevel {
    /// As it is written in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Opportunistic => "opportunistic",
            Self::Encrypt => "encrypt",
            Self::Verify => "verify",
            Self::Dane => "dane",
            Self::DaneOnly => "dane-only",
        }
    }

    /// Whether TLSA records are asked for.
    pub const fn is_dane(self) -> bool {
        matches!(self, Self::Dane | Self::DaneOnly)
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}

/// Where a client certificate is: either `certificate` and `key`, or `pfx`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertificate {
    /// PEM file with the certificate, then its intermediates.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key (PKCS #8, PKCS #1 or SEC 1, not encrypted).
    pub key: Option<PathBuf>,
    /// PKCS #12 file (`.pfx`, `.p12`) with certificate, intermediates and key.
    pub pfx: Option<PathBuf>,
    /// The file that holds the password of `pfx` and nothing else; a line end behind it does not count. Left out if there
    /// is no password. A file that everybody may read or write is refused.
    pub password_file: Option<PathBuf>,
}

/// What is asked of one destination at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections to one destination at the same time, which is also how many of its messages are
    /// tried at the same time; further ones wait in the queue. A message waits for the host twice, so
    /// a host that answers after 50 ms takes 9 a second over each connection, 190 over 20. Hosts of
    /// strangers see an attack in many more; give a smart host that expects them as many as the rate
    /// needs.
    pub connections_max: u32,
    /// Recipients in one transaction; a message with more is sent in several
    /// (RFC 5321 §4.5.3.1.8 lets every server take 100).
    pub recipients_per_transaction_max: u32,
    /// Messages sent over one connection before it is closed.
    pub messages_per_connection_max: u32,
    /// Age after which a connection is closed at the end of its transaction.
    pub connection_age_max: Span,
    /// How long a connection is kept open without mail.
    pub connection_idle_max: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20,
            recipients_per_transaction_max: 100,
            messages_per_connection_max: 100,
            connection_age_max: Span::minutes(5),
            connection_idle_max: Span::seconds(5),
        }
    }
}

/// How long each step of a session may take; the mail is tried again later when one is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Until the TCP connection stands.
    pub connect: Span,
    /// Until the 220 (RFC 5321 §4.5.3.2.1).
    pub greeting: Span,
    /// Until the reply to EHLO, HELO or STARTTLS, for the TLS handshake, and until each reply to AUTH.
    pub ehlo: Span,
    /// Until the reply to MAIL (RFC 5321 §4.5.3.2.2).
    pub mail: Span,
    /// Until each reply to RCPT (RFC 5321 §4.5.3.2.3).
    pub rcpt: Span,
    /// Until the 354 (RFC 5321 §4.5.3.2.4).
    pub data: Span,
    /// Until the peer takes a further block of content (RFC 5321 §4.5.3.2.5).
    pub block: Span,
    /// Until the reply to the final dot (RFC 5321 §4.5.3.2.6). Too short a time makes duplicates.
    pub dot: Span,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Span::seconds(30),
            greeting: Span::minutes(5),
            ehlo: Span::minutes(5),
            mail: Span::minutes(5),
            rcpt: Span::minutes(5),
            data: Span::minutes(2),
            block: Span::minutes(3),
            dot: Span::minutes(10),
        }
    }
}
