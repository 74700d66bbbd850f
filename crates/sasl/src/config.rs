//! Settings.

mod account;

use std::path::PathBuf;

use ipnet::IpNet;
use policy::config::Mechanism;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use units::Span;

use crate::http;

pub use account::Account;

/// Who may log in, and what happens to those who guess.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The TOML file with the accounts; left out, nobody can log in. Read at the start and at reload: a file that
    /// cannot be used stops the start, and leaves the old accounts in use at reload. A file that everybody may read or
    /// write is refused.
    pub file: Option<PathBuf>,
    /// For PLAIN and LOGIN.
    pub passwords: Passwords,
    /// Against those who guess.
    pub attempts: Attempts,
    /// For XOAUTH2 and OAUTHBEARER; left out, neither is offered.
    pub tokens: Option<Tokens>,
}

/// How the passwords of PLAIN and LOGIN are checked: each check takes memory and time on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Passwords {
    /// Checks at the same time. Each takes a processor, and the memory that the account's hash names (19 MiB as
    /// `chasqui login hash` makes it).
    pub checks_max: u16,
    /// Logins that wait for such a check. A further one is told to come later (454 4.7.0).
    pub waiting_max: u16,
    /// How long a login waits for its turn. Then it is told to come later (454 4.7.0).
    pub wait_max: Span,
    /// How long a password that was right is not checked again, so that a program that logs in for every message costs
    /// one check; `0s` checks each time. Forgotten at reload.
    pub remember: Span,
    /// Passwords remembered at the same time; the longest unused goes first.
    pub remembered_max: u32,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            checks_max: 2,
            waiting_max: 200,
            wait_max: Span::seconds(20),
            remember: Span::minutes(1),
            remembered_max: 4096,
        }
    }
}

/// What failed logins lead to: a ban, during which every login is told to come later (454 4.7.0, and 421 4.7.0 if it is
/// the client that is banned), right or wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Attempts {
    /// Failed logins of one client within `window` that ban it: an IPv4 address, or an IPv6 network of 64 bits. 0 bans
    /// none.
    pub failures_per_client_max: u32,
    /// Failed logins to one account within `window`, of all clients together, that ban the account, whether it is there
    /// or not. Clients that logged in to it within the last day still may. 0 bans none.
    pub failures_per_account_max: u32,
    /// How long a failed login counts.
    pub window: Span,
    /// How long a ban lasts.
    pub ban: Span,
    /// Networks whose clients are never banned and whose failures do not count, such as that of a webmail server, from
    /// where many people log in.
    #[serde(deserialize_with = "policy::config::networks")]
    #[schemars(with = "Vec<String>")]
    pub exempt: Vec<IpNet>,
    /// Clients and accounts watched, each; the one that was quiet for longest is forgotten first.
    pub watched_max: u32,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            failures_per_client_max: 10,
            failures_per_account_max: 50,
            window: Span::minutes(10),
            ban: Span::minutes(30),
            exempt: Vec::new(),
            watched_max: 20_000,
        }
    }
}

/// Whose tokens are taken, and what they must say (RFC 7519).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// The identity provider, exactly as its tokens name it in `iss`, such as `https://login.example.com/`.
    pub issuer: String,
    /// For whom tokens must be made out: one of these in `aud`.
    pub audience: Vec<String>,
    /// Where the provider's public keys are (JWKS, RFC 7517): an `https` address, fetched at the start and every
    /// `keys_refresh`; keys that cannot be fetched leave the old ones in use. An `http` address only of this machine.
    #[serde(default)]
    pub keys_url: Option<String>,
    /// A file with the provider's public keys (JWKS) instead. Read at the start and at reload.
    #[serde(default, deserialize_with = "named")]
    pub keys_file: Option<PathBuf>,
    /// How often the keys are fetched again; a token with an unknown key fetches them too, at most once a minute.
    #[serde(default = "keys_refresh")]
    pub keys_refresh: Span,
    /// How tokens may be signed. Keyed hashes and `none` are never taken.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the account: its value is looked for in the accounts' `tokens`.
    #[serde(default = "claim")]
    pub claim: String,
    /// By how much the provider's clock may differ from ours.
    #[serde(default = "leeway")]
    pub leeway: Span,
    /// The scope that a client is told to ask for when its token is refused; empty names none.
    #[serde(default)]
    pub scope: String,
}

/// Reads a path; an empty one is none.
fn named<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let path = Option::<PathBuf>::deserialize(from)?;
    Ok(path.filter(|path| !path.as_os_str().is_empty()))
}

