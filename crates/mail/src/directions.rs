//! What the relay itself decided about a message when it took it.

use crate::address::Address;
use crate::header::Edit;

/// What rules, filters and connectors decided about a message; kept with its envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directions {
    /// The class of traffic that it belongs to.
    pub class: Option<Box<str>>,
    /// Who stands in MAIL when it leaves, in place of its sender; that is still who hears of it.
    pub sender: Option<Address>,
    /// Changes to its header, made in this order when it leaves; what is stored stays as it was received.
    pub edits: Vec<Edit>,
    /// Whether it is certified; receipts are not made yet.
    pub is_certified: bool,
    /// Why it is held until an operator releases it, if it is.
    pub held: Option<Box<str>>,
    /// The rules that acted on it, in their order.
    pub rules: Vec<Box<str>>,
}

impl Directions {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
