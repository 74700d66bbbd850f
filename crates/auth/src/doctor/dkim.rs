//! Whether the keys that sign for a domain are published as their state wants it.

use std::sync::Arc;

use super::check::{Check, Grade, Party};
use super::relay::Relay;
use crate::config::KeyState;
use crate::dns::{Dns, is_within};
use crate::key::Kind;
use crate::signing_key::{Published, SigningKey};

/// One check per key of the domain or a domain above it.
pub(super) async fn check(dns: &Dns, relay: &Relay, domain: &str) -> Vec<Check> {
    let fits = |key: &&Arc<SigningKey>| is_within(domain, &key.domain);
    let keys: Vec<_> = relay.keys.iter().filter(fits).collect();
    if !keys.iter().any(|key| key.state == KeyState::Active) {
        let found = format!("no active key signs for {domain}");
        let check = Check::new("DKIM", Grade::Warn, found).tell(
            Party::Operator,
            "make keys with `chasqui dkim add`, have their records published, then say `chasqui dkim activate`",
        );
        let mut checks = vec![check];
        for key in keys {
            checks.push(one(dns, relay, key).await);
        }
        return checks;
    }
    let mut checks = Vec::with_capacity(keys.len());
    for key in &keys {
        checks.push(one(dns, relay, key).await);
    }
    let has_rsa =
        |key: &&&Arc<SigningKey>| key.state == KeyState::Active && key.kind() == Kind::Rsa;
    if !keys.iter().any(|key| has_rsa(&key)) {
        let found = "only Ed25519 keys sign, which many verifiers do not know yet";
        checks.push(
            Check::new("DKIM", Grade::Warn, found)
                .tell(Party::Operator, "add an RSA key beside them"),
        );
    }
    checks
}

async fn one(dns: &Dns, relay: &Relay, key: &SigningKey) -> Check {
    let record = key.record();
    let title = format!("DKIM {}", key.selector);
    let check = |grade, found: String| Check::new(&title, grade, found);
    let advise = |words: &str| relay.publish(&record.name, &record.value, words);
    let name = &record.name;
    match (key.published(dns).await, key.state) {
        (Published::Unknown(error), _) => Check::unknown(&title, &error),
        (Published::Yes, KeyState::Pending) => {
            check(Grade::Warn, format!("{name} is published and waits"))
                .tell(Party::Operator, "let it sign with `chasqui dkim activate`")
        }
        (Published::Yes, KeyState::Retired) => {
            check(Grade::Warn, format!("{name} is published, but the key is retired"))
                .tell(relay.party(name), "take the record out of the DNS")
        }
        (Published::Yes, _) => check(Grade::Pass, format!("{name} is published as it is used")),
        (Published::Missing, KeyState::Retired) => {
            check(Grade::Pass, format!("{name} is retired and gone"))
        }
        (Published::Differs { .. }, KeyState::Retired) => {
            check(Grade::Pass, format!("{name} now has another key"))
        }
        (Published::Missing, KeyState::Pending) => {
            check(Grade::Warn, format!("{name} is not published yet"))
                .advise(advise("publish this record"))
        }
        (Published::Missing, _) => {
            check(Grade::Fail, format!("{name} is not published, so its signatures are worthless"))
                .advise(advise("publish this record"))
        }
        (Published::Differs { found }, _) => {
            check(Grade::Fail, format!("{name} publishes another key: `{found}`"))
                .advise(advise("put this record in place of the one that is there"))
        }
    }
}
