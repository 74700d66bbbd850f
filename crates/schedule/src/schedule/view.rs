//! What an operator may see of the schedule.

use std::mem::size_of;
use std::time::Instant;

use mail::{Destination, MessageId, Timestamp};

use super::{Schedule, Timer};
use crate::entry::{At, Record};
use crate::place::Health;
use crate::state::State;

/// One message at one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryView<'a> {
    /// The message.
    pub id: MessageId,
    /// Where to.
    pub destination: &'a Destination,
    /// How it stands there; what waits for the rest of its destination rests.
    pub state: State,
    /// When the message was received.
    pub received_at: Timestamp,
    /// Tries so far.
    pub tries: u16,
    /// When it is tried next, if it rests.
    pub next_try: Option<Instant>,
    /// Why its destination could not be connected to the last time, if so.
    pub last_failure: Option<&'a mail::Reply>,
}

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceView<'a> {
    /// The destination.
    pub destination: &'a Destination,
    /// Entries that may go now, or once its rest is over.
    pub ready: usize,
    /// Entries that rest by themselves.
    pub resting: usize,
    /// Entries with delivery or the spool.
    pub in_flight: usize,
    /// When its rest is over.
    pub rests_until: Option<Instant>,
    /// Failures to connect in a row.
    pub connect_failures: u16,
    /// What the last of them said.
    pub last_failure: Option<&'a mail::Reply>,
}

impl Schedule {
    /// All entries, oldest message first.
    pub fn entries(&self) -> impl Iterator<Item = EntryView<'_>> {
        self.messages.values().flat_map(|first| self.chain_from(*first)).map(|key| self.view(key))
    }

    /// The entries of one message.
    pub fn entries_of(&self, id: MessageId) -> impl Iterator<Item = EntryView<'_>> {
        self.chain(id).map(|key| self.view(key))
    }

    /// All destinations, in no order.
    pub fn places(&self) -> impl Iterator<Item = PlaceView<'_>> {
        self.places.iter().map(|(_, place)| {
            let [ready, resting, all] = [place.ready.len(), place.resting, place.entries].map(wide);
            PlaceView {
                destination: &place.destination,
                ready,
                resting,
                in_flight: all.saturating_sub(ready).saturating_sub(resting),
                rests_until: match place.health {
                    Health::Rest(until) => Some(self.instant(until)),
                    Health::Open | Health::Probe(_) => None,
                },
                connect_failures: place.failures,
                last_failure: place.last_failure.as_deref(),
            }
        })
    }

    /// How many messages there are.
    pub fn messages_len(&self) -> usize {
        self.messages.len()
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// How many attempts are under way.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// When the oldest message was received.
    pub fn oldest_at(&self) -> Option<Timestamp> {
        let (_, first) = self.messages.first_key_value()?;
        Some(self.entries[*first].received_at)
    }

    /// Memory held, in octets, but for the names of destinations; maps are estimated at the fill of
    /// a tree after random insertions.
    pub fn octets(&self) -> usize {
        let tree = |len: usize, octets: usize| len * octets * 3 / 2;
        let names = size_of::<(Destination, u32)>() + 1;
        self.entries.octets()
            + self.places.octets()
            + tree(self.messages.len(), size_of::<MessageId>() + size_of::<u32>())
            + tree(self.timers.len(), size_of::<(u64, Timer)>())
            + tree(self.round.len(), size_of::<u64>() + size_of::<u32>())
            + self.place_keys.capacity() * names * 8 / 7
    }

    fn chain_from(&self, first: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(first), |key| {
            Some(self.entries[*key].sibling).filter(|key| *key != crate::slab::NONE)
        })
    }

    fn view(&self, key: u32) -> EntryView<'_> {
        let entry = &self.entries[key];
        let place = &self.places[entry.place];
        let (state, next_try) = match (entry.at, place.health) {
            (At::Ready, Health::Rest(until)) => (State::Resting, Some(until)),
            (At::Ready, Health::Open | Health::Probe(_)) => (State::Ready, None),
            (At::Resting, _) => (State::Resting, Some(entry.due)),
            (At::InFlight | At::Leaving | At::Settling | At::SettlingReady, _) => {
                (State::InFlight, None)
            }
        };
        let Record { received_at, tries, .. } = *entry;
        EntryView {
            id: entry.id(),
            destination: &place.destination,
            state,
            received_at,
            tries,
            next_try: next_try.map(|due| self.instant(due)),
            last_failure: place.last_failure.as_deref(),
        }
    }
}

fn wide(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
