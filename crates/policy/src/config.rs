//! The connectors as an operator writes them.

mod group;
mod login;
mod mechanism;
mod moment;
mod networks;
mod outbound;
mod rewrite;
mod rule;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use group::Group;
pub use login::{Login, Token};
pub use mechanism::Mechanism;
pub use moment::Moment;
pub use networks::networks;
pub use outbound::{
    ClientCertificate, Limits, OutboundConnector, Protocol, SmartHost, Timeouts, TlsLevel,
    TlsVersion,
};
pub use rewrite::{Rewrite, RewriteError};
pub use rule::{
    Actions, AuthResult, Conditions, HeaderField, HeaderPatterns, HeaderWords, Mode, Reject, Rule,
    SenderAddressLocation, Severity, TimeOfDay, TimeWindow, Weekday,
};

/// Who may relay: mail from these networks, from these holders of certificates, and from these accounts, is taken for
/// any recipient that has a route.
///
/// A client that no enabled inbound connector lists is answered 550 5.7.1 at RCPT. When several
/// networks hold the client's address, the most specific one wins; a certificate goes before an address, and a login before both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InboundConnector {
    /// Its name in logs, metrics and `chasqui queue`; unique among inbound connectors.
    pub name: String,
    /// Whether it is used. A disabled connector lets nobody in.
    pub enabled: bool,
    /// Networks and single addresses whose clients may relay, such as `["192.0.2.0/24", "::1"]`.
    /// Empty lets nobody in.
    #[serde(deserialize_with = "networks")]
    #[schemars(with = "Vec<String>")]
    pub networks: Vec<IpNet>,
    /// Host names of certificates whose holders may relay from any network, such as `["mail.example.com"]`;
    /// `*.example.com` is every name with one label more. A trusted authority must have issued the certificate (see
    /// `client_certificates` and `client_authorities` of a listener); its alternative names count, and its common
    /// name if it has none.
    pub certificate_names: Vec<String>,
    /// Accounts whose clients may relay from any network once they have logged in: names such as `alice@example.com`, all
    /// accounts of a domain as `*@example.com`, or `*` for every account. Needs a listener with `auth`.
    pub logins: Vec<String>,
}

impl Default for InboundConnector {
    fn default() -> Self {
        Self {
            name: String::new(),
            enabled: true,
            networks: Vec::new(),
            certificate_names: Vec::new(),
            logins: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_may_be_single_addresses() {
        let read: InboundConnector =
            serde_json::from_str(r#"{"name":"a","networks":["192.0.2.0/24","192.0.2.7","::1"]}"#)
                .unwrap();
        let texts: Vec<_> = read.networks.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["192.0.2.0/24", "192.0.2.7/32", "::1/128"]);
        assert!(read.enabled);
    }

    #[test]
    fn a_wrong_network_or_key_is_refused_in_words() {
        let parse = |text| serde_json::from_str::<InboundConnector>(text).unwrap_err().to_string();
        assert!(parse(r#"{"networks":["192.0.2.0/33"]}"#).contains("is not a network"));
        assert!(parse(r#"{"network":[]}"#).contains("unknown field"));
    }
}
