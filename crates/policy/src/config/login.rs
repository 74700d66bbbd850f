//! How the relay logs in to smart hosts.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

use crate::config::mechanism::Mechanism;

/// With a password, a token or the client certificate (RFC 4954).
///
/// The strongest mechanism that host and login have in common is used. Only with `smart_hosts`. A host that
/// refuses the login, or offers none of them, gets no mail: the mail waits and is not returned for
/// that. With `tls = "verify"` nobody but the right host sees the password.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// Who logs in. Not needed for EXTERNAL.
    pub user: String,
    /// For whom the user acts, if that is somebody else.
    pub act_for: Option<String>,
    /// The file that holds the password and nothing else; a line end behind it does not count. Read
    /// once, at the start, as the relay's user. A file that everybody may read or write is refused.
    pub password_file: Option<PathBuf>,
    /// Where tokens for XOAUTH2 and OAUTHBEARER come from, instead of a password.
    pub token: Option<Token>,
    /// The mechanisms that may be used; empty for all that fit. `["EXTERNAL"]` logs in with
    /// `client_certificate`, and needs neither password nor token.
    pub mechanisms: Vec<Mechanism>,
    /// Whether the login is also sent in clear text. Otherwise a host without TLS gets neither login
    /// nor mail, even with `tls = "opportunistic"`.
    pub login_without_tls: bool,
}

/// From a file that something else keeps fresh, or from a service (RFC 6749).
///
/// A token is kept until shortly before its end. One that a host refuses (535) is replaced and tried
/// once more at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// The file that holds the token and nothing else; read again when it has changed.
    pub file: Option<PathBuf>,
    /// The service that gives tokens: an `https` address, or an `http` address of this machine.
    pub url: Option<String>,
    /// Our name at the service.
    pub client_id: String,
    /// The file with our secret at the service, if it has given us one.
    pub client_secret_file: Option<PathBuf>,
    /// The file with the refresh token (RFC 6749 §6); left out, tokens are asked for in our own name
    /// (§4.4). A new one that the service gives is written back, so the relay's user must be able to
    /// write into its folder.
    pub refresh_token_file: Option<PathBuf>,
    /// What the tokens are to be good for; empty leaves it to the service.
    pub scope: String,
    /// How long before its end a token is replaced.
    pub early: Span,
    /// How long the service has to answer.
    pub wait_max: Span,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            file: None,
            url: None,
            client_id: String::new(),
            client_secret_file: None,
            refresh_token_file: None,
            scope: String::new(),
            early: Span::minutes(2),
            wait_max: Span::seconds(20),
        }
    }
}
