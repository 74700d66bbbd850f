//! What an operator expects of the settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A message and the way that it must go: settings by which it goes another way are refused, at start, at reload and by
/// `chasqui config check`. `chasqui route` says why mail goes where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The address in MAIL and in the From of the header.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// The outbound connector that must take it.
    pub connector: String,
}
