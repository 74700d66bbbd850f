//! What is done with mail whose From is of somebody else.

use mail::{Address, Domain};

use crate::config::ForeignFrom;
use crate::rules::{Facts, Protection};

/// Whose domains are ours, and what is done with others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreign {
    what: ForeignFrom,
    own: Vec<Domain>,
}

/// What is to be done with a From.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Replace,
    /// Its owner keeps others from using it.
    Refuse(Domain),
    /// Whether its owner does could not be found out.
    Later(Domain),
    /// Whether its owner does has to be known.
    Ask(Domain),
}

impl Foreign {
    /// Goes by `what` for all domains but these and those below them.
    pub(crate) fn new(what: ForeignFrom, own: Vec<Domain>) -> Self {
        Self { what, own }
    }

    /// Whether nothing is ever done.
    pub(crate) fn is_idle(&self) -> bool {
        self.what == ForeignFrom::Keep
    }

    /// What is to be done with this From.
    pub(crate) fn look(&self, from: Option<&Address>, facts: &Facts<'_>) -> Verdict {
        let domain = from.filter(|_| !self.is_idle()).and_then(Address::domain);
        let Some(domain) = domain.filter(|domain| !self.is_own(domain)) else {
            return Verdict::Keep;
        };
        let known = || facts.from_domain.filter(|(of, _)| **of == domain);
        match (self.what, known()) {
            (ForeignFrom::Keep, _) => Verdict::Keep,
            (ForeignFrom::Replace, _) => Verdict::Replace,
            (_, None) => Verdict::Ask(domain),
            (_, Some((_, Protection::Open))) => Verdict::Keep,
            (_, Some((_, Protection::Unknown))) => Verdict::Later(domain),
            (ForeignFrom::ReplaceProtected, _) => Verdict::Replace,
            (ForeignFrom::RefuseProtected, _) => Verdict::Refuse(domain),
        }
    }

    fn is_own(&self, domain: &Domain) -> bool {
        self.own.iter().any(|own| domain == own || domain.is_below(own))
    }
}
