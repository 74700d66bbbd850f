//! What all logins of a relay share.

use std::net::IpAddr;
use std::sync::Arc;

use policy::config::Mechanism;
use telemetry::Registry;
use units::Clock;

use crate::accounts::{Accounts, AccountsError};
use crate::attempts::{Attempts, Ban, Whom};
use crate::config::{Config, Offer};
use crate::metrics::Metrics;
use crate::pool::{Pool, Remembered};
use crate::server::facts::{Facts, Identity};
use crate::text::prepared;
use crate::tokens::{Tokens, TokensError};

/// Accounts, tokens, failed attempts and the threads that check passwords. One for the whole relay.
#[derive(Debug)]
pub struct Authenticator {
    pub(super) accounts: Accounts,
    pub(super) tokens: Option<Tokens>,
    pub(super) attempts: Arc<Attempts>,
    pub(super) pool: Pool,
    pub(super) remembered: Remembered,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

/// Why nobody could log in; the operator mends the file or the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The accounts.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The keys for tokens.
    #[error(transparent)]
    Tokens(#[from] TokensError),
}

impl Authenticator {
    /// Reads the accounts and, if they are in a file, the keys for tokens. Blocks on files.
    pub fn open(
        config: &Config,
        clock: Clock,
        registry: &Registry,
    ) -> Result<Arc<Self>, OpenError> {
        let metrics = Metrics::register(registry);
        let accounts = Accounts::open(config.file.as_deref())?;
        let open = |config| Tokens::open(config, clock.clone(), metrics.clone());
        let tokens = config.tokens.as_ref().map(open).transpose()?;
        let attempts = Arc::new(Attempts::new(&config.attempts));
        Metrics::watch(registry, &attempts, &clock);
        let mut random = [0; 32];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| AccountsError::Random)?;
        let (pool, remembered) =
            (Pool::new(&config.passwords), Remembered::new(&config.passwords, random));
        Ok(Arc::new(Self { accounts, tokens, attempts, pool, remembered, clock, metrics }))
    }

    /// Reads the files again, each whatever becomes of the other; logins from now on see what they hold, sessions go on.
    /// Returns why a file could not be used: what it held before stays in use. Blocks on files.
    #[must_use]
    pub fn reload(&self) -> Vec<OpenError> {
        let accounts = self.accounts.reload().map_err(OpenError::from);
        if accounts.is_ok() {
            self.remembered.forget_all();
        }
        let tokens = self.tokens.as_ref().map_or(Ok(()), Tokens::reload).map_err(OpenError::from);
        [accounts, tokens].into_iter().filter_map(Result::err).collect()
    }

    /// The accounts in use.
    pub const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Fetches the keys for tokens now and then. Never ends: the caller runs it as a task and drops it.
    pub async fn keep_keys_fresh(&self) {
        match &self.tokens {
            Some(tokens) => tokens.keep_keys_fresh().await,
            None => std::future::pending().await,
        }
    }

    /// The mechanisms that EHLO names, the strongest first; none if nobody could log in.
    pub fn offered(&self, offer: &Offer, facts: &Facts) -> Vec<Mechanism> {
        let all = Mechanism::ALL.into_iter();
        all.filter(|mechanism| self.offers(*mechanism, offer, facts)).collect()
    }

    pub(super) fn offers(&self, mechanism: Mechanism, offer: &Offer, facts: &Facts) -> bool {
        let fits = match mechanism {
            Mechanism::ScramSha256Plus => facts.is_tls && facts.bindings.is_some(),
            Mechanism::External => facts.is_tls && !facts.certificate_names.is_empty(),
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => self.tokens.is_some(),
            _ => true,
        };
        let is_safe = facts.is_tls || offer.login_without_tls || !mechanism.is_plain_text();
        fits && is_safe
            && offer.mechanisms.contains(&mechanism)
            && self.accounts.book().serves(mechanism)
    }

    /// Who the account called `name` is, for a client that logged in at a proxy which is believed; none if there is no
    /// such account, or it is disabled.
    pub fn vouched(&self, name: &str) -> Option<Box<Identity>> {
        let name = prepared(name).ok()?;
        let book = self.accounts.book();
        let account = book.named(&name).filter(|account| account.is_enabled)?;
        Some(Box::new(Identity {
            account: account.name.clone(),
            authorization: account.name.clone(),
            mechanism: Mechanism::External,
            senders: account.senders.clone(),
        }))
    }

    /// The ban of a client that has just connected: 421 saves both sides the rest.
    pub fn client_ban(&self, client: IpAddr) -> Option<Ban> {
        self.attempts.client_ban(client, self.clock.now())
    }

    /// The bans that hold, by name.
    pub fn bans(&self) -> Vec<Ban> {
        self.attempts.bans(self.clock.now())
    }

    /// Lifts bans; how many there were.
    pub fn unban(&self, whom: Whom<'_>) -> usize {
        self.attempts.unban(whom, self.clock.now())
    }

    /// Notes a failed login and tells of the bans that follow.
    pub(super) fn failed(&self, name: Option<&str>, client: IpAddr) {
        for ban in self.attempts.failed(name, client, self.clock.now()) {
            self.metrics.banned(&ban.banned);
            tracing::warn!(banned = %ban.banned, "logins are refused for a while after too many failed");
        }
    }
}
