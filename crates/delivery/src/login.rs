//! What logs in to smart hosts: read at the start and at reload, shown to nobody.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use policy::config::{self, Mechanism, OutboundConnector};
use sasl::client::{ClientError, Exchange, Facts, Login};
use units::Clock;

use crate::hello::{Hello, NoReply};

/// What a host says of a mechanism that it does not take from us; another may do (RFC 4954 §6).
const NOT_THIS_MECHANISM: [u16; 2] = [504, 534];
/// What a host says of a wrong password or token (RFC 4954 §6).
const WRONG_PROOF: u16 = 535;
/// What asks for the next message of a login.
const GO_ON: u16 = 334;

/// The logins of the outbound connectors. Its `Debug` names the connectors only.
#[derive(Clone, Default)]
pub struct Logins(Arc<ArcSwap<HashMap<Box<str>, Arc<Login>>>>);

/// Why a login cannot be used; the operator mends the file or the settings.
#[derive(Debug, thiserror::Error)]
#[error("the login of outbound connector `{connector}` cannot be used")]
pub struct LoginError {
    /// Whose.
    pub connector: String,
    /// The key of the settings that is wrong, from the connector on.
    pub key: String,
    /// Why.
    pub source: sasl::client::LoginError,
}

impl LoginError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self.source {
            sasl::client::LoginError::File(_) => {
                "let it be there with one line, readable by the relay's user and not by everybody"
            }
            _ => "look at this login",
        }
    }
}

impl Logins {
    /// Reads the secrets of all enabled connectors that log in. Blocks on files.
    ///
    /// # Errors
    /// At the first login that cannot be used.
    pub fn open(connectors: &[OutboundConnector], clock: &Clock) -> Result<Self, LoginError> {
        let mut logins = HashMap::new();
        for connector in connectors.iter().filter(|connector| connector.enabled) {
            let Some(settings) = &connector.login else { continue };
            let login = Login::open(settings, clock.clone());
            let login = login.map_err(|source| LoginError {
                connector: connector.name.clone(),
                key: format!("login.{}", key(settings, &source)),
                source,
            })?;
            logins.insert(connector.name.as_str().into(), login);
        }
        Ok(Self(Arc::new(ArcSwap::from_pointee(logins))))
    }

    /// Uses what `other` was opened with from now on, as do all clones.
    pub fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// The login of the connector called `name`.
    pub(crate) fn of(&self, name: &str) -> Option<Arc<Login>> {
        self.0.load().get(name).cloned()
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.load().keys()).finish()
    }
}

/// The key that an error is about.
fn key(login: &config::Login, error: &sasl::client::LoginError) -> &'static str {
    match error {
        sasl::client::LoginError::Settings { key, .. } => key,
        sasl::client::LoginError::File(error) => {
            let token = login.token.as_ref();
            let is = |file: Option<&PathBuf>| file.is_some_and(|file| file == error.file());
            if is(token.and_then(|token| token.file.as_ref())) {
                "token.file"
            } else if is(token.and_then(|token| token.client_secret_file.as_ref())) {
                "token.client_secret_file"
            } else if is(token.and_then(|token| token.refresh_token_file.as_ref())) {
                "token.refresh_token_file"
            } else {
                "password_file"
            }
        }
        _ => "user",
    }
}

/// Why nobody is logged in.
#[derive(Debug)]
pub(crate) enum NoLogin {
    /// The login came to a no, or cannot go on.
    Not(ClientError),
    /// The connection is of no use any more.
    Silent(NoReply),
}