const fn keys_refresh() -> Span {
    Span::hours(1)
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa]
}

fn claim() -> String {
    "sub".to_owned()
}

const fn leeway() -> Span {
    Span::minutes(1)
}

/// How a token may be signed (RFC 7518, RFC 8037). There is no name for what a shared secret signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSA, PSS, SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSA, PSS, SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSA, PSS, SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA, P-256, SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA, P-384, SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Logins on one listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Offer {
    /// The mechanisms that clients may use; empty takes no logins. Of these, EHLO names those that can succeed: a
    /// SCRAM if all accounts with a password have its keys, `PLAIN` and `LOGIN` if accounts have passwords, `EXTERNAL`
    /// behind a client certificate, `XOAUTH2` and `OAUTHBEARER` with `tokens`.
    pub mechanisms: Vec<Mechanism>,
    /// Whether passwords and tokens are also taken in clear text. Otherwise a client that sends one without TLS is
    /// told so (538 5.7.11), and EHLO names no such mechanism before STARTTLS.
    pub login_without_tls: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self { mechanisms: Mechanism::ALL.to_vec(), login_without_tls: false }
    }
}

/// What is wrong with these settings, and with which key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {words}")]
pub struct ConfigError {
    /// The key, from this section on.
    pub key: &'static str,
    /// What is wrong and what to do.
    pub words: String,
}

impl Config {
    /// Says all that is wrong; empty when nothing is. Looks at no file.
    pub fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let mut wrong = |is_wrong: bool, key, words: &str| {
            if is_wrong {
                problems.push(ConfigError { key, words: words.to_owned() });
            }
        };
        wrong(
            self.passwords.checks_max == 0,
            "passwords.checks_max",
            "is 0; no password could be checked",
        );
        wrong(
            self.attempts.watched_max == 0,
            "attempts.watched_max",
            "is 0; nobody could be watched",
        );
        let Some(tokens) = &self.tokens else { return problems };
        wrong(tokens.issuer.is_empty(), "tokens.issuer", "is empty; every provider has a name");
        wrong(
            tokens.audience.is_empty(),
            "tokens.audience",
            "is empty; tokens made out for others would be taken",
        );
        wrong(
            tokens.algorithms.is_empty(),
            "tokens.algorithms",
            "is empty; no token could be taken",
        );
        wrong(tokens.claim.is_empty(), "tokens.claim", "is empty; no account could be found");
        wrong(
            tokens.keys_url.is_some() == tokens.keys_file.is_some(),
            "tokens.keys_url",
            "either this or keys_file says where the keys are",
        );
        if let Some(Err(error)) = tokens.keys_url.as_deref().map(http::address) {
            wrong(true, "tokens.keys_url", &error.to_string());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: &str =
        r#"{"issuer":"https://a.example","audience":["smtp"],"keys_url":"https://a.example/keys"}"#;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(Config::default().problems(), []);
        let tokens: Tokens = serde_json::from_str(TOKENS).unwrap();
        assert_eq!((tokens.claim.as_str(), tokens.algorithms.len()), ("sub", 4));
        assert_eq!(Config { tokens: Some(tokens), ..Config::default() }.problems(), []);
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let tokens = TOKENS
            .replace("[\"smtp\"]", "[]")
            .replace("https://a.example/keys", "http://a.example/keys");
        let config = Config {
            passwords: Passwords { checks_max: 0, ..Passwords::default() },
            tokens: Some(serde_json::from_str(&tokens).unwrap()),
            ..Config::default()
        };
        let keys: Vec<_> = config.problems().iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["passwords.checks_max", "tokens.audience", "tokens.keys_url"]);
    }

    #[test]
    fn keyed_hashes_cannot_be_allowed() {
        for name in ["HS256", "none", "None", ""] {
            assert!(serde_json::from_str::<Algorithm>(&format!("\"{name}\"")).is_err(), "{name}");
        }
    }

    #[test]
    fn exempt_networks_may_be_single_addresses() {
        let read: Attempts = serde_json::from_str(r#"{"exempt":["192.0.2.0/24","::1"]}"#).unwrap();
        let texts: Vec<_> = read.exempt.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["192.0.2.0/24", "::1/128"]);
        let error = serde_json::from_str::<Attempts>(r#"{"exempt":["x"]}"#).unwrap_err();
        assert!(error.to_string().contains("is not a network"), "{error}");
    }
}
