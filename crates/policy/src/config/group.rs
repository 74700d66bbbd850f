//! Groups of addresses that rules name.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list of addresses that rules ask for by name.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// Its name in `sender_in_group` and `recipient_in_group`; unique among groups.
    pub name: String,
    /// Addresses such as `alice@example.com`; `@example.com` is every address of that domain, `*.example.com` every
    /// address of a domain below it. Upper and lower case are alike.
    pub members: Vec<String>,
    /// A file with further members, one a line; empty lines and what follows a `#` at the start of a line or behind a
    /// space do not count. Read at start and at reload.
    pub file: Option<PathBuf>,
}
