//! The connectors as an operator writes them.

mod application;
mod entries;
mod expect;
mod group;
mod header_from;
mod inbound_rates;
mod login;
mod mechanism;
mod moment;
mod networks;
mod outbound;
mod plan;
mod rewrite;
mod rule;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use application::Application;
pub use expect::Expect;
pub use group::Group;
pub use header_from::HeaderFrom;
pub use inbound_rates::InboundRates;
pub use login::{Login, Token};
pub use mechanism::Mechanism;
pub use moment::Moment;
pub use networks::{ClientNetwork, Expiry, networks};
pub use outbound::{
    ClientCertificate, Limits, OnLimit, OutboundConnector, Protocol, ReturnPath, SmartHost,
    Timeouts, TlsLevel, TlsVersion,
};
pub use plan::{Feature, Plan};
pub use rewrite::{ForeignFrom, Rewrite, RewriteError};
pub use rule::{
    Actions, AuthResult, Conditions, HeaderField, HeaderPatterns, HeaderWords, Mode, Reject, Rule,
    SenderAddressLocation, Severity, TimeOfDay, TimeWindow, Weekday,
};

/// Who may relay: mail from these networks, from these holders of certificates, and from these accounts, is taken for
/// any recipient that has a route.
///
/// A client that no enabled inbound connector lists is answered 550 5.7.1 at RCPT. When several
/// networks hold the client's address, the most specific one wins; a certificate goes before an address, and a login before both. Of several connectors that would let a client in, the
/// first in this order takes a message whose `sender_domains`, `registered_senders` and `require_tls` fit it; if none fits,
/// MAIL is refused, and the log says what did not fit the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct InboundConnector {
    /// Its name in logs, metrics and `chasqui queue`; unique among inbound connectors.
    pub name: String,
    /// Whether it is used. A disabled connector lets nobody in.
    pub enabled: bool,
    /// Whose clients these are.
    pub connector_type: ConnectorType,
    /// Networks and single addresses whose clients may relay, such as `["192.0.2.0/24", "::1"]`. One that is to end is written
    /// `{ network = "192.0.2.0/24", expires = "2027-01-31" }`: to the end of that day in UTC, or to a moment such as
    /// `2027-01-31T18:00:00Z`. Empty lets nobody in.
    #[schemars(with = "Vec<String>")]
    pub sender_ip_addresses: Vec<ClientNetwork>,
    /// Host names of certificates whose holders may relay from any network, such as `["mail.example.com"]`;
    /// `*.example.com` is every name with one label more. A trusted authority must have issued the certificate (see
    /// `client_certificates` and `client_authorities` of a listener); its alternative names count, and its common
    /// name if it has none.
    pub tls_sender_certificate_names: Vec<String>,
    /// Who must have issued the certificates of `tls_sender_certificate_names`: common names such as `Example Issuing CA`, or parts of
    /// distinguished names such as `CN=Example Issuing CA, O=Example`. Empty: any authority that the listener trusts.
    pub tls_sender_certificate_issuers: Vec<String>,
    /// Accounts whose clients may relay from any network once they have logged in: names such as `alice@example.com`, all
    /// accounts of a domain as `*@example.com`, or `*` for every account. Needs a listener with `auth`.
    pub logins: Vec<String>,
    /// A further way in: `"spf"` lets a client relay for its `registered_senders` and `sender_domains`, of which there must
    /// be some, if the SPF record of the domain in MAIL names its address (RFC 7208). It is asked last, when nothing else
    /// of the client lets it in. Any other result than `pass` is refused with 550 5.7.23, 5.7.24, or 451 4.4.3.
    pub auth: Option<InboundAuth>,
    /// A note for people.
    pub comment: String,
    /// Whether mail is only taken under TLS; MAIL without it is refused with 530 5.7.0.
    pub require_tls: bool,
    /// Domains whose mail is taken, by the address in MAIL: `example.com`, `*.example.com` for all below it, `*` for every
    /// verified `[[domain]]`. Empty: mail of any domain.
    pub sender_domains: Vec<String>,
    /// Whether mail of these `sender_domains` is refused from everywhere but the `sender_ip_addresses` of this connector, whoever
    /// else would let the client in.
    pub restrict_domains_to_ip_addresses: bool,
    /// Whether mail of these `sender_domains` is refused from everybody but the holders of `tls_sender_certificate_names`.
    pub restrict_domains_to_certificate: bool,
    /// Who may send, by the address in MAIL: `alice@example.com`, `example.com` for all of a domain, `*.example.com` for
    /// all below it. The From of the header does not count, unless `header_from` says so. Empty: everybody.
    pub registered_senders: Vec<String>,
    /// Whom the From of the header may name. With any but `any` there must be one From field, all of whose addresses can
    /// be read and fit; mail with the null sender is held against `sender_domains` and `registered_senders`. A message with
    /// another From is refused with 550 5.7.1 when its content has come, before filters and rules are asked; what these
    /// make of From later is theirs.
    pub header_from: HeaderFrom,
    /// Whether mail with the null sender (`MAIL FROM:<>`), such as reports, is taken. Left out, it is, unless
    /// `sender_domains`, `registered_senders` or `header_from` ask who sends.
    pub takes_null_sender: Option<bool>,
    /// A domain of ours, such as `evidence.example`, below which every recipient domain may be written: mail for
    /// `user@their.example.evidence.example` is certified and goes to `user@their.example`, for all recipients of the
    /// message. Nothing before the suffix, or the suffix twice, is refused with 550. Left out, no name is special.
    pub certified_suffix: Option<String>,
    /// Whether SPF, DKIM, DMARC and ARC of its mail are checked, for rules that ask (`spf`, `dkim`, `dmarc`) and for the
    /// reader: an `Authentication-Results` field is added, and those that pretend to be ours are removed (RFC 8601).
    pub checks_mail_auth: bool,
    /// Whether fields that speak inside the organisation are kept: `X-MS-Exchange-Organization-*`,
    /// `X-MS-Exchange-CrossPremises-*`, `X-Chasqui-*`. `false` removes them. Left out, they are kept of the organisation's
    /// own clients and removed of a partner's (`connector_type`).
    pub cloud_services_mail_enabled: Option<bool>,
    /// Whether a message may name the outbound connector that it leaves by, in a header field `X-Chasqui-Connector: NAME`. That
    /// one is used whatever the priority, and the field is removed. Mail that it cannot take is refused with 550 5.7.1: it is
    /// disabled or not there, left to rules, or its `recipient_domains` or `from_filter` do not fit.
    pub names_connector: bool,
    /// The `[[outbound]]` of the application whose clients these are, if it has an `application`: a message with a field
    /// `X-Chasqui-Thread: NAME` belongs to its thread of that name. The field is removed, and Reply-To gets the address by
    /// which replies find the thread. What is no name of a thread is refused with 550 5.6.0.
    pub threads: Option<String>,
    /// The `[[plan]]` of the customer whose connector this is. Left out, nothing is lacking.
    pub plan: Option<String>,
    /// Connections open at once that have begun a message which this connector takes, on all listeners together. MAIL on
    /// one more is answered 421 4.7.0, and the connection is closed. Left out, there is no limit.
    pub connections_max: Option<u32>,
    /// Messages taken in a day of UTC at most. MAIL for one more is refused with 452 4.7.1. The count is kept over restarts.
    /// Left out, there is no limit.
    pub daily_messages_max: Option<u32>,
    /// Recipients of messages taken in a day of UTC at most. RCPT for one more is refused with 452 4.7.1. The count is
    /// kept over restarts. Left out, there is no limit.
    pub daily_recipients_max: Option<u32>,
    /// How much is taken in a time.
    pub rates: InboundRates,
}

