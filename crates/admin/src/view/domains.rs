//! What the DNS says of a domain, as the control API shows it.

use serde::{Deserialize, Serialize};

/// All that was looked at for a domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DomainReport {
    /// The domain in A-labels.
    pub domain: String,
    /// The worst of the grades.
    pub grade: Grade,
    /// In the order in which things are best mended.
    pub checks: Vec<DomainCheck>,
}

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Pass,
    /// Mail goes, and could be trusted more.
    Warn,
    /// Mail will be refused or distrusted.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DomainCheck {
    /// What, such as `SPF`.
    pub name: String,
    /// How good it is.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<DomainAdvice>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DomainAdvice {
    /// Who has to do it.
    pub party: Party,
    /// What to do.
    pub words: String,
    /// The record to publish, where it is one.
    pub record: Option<DnsRecord>,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// Whoever keeps the domain's zone.
    Owner,
    /// Whoever runs this relay.
    Operator,
}

/// A record of the DNS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DnsRecord {
    /// Its whole name, without a final dot.
    pub name: String,
    /// `TXT` or `CNAME`.
    pub kind: String,
    /// Its text, or the name that it points to.
    pub value: String,
    /// The text in strings of at most 255 octets.
    pub strings: Vec<String>,
    /// The record as a line of a zone file.
    pub line: String,
}
