//! The extensions that an operator may offer or not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smtp_session::server;

/// An extension of SMTP that a listener may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Extension {
    /// Content with octets above 127 (RFC 6152).
    #[serde(rename = "8BITMIME")]
    EightBitMime,
    /// Addresses and headers beyond ASCII (RFC 6531).
    SmtpUtf8,
    /// Content in chunks of known size (RFC 3030).
    Chunking,
    /// Content of any octets; goes with `CHUNKING` (RFC 3030). It only goes on to next hops that offer it too.
    BinaryMime,
    /// Who is told of what became of a message: RET, ENVID, NOTIFY, ORCPT (RFC 3461).
    Dsn,
    /// Messages that go on under verified TLS only; offered under TLS only (RFC 8689).
    RequireTls,
    /// What the listener takes at a time: recipients and transactions (RFC 9422).
    Limits,
    /// Messages that wait for their time: HOLDFOR, HOLDUNTIL (RFC 4865).
    FutureRelease,
    /// Messages with a deadline: BY (RFC 2852).
    DeliverBy,
    /// Messages that are more urgent than others (RFC 6710).
    #[serde(rename = "MT-PRIORITY")]
    MtPriority,
}

impl Extension {
    /// What is offered to everybody unless the settings say otherwise.
    pub(super) fn usual() -> Vec<Self> {
        vec![
            Self::EightBitMime,
            Self::SmtpUtf8,
            Self::Chunking,
            Self::BinaryMime,
            Self::Dsn,
            Self::RequireTls,
            Self::Limits,
        ]
    }

    /// Whether it is of use to those only who give its parameters, so that it may be named before they may.
    pub(crate) const fn is_of_parameters_only(self) -> bool {
        match self {
            Self::Dsn
            | Self::RequireTls
            | Self::FutureRelease
            | Self::DeliverBy
            | Self::MtPriority => true,
            Self::EightBitMime
            | Self::SmtpUtf8
            | Self::Chunking
            | Self::BinaryMime
            | Self::Limits => false,
        }
    }

    /// What is offered to clients that may relay, unless the settings say otherwise.
    pub(super) fn usual_for_relaying() -> Vec<Self> {
        vec![Self::FutureRelease, Self::DeliverBy]
    }
}

impl From<Extension> for server::Extension {
    fn from(extension: Extension) -> Self {
        match extension {
            Extension::EightBitMime => Self::EightBitMime,
            Extension::SmtpUtf8 => Self::SmtpUtf8,
            Extension::Chunking => Self::Chunking,
            Extension::BinaryMime => Self::BinaryMime,
            Extension::Dsn => Self::Dsn,
            Extension::RequireTls => Self::RequireTls,
            Extension::Limits => Self::Limits,
            Extension::FutureRelease => Self::FutureRelease,
            Extension::DeliverBy => Self::DeliverBy,
            Extension::MtPriority => Self::MtPriority,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Extension; 10] = [
        Extension::EightBitMime,
        Extension::SmtpUtf8,
        Extension::Chunking,
        Extension::BinaryMime,
        Extension::Dsn,
        Extension::RequireTls,
        Extension::Limits,
        Extension::FutureRelease,
        Extension::DeliverBy,
        Extension::MtPriority,
    ];

    /// The settings call an extension what EHLO calls it.
    #[test]
    fn the_names_are_those_of_the_wire() {
        for extension in ALL {
            let name = serde_json::to_value(extension).unwrap();
            assert_eq!(name, server::Extension::from(extension).keyword());
        }
    }
}
