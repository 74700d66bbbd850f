//! `chasqui dkim add`.

use std::path::{Path, PathBuf};

use admin::view::DnsRecord;
use anyhow::{Context, anyhow};
use auth::config::{Key, KeyState};
use auth::{Kind, Record};
use mail::Timestamp;
use settings::{KeyEdit, Settings};
use units::Clock;

use super::in_force::in_force;
use super::key::{Shown, ToPublish, is_of, kind_word};
use crate::arguments::DkimAdd;
use crate::failure::{Code, Failure, Result};
use crate::{domains, look, output, private_file};

/// Does it.
pub(super) async fn run(add: &DkimAdd) -> Result {
    let settings = settings::load(&add.file.config)?;
    let wanted = wanted(add, &settings)?;
    let mut made = Vec::with_capacity(wanted.len());
    for (kind, key) in &wanted {
        match make(*kind, key, &settings) {
            Ok(record) => made.push(shown(add, key, *kind, &record)),
            Err(failure) => {
                forget(&made);
                return Err(failure);
            }
        }
    }
    let edits: Vec<_> = wanted.into_iter().map(|(_, key)| KeyEdit::Add(key)).collect();
    if let Err(error) = settings::edit_keys(&add.file.config, &edits, look::all) {
        forget(&made);
        return Err(error.into());
    }
    if add.file.json {
        output::json(&made)?;
    } else {
        output::line(text(&made))?;
    }
    let selectors: Vec<_> = made.iter().map(|key| key.selector.as_str()).collect();
    let next = format!(
        "once `chasqui dkim check {domain}` finds them, `chasqui dkim activate {domain} SELECTOR` lets each sign: {}",
        selectors.join(", "),
        domain = add.domain
    );
    if add.file.json {
        return Ok(());
    }
    output::line(format!("\n{next}"))?;
    in_force(&add.file.config, "the keys are in the settings").await
}

/// The keys to make, none of which is there yet.
fn wanted(add: &DkimAdd, settings: &Settings) -> Result<Vec<(Kind, Key)>> {
    let kinds: &[Kind] = match (add.rsa, add.ed25519) {
        (true, _) => &[Kind::Rsa],
        (false, true) => &[Kind::Ed25519],
        (false, false) => &[Kind::Rsa, Kind::Ed25519],
    };
    let folder = folder(add, settings)?;
    let mut keys = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let selector = match &add.selector {
            Some(selector) if kinds.len() == 1 => selector.clone(),
            Some(selector) => format!("{selector}-{}", kind_word(*kind)),
            None => format!("{}-{}", this_month(), kind_word(*kind)),
        };
        let domain = add.domain.trim_end_matches('.').to_ascii_lowercase();
        let key_file = folder.join(format!("{selector}._domainkey.{domain}.pem"));
        let key = Key { domain, selector, key_file, state: KeyState::Pending, check_dns: true };
        if let Some(problem) = key.problems().into_iter().next() {
            return Err(refused(problem.words, "see `chasqui dkim add --help`", Code::Arguments));
        }
        let is_it = |other: &&Key| {
            is_of(other, &key.domain) && other.selector.eq_ignore_ascii_case(&key.selector)
        };
        if settings.dkim.iter().any(|other| is_it(&other)) {
            let words = format!("there is already a key {} of {}", key.selector, key.domain);
            return Err(refused(words, "give it another name with --selector", Code::Failed));
        }
        keys.push((*kind, key));
    }
    Ok(keys)
}

fn refused(words: String, hint: &str, code: Code) -> Failure {
    Failure { error: anyhow!(words), hint: Some(hint.to_owned()), code }
}

/// Such as `2026-11`.
fn this_month() -> String {
    let mut text = Timestamp::from_millis(Clock::system().unix_millis()).rfc3339();
    text.truncate("2026-11".len());
    text
}

fn folder(add: &DkimAdd, settings: &Settings) -> Result<PathBuf> {
    let folder = add.directory.clone().unwrap_or_else(|| {
        let home = add.file.config.parent().unwrap_or_else(|| Path::new(""));
        home.join(&settings.mail_auth.domains.keys_folder)
    });
    // The relay may have another working folder.
    Ok(std::path::absolute(&folder).with_context(|| format!("the folder {}", folder.display()))?)
}

fn make(kind: Kind, key: &Key, settings: &Settings) -> Result<Record> {
    let made = auth::make(kind, &key.domain, &key.selector).map_err(anyhow::Error::new)?;
    // Whoever owns the spool is who runs the relay.
    let written = private_file::write(&key.key_file, &made.pem, &settings.spool.path);
    written.with_context(|| format!("the key {} cannot be written", key.key_file.display()))?;
    Ok(made.record)
}

/// Takes away what was made and is not in the settings.
fn forget(made: &[Shown]) {
    for key in made {
        // What cannot be taken away is used by nobody.
        drop(std::fs::remove_file(&key.key_file));
    }
}

fn shown(add: &DkimAdd, key: &Key, kind: Kind, record: &Record) -> Shown {
    let records = match &add.cname {
        None => vec![ToPublish { party: "owner", record: domains::record(record) }],
        Some(target) => delegated(key, record, target.trim_end_matches('.')),
    };
    Shown { kind: Some(kind_word(kind)), records, ..Shown::new(key) }
}

/// The owner's CNAME, and the operator's TXT record that it points to.
fn delegated(key: &Key, record: &Record, target: &str) -> Vec<ToPublish> {
    let name = format!("{}.{}.{target}", key.selector, key.domain);
    let alias = DnsRecord {
        name: record.name.clone(),
        kind: "CNAME".to_owned(),
        line: format!("{}. IN CNAME {name}.", record.name),
        strings: Vec::new(),
        value: name.clone(),
    };
    let there = Record { name, value: record.value.clone() };
    vec![
        ToPublish { party: "owner", record: alias },
        ToPublish { party: "operator", record: domains::record(&there) },
    ]
}

fn text(made: &[Shown]) -> String {
    let mut text = String::new();
    for (number, key) in made.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let (kind, file) = (key.kind.unwrap_or_default(), key.key_file.display());
        text.extend([format!("{} of {} ({kind}), in {file}", key.selector, key.domain)]);
        for ToPublish { party, record } in &key.records {
            let who =
                if *party == "owner" { "the domain's owner" } else { "the operator of this relay" };
            text.extend([format!("\n  {who} publishes:\n    {}", record.line)]);
        }
    }
    text
}
