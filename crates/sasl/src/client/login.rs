//! A login, ready for use.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use policy::config;
use units::Clock;

use crate::binding::ChannelBindings;
use crate::client::error::{ClientError, LoginError};
use crate::client::token::TokenSource;
use crate::scram::ScramHash;
use crate::secret::{Secret, read_line};
use crate::text::{prepared, prepared_password, shown};
use policy::config::Mechanism;

/// A longer file holds no password.
const PASSWORD_OCTETS_MAX: u64 = 1024;
/// Hosts behind one name may each have their own salt.
const SALTED_MAX: usize = 16;

/// What is known of the connection.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether it is encrypted.
    pub is_tls: bool,
    /// What the TLS session can be recognised by.
    pub bindings: ChannelBindings,
    /// Whether we showed a client certificate.
    pub has_certificate: bool,
}

/// Who logs in and with what. Its `Debug` shows no secret; one for all connections.
pub struct Login {
    pub(super) user: String,
    pub(super) act_for: Option<String>,
    pub(super) proof: Proof,
    mechanisms: Vec<Mechanism>,
    without_tls: bool,
    salted: Mutex<HashMap<Rounds, Secret>>,
}

/// What shows who we are.
pub(super) enum Proof {
    Password(Secret),
    Token(TokenSource),
    /// The client certificate of the TLS session.
    Certificate,
}

/// What a server asks to be done with the password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Rounds {
    pub(super) is_sha_256: bool,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: NonZeroU32,
}

impl fmt::Debug for Login {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Login({})", shown(&self.user))
    }
}

impl Login {
    /// Reads the secrets. Blocks on files.
    pub fn open(config: &config::Login, clock: Clock) -> Result<Arc<Self>, LoginError> {
        let wrong = |key, words: &str| LoginError::Settings { key, words: words.to_owned() };
        let proof = match (&config.password_file, &config.token) {
            (Some(_), Some(_)) => {
                return Err(wrong("token", "a login has a password or a token, not both"));
            }
            (Some(file), None) => Proof::Password(password(file)?),
            (None, Some(token)) => Proof::Token(TokenSource::open(token, clock)?),
            (None, None) if config.mechanisms == [Mechanism::External] => Proof::Certificate,
            (None, None) => {
                let words = "is missing, and `token` too; with mechanisms = [\"EXTERNAL\"] neither is needed";
                return Err(wrong("password_file", words));
            }
        };
        let user = match (prepared(&config.user), &proof) {
            (Ok(user), _) => user,
            (Err(_), Proof::Certificate) if config.user.is_empty() => String::new(),
            (Err(error), _) => return Err(wrong("user", &error.to_string())),
        };
        let act_for = config.act_for.as_deref().map(prepared).transpose();
        let act_for = act_for.map_err(|error| wrong("act_for", &error.to_string()))?;
        let misfit = config.mechanisms.iter().find(|mechanism| !proof.fits(**mechanism));
        if let Some(misfit) = misfit {
            let words = format!("{misfit} does not go with {}", proof.words());
            return Err(LoginError::Settings { key: "mechanisms", words });
        }
        let mechanisms = if config.mechanisms.is_empty() {
            Mechanism::ALL.to_vec()
        } else {
            config.mechanisms.clone()
        };
        Ok(Arc::new(Self {
            user,
            act_for,
            proof,
            mechanisms,
            without_tls: config.login_without_tls,
            salted: Mutex::default(),
        }))
    }

    /// The strongest mechanism that this login and a server have in common. `offered` is what stands behind AUTH in
    /// EHLO.
    pub fn choose(&self, offered: &str, facts: &Facts) -> Result<Mechanism, ClientError> {
        let names: Vec<_> = offered.split_ascii_whitespace().collect();
        let fits = |mechanism: &Mechanism| {
            let is_usable = match mechanism {
                Mechanism::ScramSha256Plus => facts.is_tls && facts.bindings.is_some(),
                Mechanism::External => facts.is_tls && facts.has_certificate,
                // LOGIN has no place for whom to act for.
                Mechanism::Login => self.act_for.is_none(),
                _ => true,
            };
            let is_offered = names.iter().any(|name| mechanism.name().eq_ignore_ascii_case(name));
            is_usable
                && is_offered
                && self.mechanisms.contains(mechanism)
                && self.proof.fits(*mechanism)
        };
        let common: Vec<_> = Mechanism::ALL.into_iter().filter(fits).collect();
        let is_safe =
            |mechanism: &&Mechanism| facts.is_tls || self.without_tls || !mechanism.is_plain_text();
        match common.iter().find(is_safe) {
            Some(mechanism) => Ok(*mechanism),
            None if common.is_empty() => {
                let offered =
                    if names.is_empty() { "none".to_owned() } else { shown(&names.join(" ")) };
                Err(ClientError::NotOffered { offered })
            }
            None => Err(ClientError::NeedsTls),
        }
    }

    /// Whether a login that was refused is worth a second one at once: there may be a fresh token.
    pub const fn is_renewable(&self) -> bool {
        match &self.proof {
            Proof::Token(source) => source.is_renewable(),
            Proof::Password(_) | Proof::Certificate => false,
        }
    }

