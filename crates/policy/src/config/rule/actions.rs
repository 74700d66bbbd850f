//! What a rule does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a rule does; all that is given.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Actions {
    /// The outbound connector that takes the recipients that matched, whatever their domain.
    pub route: Option<String>,
    /// The message is refused after its content; no later rule is asked, and nothing else of any rule is done.
    pub reject: Option<Reject>,
    /// The message is taken and kept back until an operator releases it.
    pub hold: bool,
    /// Fields that are put on top of the header.
    pub add_header: Vec<HeaderField>,
    /// Fields that replace all of their name, or are added if there is none.
    pub set_header: Vec<HeaderField>,
    /// Names of fields that are taken out of the header.
    pub remove_header: Vec<String>,
    /// The address that replaces those in `From`; the display name stays. The addresses that stood there go into
    /// `Reply-To`, unless the message has one.
    pub rewrite_from: Option<String>,
    /// Addresses that get the message too.
    pub add_recipients: Vec<String>,
    /// Addresses that get the message too and of which senders hear nothing (`NOTIFY=NEVER`), such as an archive.
    pub copy_to: Vec<String>,
    /// The class of traffic that is kept with the message. Rules that ask for a `class` see what a filter gave, not this;
    /// `route` beside it gives the class connections of its own.
    pub set_class: Option<String>,
    /// Whether the message is certified: that is kept with it and logged. Receipts are not made yet.
    pub certify: bool,
}

/// How a message is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reject {
    /// The enhanced status (RFC 3463): `5.y.z` is answered as 550, `4.y.z` as 450, so that the client tries again.
    pub status: String,
    /// What the client is told; one line of ASCII.
    pub text: String,
}

impl Default for Reject {
    fn default() -> Self {
        Self {
            status: "5.7.1".to_owned(),
            text: "delivery not authorized, message refused".to_owned(),
        }
    }
}

/// A field of a header.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderField {
    /// Its name, such as `X-Origin`.
    pub name: String,
    /// Its value, on one line; what is not ASCII is written as encoded words (RFC 2047).
    pub value: String,
}
