//! The schedule.

pub(crate) mod outcome;
pub(crate) mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use mail::{Destination, MessageId, Timestamp};

use crate::backoff::{Backoff, Random};
use crate::entry::{At, List, Made, Record};
use crate::place::{Health, Place};
use crate::slab::{NONE, Slab};

/// What a schedule goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Rests of a destination that could not be connected to.
    pub connect: Backoff,
    /// Rests of a message after a 4yz reply.
    pub reply: Backoff,
    /// Attempts under way at the same time, all destinations together.
    pub in_flight_max: usize,
    /// Where jitter comes from.
    pub random_seed: u64,
}

/// A message for a destination.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The message.
    pub id: MessageId,
    /// Where to.
    pub destination: Destination,
    /// Attempts at this destination under way at the same time, at least 1.
    pub in_flight_max: u32,
    /// When the message was received; handed back with each attempt.
    pub received_at: Timestamp,
    /// Tries that went before.
    pub tries: u16,
    /// When the next try is due.
    pub due: Instant,
    /// From when on a try that leaves it waiting is the last.
    pub expires: Instant,
}

/// An entry whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The message.
    pub id: MessageId,
    /// Where to.
    pub destination: Destination,
    /// When the message was received.
    pub received_at: Timestamp,
    /// Tries that went before.
    pub tries: u16,
}

/// What is due, for whom, when.
///
/// An entry is named by its message and destination and stands in exactly one of: the list of its
/// destination (ready), the timers (resting), delivery's hands (from [`Schedule::next_due`] to
/// [`Schedule::end`]), the list of those that leave, the spool's hands (until [`Schedule::settle`]).
/// Destinations with something to give take turns, one entry a turn. A destination is forgotten
/// with its last entry.
#[derive(Debug)]
pub struct Schedule {
    settings: Settings,
    /// Times are milliseconds since then.
    began: Instant,
    random: Random,
    entries: Slab<Record>,
    places: Slab<Place>,
    /// The first entry of each message; ids sort by age.
    messages: BTreeMap<MessageId, u32>,
    place_keys: HashMap<Destination, u32>,
    timers: BTreeSet<(u64, Timer)>,
    /// Destinations that have something to give, by turn.
    round: BTreeMap<u64, u32>,
    turns: u64,
    in_flight: usize,
    leaving: List,
}

/// What a timer wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Entry(u32),
    Place(u32),
}

