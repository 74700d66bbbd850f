//! Logins on a listener.

use policy::config::Mechanism;
use sasl::config::Offer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether and how clients log in (RFC 4954). The accounts are those of `[logins]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The mechanisms that clients may use. Of these, EHLO names those that can succeed: a SCRAM if all accounts with a
    /// password have its keys, `PLAIN` and `LOGIN` if accounts have passwords, `EXTERNAL` behind a client certificate,
    /// `XOAUTH2` and `OAUTHBEARER` with `logins.tokens`.
    pub mechanisms: Vec<Mechanism>,
    /// Whether passwords and tokens are also taken in clear text. Otherwise a client that sends one without TLS is
    /// told so (538 5.7.11), and EHLO names no such mechanism before STARTTLS.
    pub login_without_tls: bool,
    /// Whether MAIL is refused with 530 5.7.0 until the client has logged in, as submission wants (RFC 6409 §4.3).
    /// A client that is banned after failed logins is then answered 421 4.7.0 when it connects.
    pub required: bool,
}

impl Default for Auth {
    fn default() -> Self {
        let Offer { mechanisms, login_without_tls } = Offer::default();
        Self { mechanisms, login_without_tls, required: false }
    }
}

impl Auth {
    /// As `sasl` is told.
    pub(crate) fn offer(&self) -> Offer {
        Offer { mechanisms: self.mechanisms.clone(), login_without_tls: self.login_without_tls }
    }

    /// Whether some mechanism can be used without TLS.
    pub(super) fn has_way_without_tls(&self) -> bool {
        let is_usable = |it: &Mechanism| self.login_without_tls || it.is_usable_without_tls();
        self.mechanisms.iter().any(is_usable)
    }
}
