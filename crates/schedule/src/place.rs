//! One destination with its entries.

use mail::{Destination, Reply};

use crate::entry::List;

/// One destination.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) destination: Destination,
    /// Entries that may go when it takes one more, oldest try first.
    pub(crate) ready: List,
    /// All its entries, wherever they stand.
    pub(crate) entries: u32,
    /// Entries in the timers.
    pub(crate) resting: u32,
    pub(crate) in_flight: u32,
    pub(crate) in_flight_max: u32,
    pub(crate) health: Health,
    /// Failures to connect in a row.
    pub(crate) failures: u16,
    /// What the last of them said.
    pub(crate) last_failure: Option<Box<Reply>>,
    /// Its turn in the round; none if it has nothing to give.
    pub(crate) turn: Option<u64>,
}

/// Whether the destination can be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// As far as is known.
    Open,
    /// It could not be connected to, and rests until then.
    Rest(u64),
    /// Its rest is over: one entry tries, and only what becomes of that one counts.
    Probe(Option<u32>),
}

impl Place {
    pub(crate) const fn new(destination: Destination, in_flight_max: u32) -> Self {
        Self {
            destination,
            ready: List::new(),
            entries: 0,
            resting: 0,
            in_flight: 0,
            in_flight_max,
            health: Health::Open,
            failures: 0,
            last_failure: None,
            turn: None,
        }
    }

    /// Whether an entry may go now.
    pub(crate) const fn has_due(&self) -> bool {
        let takes_more = match self.health {
            Health::Open => self.in_flight < self.in_flight_max,
            Health::Rest(_) => false,
            Health::Probe(probe) => probe.is_none(),
        };
        takes_more && !self.ready.is_empty()
    }
}
