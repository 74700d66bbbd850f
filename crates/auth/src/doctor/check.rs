//! What the doctor says.

use std::fmt;

use crate::dns::LookupError;
use crate::key::Record;

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Pass,
    /// Mail goes, and could be trusted more.
    Warn,
    /// Mail will be refused or distrusted.
    Fail,
}

impl Grade {
    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Whoever keeps the domain's zone.
    Owner,
    /// The operator of this relay, who keeps the zone, or the addresses and their names.
    Operator,
}

impl Party {
    /// Who it is.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Owner => "the domain's owner",
            Self::Operator => "the operator of this relay",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Who has to do it.
    pub party: Party,
    /// What to do.
    pub words: String,
    /// The exact TXT record, where it is one.
    pub record: Option<Record>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// How good it is.
    pub grade: Grade,
    /// What was found, in one sentence.
    pub found: String,
    /// What to do about it.
    pub advice: Option<Advice>,
}

impl Check {
    pub(super) fn new(name: &str, grade: Grade, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), grade, found: found.into(), advice: None }
    }

    /// Something that could not be looked at: it says so, and is not good.
    pub(super) fn unknown(name: &str, error: &LookupError) -> Self {
        Self::new(name, Grade::Warn, format!("{error}; ask again later"))
    }

    #[must_use]
    pub(super) fn advise(mut self, advice: Advice) -> Self {
        self.advice = Some(advice);
        self
    }

    #[must_use]
    pub(super) fn tell(self, party: Party, words: impl Into<String>) -> Self {
        self.advise(Advice { party, words: words.into(), record: None })
    }
}

impl fmt::Display for Check {
    /// As a line or more for people.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {}", self.grade.word(), self.name, self.found)?;
        let Some(advice) = &self.advice else { return Ok(()) };
        write!(out, "\n     {}: {}", advice.party.words(), advice.words)?;
        match &advice.record {
            Some(record) => write!(out, "\n     {record}"),
            None => Ok(()),
        }
    }
}

/// All that was looked at for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The domain in A-labels.
    pub domain: String,
    /// The checks in order.
    pub checks: Vec<Check>,
}

impl Report {
    /// The worst grade.
    pub fn grade(&self) -> Grade {
        self.checks.iter().map(|check| check.grade).max().unwrap_or(Grade::Pass)
    }
}