    /// Who logs in; empty if only the certificate says so.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password after the rounds that a server asks for: worked through once, then remembered.
    pub(super) async fn salted(&self, rounds: Rounds) -> Result<Secret, ClientError> {
        let Proof::Password(password) = &self.proof else { return Err(ClientError::Internal) };
        let known = self.salted.lock().get(&rounds).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let hash = if rounds.is_sha_256 { ScramHash::Sha256 } else { ScramHash::Sha1 };
        let password = Secret::new(prepared_password(password.as_bytes()));
        let (salt, iterations) = (rounds.salt.clone(), rounds.iterations);
        let work = move || hash.salted(password.as_bytes(), &salt, iterations);
        let salted = tokio::task::spawn_blocking(work).await.map_err(|_| ClientError::Internal)?;
        let mut all = self.salted.lock();
        if all.len() >= SALTED_MAX {
            all.clear();
        }
        all.insert(rounds, salted.clone());
        Ok(salted)
    }
}

impl Proof {
    fn fits(&self, mechanism: Mechanism) -> bool {
        match self {
            Self::Password(_) => !mechanism.takes_token() && mechanism != Mechanism::External,
            Self::Token(_) => mechanism.takes_token(),
            Self::Certificate => mechanism == Mechanism::External,
        }
    }

    const fn words(&self) -> &'static str {
        match self {
            Self::Password(_) => "a password",
            Self::Token(_) => "a token",
            Self::Certificate => "neither a password nor a token",
        }
    }
}

fn password(file: &Path) -> Result<Secret, LoginError> {
    Ok(read_line(file, PASSWORD_OCTETS_MAX)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn login(change: impl FnOnce(&mut config::Login)) -> Result<Arc<Login>, LoginError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"pencil\n").unwrap();
        let mut config = config::Login {
            user: "relay".to_owned(),
            password_file: Some(file.path().to_owned()),
            ..config::Login::default()
        };
        change(&mut config);
        Login::open(&config, Clock::manual(0))
    }

    fn tls() -> Facts {
        let bindings = ChannelBindings { exporter: Some([1; 32].into()), end_point: None };
        Facts { is_tls: true, bindings, has_certificate: true }
    }

    #[test]
    fn the_strongest_that_both_have_is_chosen() {
        let any = login(|_| ()).unwrap();
        let bare = Facts { is_tls: true, ..Facts::default() };
        for (offered, facts, want) in [
            (
                "LOGIN PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS XOAUTH2",
                &tls(),
                Mechanism::ScramSha256Plus,
            ),
            (
                "LOGIN PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS",
                &bare,
                Mechanism::ScramSha256,
            ),
            ("plain login scram-sha-1", &bare, Mechanism::ScramSha1),
            ("EXTERNAL LOGIN PLAIN CRAM-MD5", &tls(), Mechanism::Plain),
            ("LOGIN", &bare, Mechanism::Login),
            ("PLAIN SCRAM-SHA-256", &Facts::default(), Mechanism::ScramSha256),
        ] {
            assert_eq!(any.choose(offered, facts), Ok(want), "{offered}");
        }
        let plain = login(|config| config.mechanisms = vec![Mechanism::Plain]).unwrap();
        assert_eq!(plain.choose("PLAIN SCRAM-SHA-256", &bare), Ok(Mechanism::Plain));
        let external = login(|config| {
            (config.user, config.password_file) = (String::new(), None);
            config.mechanisms = vec![Mechanism::External];
        });
        assert_eq!(external.unwrap().choose("PLAIN EXTERNAL", &tls()), Ok(Mechanism::External));
    }

    #[test]
    fn a_secret_is_not_shown_without_tls() {
        let any = login(|_| ()).unwrap();
        let clear = Facts::default();
        assert_eq!(any.choose("PLAIN LOGIN", &clear), Err(ClientError::NeedsTls));
        let told = login(|config| config.login_without_tls = true).unwrap();
        assert_eq!(told.choose("PLAIN LOGIN", &clear), Ok(Mechanism::Plain));
        let error = any.choose("GSSAPI\u{7}", &clear).unwrap_err().to_string();
        assert_eq!(error, "the host offers no login that is set up here (it offers GSSAPI?)");
        assert!(any.choose("", &clear).unwrap_err().to_string().ends_with("(it offers none)"));
        let acting = login(|config| config.act_for = Some("boss".to_owned())).unwrap();
        assert!(matches!(acting.choose("LOGIN", &tls()), Err(ClientError::NotOffered { .. })));
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        type Change = fn(&mut config::Login);
        let changes: [(Change, &str); 7] = [
            (|config| config.user = String::new(), "user: is empty"),
            (|config| config.user = "a\u{1}b".to_owned(), "user: holds a character"),
            (|config| config.password_file = None, "password_file: is missing"),
            (
                |config| config.password_file = Some("/nowhere/it".into()),
                "/nowhere/it cannot be read",
            ),
            (
                |config| config.token = Some(config::Token::default()),
                "token: a login has a password or a token",
            ),
            (
                |config| config.mechanisms = vec![Mechanism::XOAuth2],
                "mechanisms: XOAUTH2 does not go with a password",
            ),
            (|config| config.act_for = Some("a\0".to_owned()), "act_for: holds a character"),
        ];
        for (change, want) in changes {
            let error = login(change).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
        let shown = format!("{:?}", login(|_| ()).unwrap());
        assert_eq!(shown, "Login(relay)");
    }
}
