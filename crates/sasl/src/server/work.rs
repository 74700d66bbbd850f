//! What takes time in a login: a password's check, a token's.

use std::fmt;
use std::sync::Arc;

use crate::account::Account;
use crate::metrics::Check;
use crate::secret::Secret;
use crate::server::authenticator::Authenticator;
use crate::text::shown;
use crate::tokens::TokenFault;

/// A check that the driver awaits and whose result it gives to [`Exchange::verified`](super::Exchange::verified).
///
/// Dropped before its end it is forgotten, and the login with it.
#[must_use = "the client waits for the result"]
pub struct Work {
    authenticator: Arc<Authenticator>,
    kind: Kind,
}

enum Kind {
    Password { name: String, password: Secret },
    Token(Secret),
}

/// The result of a [`Work`].
#[derive(Debug)]
pub struct Verified(pub(super) Verdict);

#[derive(Debug)]
pub(super) enum Verdict {
    Right(Arc<Account>),
    /// Why, in words for the log.
    Wrong(String),
    Busy(String),
    Unavailable(String),
}

impl fmt::Debug for Work {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.kind {
            Kind::Password { .. } => "Work(password)",
            Kind::Token(_) => "Work(token)",
        })
    }
}

impl Work {
    pub(super) const fn password(
        authenticator: Arc<Authenticator>,
        name: String,
        password: Secret,
    ) -> Self {
        Self { authenticator, kind: Kind::Password { name, password } }
    }

    pub(super) const fn token(authenticator: Arc<Authenticator>, token: Secret) -> Self {
        Self { authenticator, kind: Kind::Token(token) }
    }

    /// Does it: milliseconds to seconds. An unknown account takes as long as a known one.
    pub async fn run(self) -> Verified {
        Verified(match self.kind {
            Kind::Password { name, password } => {
                self.authenticator.check_password(&name, password).await
            }
            Kind::Token(token) => self.authenticator.check_token(&token).await,
        })
    }
}

impl Authenticator {
    async fn check_password(&self, name: &str, password: Secret) -> Verdict {
        let (hash, outcome) = {
            let book = self.accounts.book();
            let account = book.named(name);
            let kept = account
                .filter(|account| account.is_enabled)
                .and_then(|account| account.password.as_ref());
            let outcome = match (account, kept) {
                (Some(account), Some(_)) => Ok(Arc::clone(account)),
                (Some(account), None) if !account.is_enabled => Err("is disabled"),
                (Some(_), None) => Err("has no password"),
                (None, _) => Err("is not there"),
            };
            (kept.or_else(|| book.decoy_password()).cloned(), outcome)
        };
        let about = |words: &str| format!("account `{}` {words}", shown(name));
        let Some(hash) = hash else {
            return Verdict::Unavailable("nobody has a password".to_owned());
        };
        let now = self.clock.now();
        let mark = outcome
            .is_ok()
            .then(|| self.remembered.mark(name, &hash.to_text(), password.as_bytes()));
        if let (Ok(account), Some(mark)) = (&outcome, mark)
            && self.remembered.holds(mark, now)
        {
            self.metrics.password_checked(Check::Remembered);
            return Verdict::Right(Arc::clone(account));
        }
        let Ok(is_right) = self.pool.run(move || hash.is_of(password.as_bytes())).await else {
            self.metrics.password_checked(Check::TurnedAway);
            return Verdict::Busy(about(
                "was not looked at: too many passwords wait to be checked",
            ));
        };
        self.metrics.password_checked(Check::Done);
        match outcome {
            Ok(account) if is_right => {
                if let Some(mark) = mark {
                    self.remembered.add(mark, now);
                }
                Verdict::Right(account)
            }
            Ok(_) => Verdict::Wrong(about("was given a wrong password")),
            Err(words) => Verdict::Wrong(about(words)),
        }
    }

    async fn check_token(&self, token: &Secret) -> Verdict {
        let Some(tokens) = &self.tokens else {
            return Verdict::Unavailable("no tokens are taken".to_owned());
        };
        let value = match tokens.check(token.as_str()).await {
            Ok(value) => value,
            Err(TokenFault::Wrong(words)) => return Verdict::Wrong(words),
            Err(TokenFault::Unavailable(words)) => return Verdict::Unavailable(words),
        };
        match self.accounts.book().of_token(&value) {
            Some(account) if account.is_enabled => Verdict::Right(Arc::clone(account)),
            Some(account) => Verdict::Wrong(format!("account `{}` is disabled", account.name)),
            None => Verdict::Wrong(format!(
                "the token is for `{}`, which no account names",
                shown(&value)
            )),
        }
    }
}
