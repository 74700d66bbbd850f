//! What a SCRAM client says, and what it is challenged with.

use std::sync::Arc;

use policy::config::Mechanism;

use crate::account::Account;
use crate::book::Book;
use crate::scram::message::{ClientFirst, Flag, client_first};
use crate::scram::{ScramHash, ScramKeys};
use crate::server::refusal::Refusal;

/// A client that is to prove that it knows a password.
pub(super) struct Challenged {
    /// Prepared.
    pub(super) name: String,
    pub(super) authorization: String,
    /// Whose password it is; else why there is none.
    pub(super) account: Result<Arc<Account>, &'static str>,
}

/// Reads a client's first message.
pub(super) fn first(mechanism: Mechanism, message: &[u8]) -> Result<ClientFirst, Refusal> {
    let is_plus = mechanism == Mechanism::ScramSha256Plus;
    let malformed =
        || Refusal::malformed(format!("the message is not the first one of {mechanism}"));
    let first = client_first(message).ok_or_else(malformed)?;
    match (first.flag == Flag::Used, is_plus) {
        (true, false) => {
            Err(Refusal::malformed(format!("the client bound {mechanism}, which is not -PLUS")))
        }
        (false, true) => {
            Err(Refusal::malformed(format!("the client chose {mechanism} and bound nothing")))
        }
        _ => Ok(first),
    }
}

/// The keys that a name is challenged with: its account's, or such as look like some.
pub(super) fn keys(
    book: &Book,
    mechanism: Mechanism,
    name: &str,
) -> (Option<ScramKeys>, Result<Arc<Account>, &'static str>) {
    let account = match book.named(name) {
        None => Err("is not there"),
        Some(account) if !account.is_enabled => Err("is disabled"),
        Some(account) if account.scram(mechanism).is_none() => {
            Err("has no keys for this mechanism")
        }
        Some(account) => Ok(Arc::clone(account)),
    };
    let decoy = || ScramHash::of(mechanism).map(|hash| book.decoy_scram(hash, name));
    let own = account.as_ref().ok().and_then(|account| account.scram(mechanism)).cloned();
    (own.or_else(decoy), account)
}

/// Why a proof does not hold.
pub(super) fn fault(challenged: &Challenged, said: &[u8]) -> String {
    let words = match &challenged.account {
        Err(words) => words,
        Ok(_) if said == b"e=channel-bindings-dont-match" => {
            "was given a binding to another TLS session: somebody may be in between"
        }
        Ok(_) => "was given a wrong password",
    };
    format!("account `{}` {words}", crate::text::shown(&challenged.name))
}
