//! A key as it is shown.

use std::path::PathBuf;

use admin::view::DnsRecord;
use anyhow::anyhow;
use auth::config::{Key, KeyState};
use auth::{Kind, SigningKey};
use serde::Serialize;
use telemetry::Causes;

use crate::domains;
use crate::failure::{Code, Failure, Result};

/// A key as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) domain: String,
    pub(super) selector: String,
    /// None if its file cannot be read.
    pub(super) kind: Option<&'static str>,
    pub(super) state: &'static str,
    pub(super) key_file: PathBuf,
    /// What the DNS says of it, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) published: Option<String>,
    /// What to publish, and who shall.
    pub(super) records: Vec<ToPublish>,
}

/// One record.
#[derive(Debug, Serialize)]
pub(super) struct ToPublish {
    /// `owner` or `operator`.
    pub(super) party: &'static str,
    pub(super) record: DnsRecord,
}

impl Shown {
    pub(super) fn new(key: &Key) -> Self {
        let read = SigningKey::read(key).ok();
        let record = read.as_ref().map(SigningKey::record);
        let publish = |record| ToPublish { party: "owner", record: domains::record(&record) };
        Self {
            domain: key.domain.clone(),
            selector: key.selector.clone(),
            kind: read.map(|key| kind_word(key.kind())),
            state: state_word(key.state),
            key_file: key.key_file.clone(),
            published: None,
            records: record.map(publish).into_iter().collect(),
        }
    }

    /// What the DNS says of it; with the record, where that is not there.
    pub(super) fn checked(&self) -> String {
        let published = self.published.as_deref().unwrap_or_default();
        let mut text =
            format!("{} of {} ({}): {published}", self.selector, self.domain, self.state);
        if published != "published" && self.state != "retired" {
            for publish in &self.records {
                text.extend(["\n    ", &publish.record.line]);
            }
        }
        text
    }
}

/// Whether a key is one of `domain`.
pub(super) fn is_of(key: &Key, domain: &str) -> bool {
    key.domain.eq_ignore_ascii_case(domain)
}

/// Reads its file.
pub(super) fn read(key: &Key) -> Result<SigningKey> {
    SigningKey::read(key).map_err(|error| Failure {
        error: anyhow!("{}", Causes(&error)),
        hint: Some("look at `key_file` of this [[dkim]]".to_owned()),
        code: Code::Settings,
    })
}

pub(super) const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Rsa => "rsa",
        Kind::Ed25519 => "ed25519",
    }
}

/// The state as the settings write it.
pub(super) const fn state_word(state: KeyState) -> &'static str {
    match state {
        KeyState::Pending => "pending",
        KeyState::Active => "active",
        KeyState::Retiring => "retiring",
        KeyState::Retired => "retired",
    }
}