/// Logs in by the strongest mechanism that host and login have in common (RFC 4954), and gives its name.
///
/// A host that does not want a mechanism that it offers is asked for the next one; a token that is refused is replaced
/// once. After an error the connection is of no use.
pub(crate) async fn log_in(
    hello: &mut Hello,
    login: &Arc<Login>,
    facts: Facts,
    wait: Duration,
) -> Result<Mechanism, NoLogin> {
    let mut offered = hello.offered_logins();
    let mut is_renewed = false;
    loop {
        let exchange = Exchange::begin(login, &offered, facts.clone()).await;
        let exchange = exchange.map_err(NoLogin::Not)?;
        let mechanism = exchange.mechanism();
        let refused = match one(hello, exchange, wait).await {
            Ok(()) => return Ok(mechanism),
            Err(NoLogin::Not(refused)) => refused,
            Err(silent) => return Err(silent),
        };
        let code = match &refused {
            ClientError::Refused { reply, .. } => reply.code(),
            _ => 0,
        };
        if NOT_THIS_MECHANISM.contains(&code) {
            offered = without(&offered, mechanism);
            if login.choose(&offered, &facts).is_err() {
                return Err(NoLogin::Not(refused));
            }
        } else if code == WRONG_PROOF && login.is_renewable() && !is_renewed {
            is_renewed = true;
        } else {
            return Err(NoLogin::Not(refused));
        }
    }
}

async fn one(hello: &mut Hello, mut exchange: Exchange, wait: Duration) -> Result<(), NoLogin> {
    let command = exchange.command().map_err(NoLogin::Not)?;
    let mut reply = hello.command(&command, wait).await.map_err(NoLogin::Silent)?;
    while reply.code() == GO_ON {
        // Where the login cannot go on the connection is closed; nobody waits for what a cancelled one is answered.
        let line = exchange.answer(reply.text()).await.map_err(NoLogin::Not)?;
        reply = hello.command(&line, wait).await.map_err(NoLogin::Silent)?;
    }
    exchange.finish(reply).map_err(NoLogin::Not)
}

fn without(offered: &str, mechanism: Mechanism) -> String {
    let others = offered.split_ascii_whitespace();
    let others = others.filter(|name| !name.eq_ignore_ascii_case(mechanism.name()));
    others.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn connector(login: config::Login) -> OutboundConnector {
        OutboundConnector {
            name: "partner".to_owned(),
            login: Some(login),
            ..OutboundConnector::default()
        }
    }

    fn by_password(file: &Path) -> config::Login {
        config::Login {
            user: "relay".to_owned(),
            password_file: Some(file.to_owned()),
            ..config::Login::default()
        }
    }

    fn open(login: config::Login) -> Result<Logins, LoginError> {
        Logins::open(&[connector(login)], &Clock::manual(0))
    }

    #[test]
    fn logins_are_shown_by_their_connectors() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open sesame\n").unwrap();
        let logins = open(by_password(file.path())).unwrap();
        assert_eq!(logins.of("partner").unwrap().user(), "relay");
        assert!(logins.of("other").is_none());
        assert_eq!(format!("{logins:?}"), "{\"partner\"}");
    }

    #[test]
    fn errors_name_the_key_and_show_no_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open sesame\n").unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
        let token = |change: fn(&mut config::Token)| {
            let mut token = config::Token {
                url: Some("https://a.example/".to_owned()),
                client_id: "relay".to_owned(),
                client_secret_file: Some("/nowhere/secret".into()),
                ..config::Token::default()
            };
            change(&mut token);
            config::Login {
                user: "relay".to_owned(),
                token: Some(token),
                ..config::Login::default()
            }
        };
        for (login, key) in [
            (by_password(file.path()), "login.password_file"),
            (by_password(Path::new("/nowhere/password")), "login.password_file"),
            (
                config::Login { password_file: None, ..by_password(file.path()) },
                "login.password_file",
            ),
            (
                config::Login {
                    mechanisms: vec![Mechanism::XOAuth2],
                    password_file: None,
                    ..by_password(file.path())
                },
                "login.password_file",
            ),
            (token(|_| ()), "login.token.client_secret_file"),
            (token(|token| token.client_id.clear()), "login.token.client_id"),
            (token(|token| token.url = None), "login.token.file"),
            (
                token(|token| {
                    (token.url, token.file) = (None, Some("/nowhere/token".into()));
                }),
                "login.token.file",
            ),
        ] {
            let error = open(login).unwrap_err();
            assert_eq!(error.key, key, "{error:?}");
            assert!(!format!("{error:?} {error}").contains("sesame"), "{error:?}");
        }
        let disabled = OutboundConnector {
            enabled: false,
            ..connector(by_password(Path::new("/nowhere/password")))
        };
        assert!(Logins::open(&[disabled], &Clock::manual(0)).is_ok());
    }
}
