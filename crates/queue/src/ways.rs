//! By which ways recipients are told apart.

use std::collections::BTreeSet;

use policy::Policy;

/// The ways of a policy as they stood when it was looked at.
#[derive(Debug)]
pub(crate) struct Ways {
    /// What attempts are handed out with.
    pub(crate) number: u64,
    pub(crate) generation: u64,
    /// The connectors whose mail goes another way.
    pub(crate) full: BTreeSet<Box<str>>,
}

impl Ways {
    pub(crate) fn of(policy: &Policy) -> Self {
        let full = policy.router.full().map(Box::from).collect();
        Self { number: policy.ways(), generation: policy.generation(), full }
    }
}
