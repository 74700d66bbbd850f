//! The accounts by all that they are looked up by, and what stands in for those that are not there.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use argon2::Params;
use aws_lc_rs::{digest, hmac};
use policy::config::Mechanism;

use crate::account::Account;
use crate::password::PasswordHash;
use crate::scram::{ScramHash, ScramKeys};

/// All accounts of one reading of the file. Never changes.
#[derive(Debug)]
pub(crate) struct Book {
    by_name: HashMap<Box<str>, Arc<Account>>,
    by_token: HashMap<Box<str>, Arc<Account>>,
    by_certificate: HashMap<Box<str>, Vec<Arc<Account>>>,
    served: HashSet<Mechanism>,
    decoys: Decoys,
}

/// What makes a name without an account look and cost like one with.
#[derive(Debug)]
struct Decoys {
    password: Option<PasswordHash>,
    scram_sha_256: ScramKeys,
    scram_sha_1: ScramKeys,
    key: hmac::Key,
}

impl Book {
    /// Sorts the accounts. `random` is for the decoys.
    pub(crate) fn new(accounts: Vec<Account>, random: &[u8; 64]) -> Self {
        let decoys = Decoys::like(&accounts, random);
        let served =
            Mechanism::ALL.into_iter().filter(|mechanism| serves(&accounts, *mechanism)).collect();
        let mut book = Self {
            by_name: HashMap::new(),
            by_token: HashMap::new(),
            by_certificate: HashMap::new(),
            served,
            decoys,
        };
        for account in accounts.into_iter().map(Arc::new) {
            for token in &account.tokens {
                book.by_token.insert(token.clone(), Arc::clone(&account));
            }
            for name in &account.certificates {
                book.by_certificate.entry(name.clone()).or_default().push(Arc::clone(&account));
            }
            book.by_name.insert(account.name.clone(), account);
        }
        book
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether accounts can log in by a mechanism, as far as that depends on them.
    pub(crate) fn serves(&self, mechanism: Mechanism) -> bool {
        self.served.contains(&mechanism)
    }

    /// The account with a prepared name, enabled or not.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(name)
    }

    /// The account that a claim's value stands for, enabled or not.
    pub(crate) fn of_token(&self, value: &str) -> Option<&Arc<Account>> {
        self.by_token.get(value)
    }

    /// The enabled accounts that a certificate with these names may log in to, each once.
    pub(crate) fn of_certificate(&self, names: &[String]) -> Vec<Arc<Account>> {
        let mut found: Vec<Arc<Account>> = Vec::new();
        let lists =
            names.iter().filter_map(|name| self.by_certificate.get(name.to_lowercase().as_str()));
        for account in lists.flatten().filter(|account| account.is_enabled) {
            if found.iter().all(|other| other.name != account.name) {
                found.push(Arc::clone(account));
            }
        }
        found
    }

    /// What to check a password against when there is nothing to check it against.
    pub(crate) fn decoy_password(&self) -> Option<&PasswordHash> {
        self.decoys.password.as_ref()
    }

    /// What to challenge a name with that has no keys.
    pub(crate) fn decoy_scram(&self, hash: ScramHash, name: &str) -> ScramKeys {
        let like = match hash {
            ScramHash::Sha1 => &self.decoys.scram_sha_1,
            ScramHash::Sha256 => &self.decoys.scram_sha_256,
        };
        ScramKeys::decoy(hash, like, &self.decoys.key, name)
    }
}

fn serves(accounts: &[Account], mechanism: Mechanism) -> bool {
    let mut enabled = accounts.iter().filter(|account| account.is_enabled);
    match mechanism {
        Mechanism::Plain | Mechanism::Login => enabled.any(|account| account.password.is_some()),
        Mechanism::External => enabled.any(|account| !account.certificates.is_empty()),
        Mechanism::XOAuth2 | Mechanism::OAuthBearer => {
            enabled.any(|account| !account.tokens.is_empty())
        }
        // Programs take the strongest mechanism and do not try another, so it must work for everybody.
        scram => {
            let mut passwords = enabled.filter(|account| account.has_password()).peekable();
            passwords.peek().is_some() && passwords.all(|account| account.scram(scram).is_some())
        }
    }
}

