//! What is asked of the From of a header, as an operator writes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whom the From of a header may name.
///
/// With any but `any`, a message must have one From field, and it must be possible to read the addresses in it, all of
/// which must fit. Mail with the null sender, which names nobody that From could be held against, is held against
/// `sender_domains` and `registered_senders`, if there are such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderFrom {
    /// Anybody; the header is not looked at.
    #[default]
    Any,
    /// Somebody in the domain of the sender in MAIL.
    SameDomain,
    /// The sender in MAIL.
    SameAddress,
    /// Whom `sender_domains` and `registered_senders` let send.
    Registered,
}

impl HeaderFrom {
    /// As it is written in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::SameDomain => "same-domain",
            Self::SameAddress => "same-address",
            Self::Registered => "registered",
        }
    }

    /// Whether it is held against the sender in MAIL.
    pub(crate) const fn asks_sender(self) -> bool {
        matches!(self, Self::SameDomain | Self::SameAddress)
    }
}
