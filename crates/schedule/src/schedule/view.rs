//! What an operator may see of the schedule.

use std::time::Instant;

use mail::{Destination, Domain, MessageId, Timestamp};

use super::{Schedule, wide};
use crate::entry::{At, Record};
use crate::place::{Health, Place};
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

/// How many entries stand how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// They may go now, as far as their destination's limit allows.
    pub ready: usize,
    /// They rest, or wait for the rest of their destination to end.
    pub resting: usize,
    /// They are with delivery or the spool.
    pub in_flight: usize,
}

impl Schedule {
    /// All entries, oldest message first.
    pub fn entries(&self) -> impl Iterator<Item = EntryView<'_>> {
        self.entries_behind(None)
    }

    /// The entries of messages behind `after`, oldest message first: what is left of a list of which
    /// `after` was the last one seen.
    pub fn entries_behind(&self, after: Option<MessageId>) -> impl Iterator<Item = EntryView<'_>> {
        let firsts = self.messages.behind(after, &self.entries);
        firsts.flat_map(|first| self.chain_from(Some(first))).map(|key| self.view(key))
    }

    /// The entries of one message.
    pub fn entries_of(&self, id: MessageId) -> impl Iterator<Item = EntryView<'_>> {
        self.chain(id).map(|key| self.view(key))
    }

    /// All destinations, in no order.
    pub fn places(&self) -> impl Iterator<Item = PlaceView<'_>> {
        self.places_from(0).map(|(_, place)| place)
    }

    /// As [`Self::places`], each with its number, beginning at the number `first`.
    pub fn places_from(&self, first: u32) -> impl Iterator<Item = (u32, PlaceView<'_>)> {
        self.places.iter_from(first).map(|(key, place)| (key, self.place_view(place)))
    }

    fn place_view<'a>(&self, place: &'a Place) -> PlaceView<'a> {
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
    }

    /// One destination; none if it has no entries.
    pub fn place(&self, destination: &Destination) -> Option<PlaceView<'_>> {
        let key = self.destinations.get(destination)?;
        Some(self.place_view(&self.places[key]))
    }

    /// How many entries a destination has.
    pub fn entries_at(&self, destination: &Destination) -> usize {
        let key = self.destinations.get(destination);
        key.map_or(0, |key| wide(self.places[key].entries))
    }

    /// How many destinations there are.
    pub const fn places_len(&self) -> usize {
        self.places.len()
    }

    /// The destination that is printed so, if it has entries.
    pub fn destination(&self, printed: &str) -> Option<Destination> {
        let by_domain = || {
            let (connector, domain) = printed.rsplit_once('/')?;
            Some(Destination::exchangers(connector, Domain::parse(domain).ok()?))
        };
        let all = [Some(Destination::smart_host(printed)), by_domain()];
        all.into_iter().flatten().find(|it| self.destinations.get(it).is_some())
    }

    /// How many entries stand how.
    pub const fn counts(&self) -> Counts {
        let [ready, resting] = self.counted;
        let in_flight = self.entries.len().saturating_sub(ready).saturating_sub(resting);
        Counts { ready, resting, in_flight }
    }

    /// How many messages there are.
    pub const fn messages_len(&self) -> usize {
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
    pub fn in_flight(&self) -> usize {
        wide(self.slots.held())
    }

    /// The message with the greatest id.
    pub fn newest(&self) -> Option<MessageId> {
        let last = self.messages.last()?;
        Some(self.entries[last].id())
    }

    /// When the oldest message was received.
    pub fn oldest_at(&self) -> Option<Timestamp> {
        let first = self.messages.behind(None, &self.entries).next()?;
        Some(self.entries[first].received_at)
    }

    /// Memory held, in octets, but for the names of destinations; trees are estimated.
    pub fn octets(&self) -> usize {
        self.entries.octets()
            + self.places.octets()
            + self.messages.octets()
            + self.destinations.octets()
            + self.timers.octets()
            + self.round.octets()
    }

    fn view(&self, key: u32) -> EntryView<'_> {
        let entry = &self.entries[key];
        let place = &self.places[entry.place];
        let (state, next_try) = match (entry.at, place.health) {
            (At::Ready, Health::Rest(until)) => (State::Resting, Some(until)),
            (At::Ready, Health::Open | Health::Probe(_)) => (State::Ready, None),
            (At::Resting | At::RestingLong, _) => (State::Resting, Some(entry.due)),
            (At::InFlight | At::Lingering | At::Leaving | At::Settling | At::SettlingReady, _) => {
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
