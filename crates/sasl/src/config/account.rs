//! An account as an operator writes it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One `[[account]]` of the accounts' file. `chasqui login hash` makes its secrets from a password.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Account {
    /// Its name, as programs send it; upper and lower case differ. Compared as RFC 4013 prepares it.
    pub name: String,
    /// Whether nobody may log in to it. Its clients are told the same as with a wrong password (535 5.7.8).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// The password for PLAIN and LOGIN, as a PHC string: `$argon2id$v=19$m=19456,t=2,p=1$…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The password's keys for SCRAM-SHA-256 (RFC 5803): `SCRAM-SHA-256$10000:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scram_sha_256: Option<String>,
    /// The password's keys for SCRAM-SHA-1: `SCRAM-SHA-1$10000:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scram_sha_1: Option<String>,
    /// From whom it may send: addresses (`alice@example.com`), domains (`example.com`), all domains below one
    /// (`*.example.com`), `<>` for reports, `*` for everything. Left out, the account's own name, which then must be an
    /// address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub senders: Option<Vec<String>>,
    /// What tokens say of it: values of the claim that `tokens.claim` names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// Names in the client certificates that may log in to it by EXTERNAL, such as `printer.example.com`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
}

impl fmt::Debug for Account {
    /// Without secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Account")
            .field("name", &self.name)
            .field("senders", &self.senders)
            .finish_non_exhaustive()
    }
}
