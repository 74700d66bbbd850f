//! Whose mail it is: the recipient domains.

use serde::Deserialize;

/// The recipient domains: so many, in turn, or a few often and many seldom.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Domains {
    /// `domains = 1000`: each in turn.
    InTurn(u64),
    /// `domains = { count = 1000, zipf = 1.1 }`: by Zipf's law with that exponent; 0 means all equally often.
    Zipf {
        /// How many there are.
        count: u64,
        /// The exponent.
        zipf: f64,
    },
}