impl Decoys {
    fn like(accounts: &[Account], random: &[u8; 64]) -> Self {
        let first =
            |mechanism| accounts.iter().find_map(|account| account.scram(mechanism)).cloned();
        let (scram_256, scram_1) = (first(Mechanism::ScramSha256), first(Mechanism::ScramSha1));
        // Made of a secret that stays when the relay starts again: salts that change would tell decoys from accounts.
        let lasting = [&scram_256, &scram_1]
            .into_iter()
            .flatten()
            .next()
            .map(|keys| [&*keys.stored, &*keys.server].concat());
        let key = digest::digest(&digest::SHA256, lasting.as_deref().unwrap_or(random));
        let ordinary = |hash| {
            ScramKeys::derive(
                hash,
                b"",
                random.get(..16).unwrap_or_default(),
                NonZeroU32::MIN.saturating_add(9_999),
            )
        };
        let password = accounts
            .iter()
            .find_map(|account| account.password.as_ref())
            .map(|like| like.decoy(random));
        // The smallest hash is enough to start from: nobody is checked against it while nobody has a password.
        let cheapest = || {
            PasswordHash::make(b"", random.get(..16)?, Params::new(8, 1, 1, None).ok()?)
                .map(|like| like.decoy(random))
        };
        Self {
            password: password.or_else(cheapest),
            scram_sha_256: scram_256.unwrap_or_else(|| ordinary(ScramHash::Sha256)),
            scram_sha_1: scram_1.unwrap_or_else(|| ordinary(ScramHash::Sha1)),
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senders::Senders;

    /// With keys for SCRAM (`s`) and a password for PLAIN (`p`).
    fn account(name: &str, ways: &str) -> Account {
        let keys =
            || ScramKeys::derive(ScramHash::Sha256, b"x", b"salt", NonZeroU32::new(4096).unwrap());
        let hash =
            || PasswordHash::make(b"x", b"somesalt", Params::new(8, 1, 1, None).unwrap()).unwrap();
        Account {
            name: name.into(),
            is_enabled: true,
            password: ways.contains('p').then(hash),
            scram_sha_256: ways.contains('s').then(keys),
            scram_sha_1: None,
            senders: Senders::parse(["*"]).unwrap(),
            tokens: vec![],
            certificates: vec![],
        }
    }

    #[test]
    fn a_mechanism_is_served_if_it_works_for_all_who_would_take_it() {
        let served = |accounts: Vec<Account>| {
            let book = Book::new(accounts, &[0; 64]);
            Mechanism::ALL
                .into_iter()
                .filter(|mechanism| book.serves(*mechanism))
                .collect::<Vec<_>>()
        };
        let (plus, scram, plain, login) = (
            Mechanism::ScramSha256Plus,
            Mechanism::ScramSha256,
            Mechanism::Plain,
            Mechanism::Login,
        );
        assert_eq!(served(vec![]), []);
        assert_eq!(served(vec![account("a", "s")]), [plus, scram]);
        assert_eq!(served(vec![account("a", "sp"), account("b", "p")]), [plain, login]);
        let token = Account { tokens: vec!["t".into()], ..account("c", "") };
        let want = [plus, scram, Mechanism::OAuthBearer, Mechanism::XOAuth2, plain, login];
        assert_eq!(served(vec![account("a", "sp"), token]), want);
        let disabled = Account { is_enabled: false, ..account("b", "p") };
        assert_eq!(served(vec![account("a", "sp"), disabled]), [plus, scram, plain, login]);
    }

    #[test]
    fn decoys_outlive_a_restart_as_accounts_do() {
        let decoy = |random: u8| {
            let book = Book::new(vec![account("a", "s")], &[random; 64]);
            book.decoy_scram(ScramHash::Sha256, "nobody").salt
        };
        assert_eq!(decoy(1), decoy(2));
    }
}
