//! The policy in force, which may change while the relay runs.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use mail::{Address, Domain};

use crate::admission::Admission;
use crate::config::{ForeignFrom, Rewrite, RewriteError};
use crate::foreign::Foreign;
use crate::router::Router;
use crate::rules::Rules;

/// All that is decided by: immutable once made, exchanged as a whole.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who may relay.
    pub admission: Admission,
    /// Which way recipients go.
    pub router: Router,
    /// What is done with some messages.
    pub rules: Arc<Rules>,
    /// Who stands in the From of mail that no outbound connector takes otherwise.
    pub(crate) default_from: Option<Address>,
    /// What is done with a From of somebody else.
    pub(crate) foreign: Foreign,
    /// How many policies were in force before; what was made under another one is not to be trusted.
    generation: u64,
}

impl Policy {
    /// A policy of these parts.
    pub fn new(admission: Admission, router: Router) -> Self {
        Self {
            admission,
            router,
            rules: Arc::default(),
            default_from: None,
            foreign: Foreign::default(),
            generation: 0,
        }
    }

    /// The same with rules.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules: Arc::new(rules), ..self }
    }

    /// The same with another From for mail that finds no way out.
    ///
    /// # Errors
    /// What is no address.
    pub fn with_rewrite(self, rewrite: &Rewrite) -> Result<Self, RewriteError> {
        let default_from = rewrite.address()?;
        Ok(Self { default_from, ..self })
    }

    /// The same with what is done with a From that is in none of `own`, nor below it.
    #[must_use]
    pub fn with_foreign_from(self, what: ForeignFrom, own: Vec<Domain>) -> Self {
        Self { foreign: Foreign::new(what, own), ..self }
    }

    /// Tells this policy from those before and after it.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Tells the ways of recipients from those before: as long as it stays the same, each belongs to the same
    /// destination, whoever asks. Two attempts at one message that go by different ways could both send to one.
    pub fn ways(&self) -> u64 {
        (self.generation << 32) | u64::from(self.router.changes())
    }
}

/// A handle on the policy in force; cheap to clone, all clones see a change at once.
#[derive(Clone, Debug)]
pub struct Live(Arc<ArcSwap<Policy>>);

impl Live {
    /// Puts `policy` in force.
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(policy)))
    }

    /// The policy for one decision; not to be held across waiting.
    pub fn load(&self) -> Guard<Arc<Policy>> {
        self.0.load()
    }

    /// The policy for what takes longer: it stays the same until it is dropped.
    pub fn hold(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Puts `policy` in force instead of the one before; one caller at a time.
    pub fn put(&self, policy: Policy) {
        let generation = self.0.load().generation.wrapping_add(1);
        self.0.store(Arc::new(Policy { generation, ..policy }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_handles_see_a_change() {
        let policy = || Policy::new(Admission::new(Vec::new()), Router::new(Vec::new()).unwrap());
        let live = Live::new(policy());
        let (other, held) = (live.clone(), live.hold());
        live.put(policy());
        assert_eq!((held.generation(), other.load().generation()), (0, 1));
    }
}
