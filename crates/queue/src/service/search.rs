//! Questions about the whole queue, answered slice by slice: between two slices the queue does its work.

use mail::{Destination, MessageId};
use schedule::{EntryView, PlaceView, State};
use tokio::sync::oneshot;

use crate::request::{Cancelled, Listing, Look, Retried, Selection, Summary};

/// Entries or destinations looked at in one slice: some tenths of a millisecond.
pub(super) const SLICE: usize = 1024;

/// A question that is being answered.
pub(super) enum Search {
    Entries(Box<Entries>),
    Places(Places),
}

/// A search for entries. It finds no messages that came after it was begun.
pub(super) struct Entries {
    pub(super) wish: Wish,
    pub(super) selection: Selection,
    /// Where the entries must be, if that is asked for.
    pub(super) destination: Option<Destination>,
    /// The message seen last.
    pub(super) seen: Option<MessageId>,
    /// The last message to be seen.
    pub(super) last: Option<MessageId>,
    /// How many of the named messages were seen.
    pub(super) named_seen: usize,
}

/// What is to be done with the entries found.
pub(super) enum Wish {
    List {
        listing: Listing,
        limit: usize,
        /// Who is looked for.
        look: Option<Box<Look>>,
        /// How many there are, if that is known without looking at all of them.
        found: Option<usize>,
        reply: oneshot::Sender<Listing>,
    },
    Retry {
        retried: Retried,
        reply: oneshot::Sender<Retried>,
    },
    Cancel {
        cancelled: Cancelled,
        reply: oneshot::Sender<Cancelled>,
    },
}

/// A search for the destinations with most mail.
pub(super) struct Places {
    pub(super) limit: usize,
    pub(super) next: u32,
    /// The largest so far with their size, at most twice as many as asked for.
    pub(super) largest: Vec<(usize, Destination)>,
    /// Smaller ones are not among them.
    pub(super) least: usize,
    pub(super) reply: oneshot::Sender<Summary>,
}

impl Places {
    pub(super) const fn new(limit: usize, reply: oneshot::Sender<Summary>) -> Self {
        Self { limit, next: 0, largest: Vec::new(), least: 0, reply }
    }

    pub(super) fn take(&mut self, place: &PlaceView<'_>) {
        let size = place.ready.saturating_add(place.resting).saturating_add(place.in_flight);
        if size < self.least {
            return;
        }
        self.largest.push((size, place.destination.clone()));
        if self.largest.len() > self.limit.saturating_mul(2) {
            self.sort();
            self.least = self.largest.last().map_or(0, |(size, _)| *size);
        }
    }

    pub(super) fn sort(&mut self) {
        self.largest.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        self.largest.truncate(self.limit);
    }
}

impl Entries {
    pub(super) fn fits(&self, view: &EntryView<'_>) -> bool {
        let Selection { connector, state, .. } = &self.selection;
        self.destination.as_ref().is_none_or(|destination| destination == view.destination)
            && connector.as_deref().is_none_or(|name| view.destination.connector() == name)
            && state.is_none_or(|state: State| state == view.state)
    }
}
