//! The mechanisms of logins, on both sides.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A SASL mechanism, the strongest first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
pub enum Mechanism {
    /// A password that is never sent, tied to the TLS session (RFC 7677, RFC 9266).
    #[serde(rename = "SCRAM-SHA-256-PLUS")]
    ScramSha256Plus,
    /// A password that is never sent (RFC 7677).
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A password that is never sent, for older programs (RFC 5802).
    #[serde(rename = "SCRAM-SHA-1")]
    ScramSha1,
    /// The client certificate of the TLS session (RFC 4422 appendix A).
    #[serde(rename = "EXTERNAL")]
    External,
    /// A token of an identity provider (RFC 7628).
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
    /// A token of an identity provider, as Google and Microsoft began it.
    #[serde(rename = "XOAUTH2")]
    XOAuth2,
    /// A password in clear text (RFC 4616).
    #[serde(rename = "PLAIN")]
    Plain,
    /// A password in clear text, as the oldest programs send it.
    #[serde(rename = "LOGIN")]
    Login,
}

impl Mechanism {
    /// All of them, the strongest first.
    pub const ALL: [Self; 8] = [
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::External,
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::Plain,
        Self::Login,
    ];

    /// As it stands in EHLO and AUTH.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::External => "EXTERNAL",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The mechanism called `name`, in any case.
    pub fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Whether whoever listens learns what logs in: a password or a token.
    pub const fn is_plain_text(self) -> bool {
        matches!(self, Self::OAuthBearer | Self::XOAuth2 | Self::Plain | Self::Login)
    }

    /// Whether a connection in clear text is enough for it: nothing that logs in is shown, and no TLS is needed.
    pub const fn is_usable_without_tls(self) -> bool {
        !self.is_plain_text() && !matches!(self, Self::ScramSha256Plus | Self::External)
    }

    /// Whether it takes a token.
    pub const fn takes_token(self) -> bool {
        matches!(self, Self::OAuthBearer | Self::XOAuth2)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_wire_use_the_same_names() {
        for mechanism in Mechanism::ALL {
            let written = serde_json::to_string(&mechanism).unwrap();
            assert_eq!(written, format!("\"{mechanism}\""));
            assert_eq!(Mechanism::called(&mechanism.name().to_lowercase()), Some(mechanism));
        }
        assert_eq!(Mechanism::called("CRAM-MD5"), None);
        assert!(Mechanism::ALL.is_sorted());
    }
}
