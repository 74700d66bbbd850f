//! An account, ready for use.

use mail::{Address, ReversePath};
use policy::config::Mechanism;

use crate::password::PasswordHash;
use crate::scram::ScramKeys;
use crate::senders::Senders;
use crate::text::prepared;

/// An account as the relay holds it. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// Prepared (RFC 4013).
    pub(crate) name: Box<str>,
    pub(crate) is_enabled: bool,
    pub(crate) password: Option<PasswordHash>,
    pub(crate) scram_sha_256: Option<ScramKeys>,
    pub(crate) scram_sha_1: Option<ScramKeys>,
    pub(crate) senders: Senders,
    pub(crate) tokens: Vec<Box<str>>,
    /// In lower case.
    pub(crate) certificates: Vec<Box<str>>,
}

impl Account {
    /// Its keys for a SCRAM mechanism.
    pub(crate) fn scram(&self, mechanism: Mechanism) -> Option<&ScramKeys> {
        match mechanism {
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => self.scram_sha_256.as_ref(),
            Mechanism::ScramSha1 => self.scram_sha_1.as_ref(),
            _ => None,
        }
    }

    /// Whether a password opens it.
    pub(crate) const fn has_password(&self) -> bool {
        self.password.is_some() || self.scram_sha_256.is_some() || self.scram_sha_1.is_some()
    }

    /// Whether it may act for `who`: for itself, under its name or as one of its senders.
    pub(crate) fn acts_for(&self, who: &str) -> bool {
        let is_sender = || {
            let address = Address::parse(who).ok().map(ReversePath::Address);
            address.is_some_and(|address| self.senders.allow(&address))
        };
        who.is_empty() || prepared(who).is_ok_and(|who| who == *self.name) || is_sender()
    }
}