impl Schedule {
    /// An empty schedule.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let random = Random::new(settings.random_seed);
        Self {
            settings,
            began: now,
            random,
            entries: Slab::new(),
            places: Slab::new(),
            messages: BTreeMap::new(),
            place_keys: HashMap::new(),
            timers: BTreeSet::new(),
            round: BTreeMap::new(),
            turns: 0,
            in_flight: 0,
            leaving: List::new(),
        }
    }

    /// Adds an entry; false, and nothing changes, if the message is there for that destination.
    pub fn add(&mut self, entry: Entry, now: Instant) -> bool {
        if self.find(entry.id, &entry.destination).is_some() {
            return false;
        }
        let now = self.millis(now);
        let (due, expires) = (self.millis_up(entry.due), self.millis_up(entry.expires));
        let (id, limit) = (entry.id, entry.in_flight_max.max(1));
        let Some(place) = self.place_for(entry.destination, limit) else { return false };
        let (received_at, tries) = (entry.received_at, entry.tries);
        let made = Made { id, received_at, due, expires, place, tries };
        let Some(key) = self.entries.insert(Record::new(&made)) else { return false };
        let first = self.messages.insert(id, key).unwrap_or(NONE);
        self.entries[key].sibling = first;
        self.places[place].entries = self.places[place].entries.saturating_add(1);
        self.rest_or_ready(key, now);
        true
    }

    /// Takes the entry that goes next and counts it as under way; none if nothing may go now.
    ///
    /// Every entry taken must come back by [`Self::end`] or [`Self::put_back`].
    pub fn next_due(&mut self, now: Instant) -> Option<Due> {
        self.advance(now);
        if self.in_flight >= self.settings.in_flight_max {
            return None;
        }
        let (_, place_key) = self.round.pop_first()?;
        self.places[place_key].turn = None;
        let key = self.places[place_key].ready.pop_front(&mut self.entries)?;
        let place = &mut self.places[place_key];
        place.in_flight = place.in_flight.saturating_add(1);
        if let Health::Probe(probe) = &mut place.health {
            *probe = Some(key);
        }
        let destination = place.destination.clone();
        self.in_flight = self.in_flight.saturating_add(1);
        self.touch(place_key);
        let entry = &mut self.entries[key];
        entry.at = At::InFlight;
        let (id, received_at, tries) = (entry.id(), entry.received_at, entry.tries);
        Some(Due { id, destination, received_at, tries })
    }

    /// Takes back an entry that could not be handed on; it goes first when its destination is next.
    pub fn put_back(&mut self, id: MessageId, destination: &Destination) {
        let Some(key) = self.find(id, destination) else { return };
        if self.entries[key].at != At::InFlight {
            return;
        }
        let place_key = self.release(key);
        self.entries[key].at = At::Ready;
        self.places[place_key].ready.push_front(key, &mut self.entries);
        if self.entries[key].is_cancelled {
            self.leave(key);
        }
        self.touch(place_key);
    }

    /// Wakes what has rested long enough.
    pub fn advance(&mut self, now: Instant) {
        let now = self.millis(now);
        while let Some((due, timer)) = self.timers.first().copied()
            && due <= now
        {
            self.timers.pop_first();
            match timer {
                Timer::Entry(key) => self.wake(key),
                Timer::Place(key) => {
                    self.places[key].health = Health::Probe(None);
                    self.touch(key);
                }
            }
        }
    }

    /// When [`Self::advance`] has something to do next.
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| self.instant(*due))
    }

    /// Whether something may go now, but for the limit of attempts under way in all.
    pub fn has_due(&self) -> bool {
        !self.round.is_empty()
    }

    /// Makes an entry ready, and ends the rest of its destination; false if it is under way or not
    /// there.
    pub fn retry(&mut self, id: MessageId, destination: &Destination) -> bool {
        let Some(key) = self.find(id, destination) else { return false };
        let place = self.entries[key].place;
        match self.entries[key].at {
            At::Resting => {
                self.timers.remove(&(self.entries[key].due, Timer::Entry(key)));
                self.wake(key);
            }
            At::Ready => {}
            At::InFlight | At::Leaving | At::Settling | At::SettlingReady => return false,
        }
        if let Health::Rest(until) = self.places[place].health {
            self.timers.remove(&(until, Timer::Place(place)));
            self.places[place].health = Health::Probe(None);
            self.touch(place);
        }
        true
    }

    /// Moves an entry that was in the timers to the list of its destination.
    fn wake(&mut self, key: u32) {
        let place = self.entries[key].place;
        self.entries[key].at = At::Ready;
        self.places[place].resting = self.places[place].resting.saturating_sub(1);
        self.places[place].ready.push_back(key, &mut self.entries);
        self.touch(place);
    }

    /// Puts an entry that stands nowhere in the timers, or in the list of its destination if it is due.
    fn rest_or_ready(&mut self, key: u32, now: u64) {
        let entry = &mut self.entries[key];
        let place = entry.place;
        // The last try is made when it expires, not after.
        entry.due = entry.due.min(entry.expires.max(now));
        if entry.due > now {
            entry.at = At::Resting;
            self.timers.insert((entry.due, Timer::Entry(key)));
            self.places[place].resting = self.places[place].resting.saturating_add(1);
        } else {
            entry.at = At::Ready;
            self.places[place].ready.push_back(key, &mut self.entries);
        }
        self.touch(place);
    }

    /// Gives back the slot of an entry under way; the caller then touches the place.
    fn release(&mut self, key: u32) -> u32 {
        let place_key = self.entries[key].place;
        self.in_flight = self.in_flight.saturating_sub(1);
        let place = &mut self.places[place_key];
        place.in_flight = place.in_flight.saturating_sub(1);
        if place.health == Health::Probe(Some(key)) {
            place.health = Health::Probe(None);
        }
        place_key
    }

    /// Moves an entry from the list of its destination to those that leave.
    fn leave(&mut self, key: u32) {
        let place = self.entries[key].place;
        self.places[place].ready.remove(key, &mut self.entries);
        self.entries[key].at = At::Leaving;
        self.leaving.push_back(key, &mut self.entries);
        self.touch(place);
    }

    /// Removes an entry that stands nowhere, and its message or destination if it was their last.
    fn remove(&mut self, key: u32) {
        let (id, place) = (self.entries[key].id(), self.entries[key].place);
        self.unlink(id, key);
        self.entries.remove(key);
        self.places[place].entries = self.places[place].entries.saturating_sub(1);
        self.touch(place);
    }

    /// Takes an entry out of the chain of its message.
    fn unlink(&mut self, id: MessageId, key: u32) {
        let behind = self.entries[key].sibling;
        let Some(first) = self.messages.get(&id).copied() else { return };
        if first != key {
            let mut at = first;
            while self.entries[at].sibling != key && self.entries[at].sibling != NONE {
                at = self.entries[at].sibling;
            }
            self.entries[at].sibling = behind;
        } else if behind == NONE {
            self.messages.remove(&id);
        } else {
            self.messages.insert(id, behind);
        }
    }

    /// Puts a place in or out of the round after a change, and forgets it with its last entry.
    fn touch(&mut self, key: u32) {
        let place = &mut self.places[key];
        match (place.has_due(), place.turn) {
            (true, None) => {
                self.turns = self.turns.saturating_add(1);
                place.turn = Some(self.turns);
                self.round.insert(self.turns, key);
            }
            (false, Some(turn)) => {
                place.turn = None;
                self.round.remove(&turn);
            }
            (true, Some(_)) | (false, None) => {}
        }
        if place.entries == 0 {
            if let Health::Rest(until) = place.health {
                self.timers.remove(&(until, Timer::Place(key)));
            }
            self.place_keys.remove(&place.destination);
            if self.place_keys.is_empty() {
                self.place_keys.shrink_to_fit();
            }
            self.places.remove(key);
        }
    }

    fn find(&self, id: MessageId, destination: &Destination) -> Option<u32> {
        let place = *self.place_keys.get(destination)?;
        self.chain(id).find(|key| self.entries[*key].place == place)
    }

    /// The entries of a message.
    fn chain(&self, id: MessageId) -> impl Iterator<Item = u32> {
        let first = self.messages.get(&id).copied();
        std::iter::successors(first, |key| {
            Some(self.entries[*key].sibling).filter(|key| *key != NONE)
        })
    }

    fn place_for(&mut self, destination: Destination, in_flight_max: u32) -> Option<u32> {
        if let Some(key) = self.place_keys.get(&destination) {
            self.places[*key].in_flight_max = in_flight_max;
            return Some(*key);
        }
        let key = self.places.insert(Place::new(destination.clone(), in_flight_max))?;
        self.place_keys.insert(destination, key);
        Some(key)
    }

    fn millis(&self, at: Instant) -> u64 {
        whole_millis(at.saturating_duration_since(self.began))
    }

    /// As [`Self::millis`], never earlier than `at`.
    fn millis_up(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        whole_millis(since.saturating_add(Duration::from_nanos(999_999)))
    }

    fn instant(&self, millis: u64) -> Instant {
        self.began.checked_add(Duration::from_millis(millis)).unwrap_or(self.began)
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
