//! What customers may use, as an operator writes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What comes with a customer's plan: the ways in and the extras that its inbound connectors (`plan`) may use.
///
/// A client that would be let in by a way that the plan lacks is refused at MAIL with 550 5.7.1 and the plan's text, unless
/// it is let in otherwise. Nothing is looked up for it, counted against a limit of the connector, or stored; for bans and
/// greylisting it is a stranger.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Its name, which inbound connectors say as `plan`; unique among plans.
    pub name: String,
    /// What comes with it; anything else is refused.
    pub includes: Vec<Feature>,
    /// What a client is told that wants more, such as who sells it. Left out, it is told what is lacking.
    pub text: String,
}

/// What may come with a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Clients are let in by `sender_ip_addresses`.
    Network,
    /// Clients are let in by `tls_sender_certificate_names`.
    Certificate,
    /// Clients are let in by `logins`.
    Login,
    /// Clients are let in by `auth = "spf"`.
    Spf,
    /// Mail is certified, by a rule (`certify`) or by `certified_suffix`. Where it is lacking, such a message is refused.
    Certify,
}

impl Feature {
    /// As it is written in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Certificate => "certificate",
            Self::Login => "login",
            Self::Spf => "spf",
            Self::Certify => "certify",
        }
    }

    /// As a client is told of it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Network => "relaying by IP address",
            Self::Certificate => "relaying by TLS certificate",
            Self::Login => "relaying by login",
            Self::Spf => "relaying by SPF",
            Self::Certify => "certified mail",
        }
    }
}