impl InboundConnector {
    /// Whether anything is limited.
    pub fn has_limits(&self) -> bool {
        self.connections_max.is_some()
            || self.daily_messages_max.is_some()
            || self.daily_recipients_max.is_some()
            || self.rates != InboundRates::default()
    }
}

/// Whose clients a connector is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorType {
    /// The organisation's own: what their mail says inside the organisation is believed.
    #[default]
    OnPremises,
    /// Another organisation's: what speaks inside this one is removed from their mail.
    Partner,
}

impl InboundConnector {
    /// Whether fields that speak inside the organisation are removed from its mail.
    pub fn strips_internal_fields(&self) -> bool {
        let is_partner = self.connector_type == ConnectorType::Partner;
        self.cloud_services_mail_enabled.map_or(is_partner, |keeps| !keeps)
    }
}

/// A way in that needs no list of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InboundAuth {
    /// The sender's domain lets the client's address send (RFC 7208).
    Spf,
}

/// A domain of the organisation: one `[[domain]]` each.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Whether it is known to belong to the organisation; `*` in `sender_domains` stands for these, and no others may
    /// be named there.
    pub verified: bool,
    /// Whether the operator of this relay keeps its zone in the DNS; `chasqui domain check` then says that records of it
    /// are the operator's to publish, not its owner's.
    pub hosted: bool,
}

impl Default for InboundConnector {
    fn default() -> Self {
        Self {
            name: String::new(),
            enabled: true,
            sender_ip_addresses: Vec::new(),
            tls_sender_certificate_names: Vec::new(),
            tls_sender_certificate_issuers: Vec::new(),
            connector_type: ConnectorType::default(),
            logins: Vec::new(),
            comment: String::new(),
            require_tls: false,
            sender_domains: Vec::new(),
            restrict_domains_to_ip_addresses: false,
            restrict_domains_to_certificate: false,
            registered_senders: Vec::new(),
            header_from: HeaderFrom::Any,
            takes_null_sender: None,
            certified_suffix: None,
            auth: None,
            checks_mail_auth: false,
            cloud_services_mail_enabled: None,
            names_connector: false,
            threads: None,
            plan: None,
            connections_max: None,
            daily_messages_max: None,
            daily_recipients_max: None,
            rates: InboundRates::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_may_be_single_addresses() {
        let read: InboundConnector = serde_json::from_str(
            r#"{"name":"a","sender_ip_addresses":["192.0.2.0/24","192.0.2.7","::1"]}"#,
        )
        .unwrap();
        let texts: Vec<_> =
            read.sender_ip_addresses.iter().map(|it| it.network.to_string()).collect();
        assert_eq!(texts, ["192.0.2.0/24", "192.0.2.7/32", "::1/128"]);
        assert!(read.enabled);
    }

    #[test]
    fn a_wrong_network_or_key_is_refused_in_words() {
        let parse =
            |text: &str| serde_json::from_str::<InboundConnector>(text).unwrap_err().to_string();
        assert!(parse(r#"{"sender_ip_addresses":["192.0.2.0/33"]}"#).contains("is not a network"));
        assert!(parse(r#"{"network":[]}"#).contains("unknown field"));
        for (text, want) in [
            ("192.0.2.1/24", "did you mean \"192.0.2.0/24\", or just \"192.0.2.1\"?"),
            ("2001:db8::1/64", "did you mean \"2001:db8::/64\", or just \"2001:db8::1\"?"),
        ] {
            let said = parse(&format!("{{\"sender_ip_addresses\":[\"{text}\"]}}"));
            assert!(said.contains(want), "{said}");
        }
    }
}
