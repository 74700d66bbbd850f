//! One destination with its entries.

use mail::{Destination, Reply};

use crate::list::{Linked, Links};
use crate::ready::Ready;
use crate::slots::Pace;

/// One destination.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) destination: Destination,
    /// Entries that may go when it takes one more.
    pub(crate) ready: Ready,
    /// All its entries, wherever they stand.
    pub(crate) entries: u32,
    /// Entries in the timers.
    pub(crate) resting: u32,
    pub(crate) in_flight: u32,
    pub(crate) in_flight_max: u32,
    pub(crate) health: Health,
    /// Failures to connect in a row.
    pub(crate) failures: u16,
    pub(crate) pace: Pace,
    /// When an attempt last ended soon.
    pub(crate) brisk_at: u64,
    /// What the last failure to connect said.
    pub(crate) last_failure: Option<Box<Reply>>,
    /// Its turn in the round; none if it has nothing to give.
    pub(crate) turn: Option<Turn>,
    /// Neighbours in the round.
    links: Links,
    /// What is counted of it in the totals of the schedule: entries that may go, and that rest.
    pub(crate) counted: [u32; 2],
    /// No entry in `ready` has a deadline before.
    pub(crate) deadline: u64,
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

/// Where a destination stands in the round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Turns are numbered as they are given out.
    pub(crate) number: u64,
    pub(crate) pace: Pace,
    /// In which line of its pace.
    pub(crate) line: u32,
}

impl Place {
    pub(crate) const fn new(destination: Destination, in_flight_max: u32) -> Self {
        Self {
            destination,
            ready: Ready::new(),
            entries: 0,
            resting: 0,
            in_flight: 0,
            in_flight_max,
            health: Health::Open,
            failures: 0,
            pace: Pace::New,
            brisk_at: 0,
            last_failure: None,
            turn: None,
            links: Links::NONE,
            counted: [0, 0],
            deadline: u64::MAX,
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

    /// Entries that may go or could but for its limit, and entries that rest. What waits for its rest to
    /// end, rests.
    pub(crate) fn standing(&self) -> [u32; 2] {
        match self.health {
            Health::Rest(_) => [0, self.resting.saturating_add(self.ready.len())],
            Health::Open | Health::Probe(_) => [self.ready.len(), self.resting],
        }
    }
}

impl Linked for Place {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be as many destinations as messages.
    #[test]
    fn a_destination_is_small() {
        assert!(size_of::<Place>() <= 128, "{}", size_of::<Place>());
    }
}
