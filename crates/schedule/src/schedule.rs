//! The schedule.

pub(crate) mod outcome;
pub(crate) mod view;
mod waking;

use std::time::{Duration, Instant};

use mail::{Destination, MessageId, Timestamp};

use crate::backoff::{Backoff, Random};
use crate::destinations::Destinations;
use crate::entry::{At, Cancelled, Made, Record, Urgency};
use crate::list::List;
use crate::messages::Messages;
use crate::place::{Health, Place};
use crate::round::Round;
use crate::slab::{NONE, Slab};
use crate::slots::{Pace, Slots};
use crate::timers::Timers;
use crate::ways::Ways;

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
    /// From when on a try that leaves it waiting has consequences: its sender is told, or it is given up. What
    /// follows is for whoever knows the message.
    pub deadline: Instant,
    /// Whether it is to come up at its deadline whether or not a try has ended, and without one more. That
    /// costs memory, so it is for the few that need it.
    pub is_exact: bool,
    /// How urgent it is among those for the same destination.
    pub urgency: Urgency,
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
/// A destination is forgotten with its last entry.
///
/// # Fairness
/// Destinations with something to give take turns, one entry a turn, so a long backlog of one does not
/// delay the others; nor does what is urgent at one, which goes before what else waits there. But a turn is of no use while every slot is held by destinations that do not
/// answer. So a destination whose attempts last for ten seconds, none of them ending sooner, counts as
/// slow until one does. Slow destinations together hold at most half of the slots; those of which
/// nothing is known yet hold, together with the slow ones, at most three quarters; and each of both
/// kinds holds no more than it leaves free to its kind. A quarter always is for those that proved
/// brisk. A destination that is alone is not held back.
///
/// # Size
/// No step takes time in proportion to what is held, nor moves it: all is in chunks and trees, and
/// what many entries need at the same moment is done in slices by [`Schedule::advance`]. An entry costs
/// some 70 octets while it rests, a destination some 250.
#[derive(Debug)]
pub struct Schedule {
    settings: Settings,
    /// Times are milliseconds since then.
    began: Instant,
    /// The time up to which timers were looked at.
    now: u64,
    random: Random,
    entries: Slab<Record>,
    places: Slab<Place>,
    messages: Messages,
    destinations: Destinations,
    timers: Timers,
    round: Round,
    slots: Slots,
    /// Entries that may go, and entries that rest.
    counted: [usize; 2],
    /// Attempts under way that do not linger yet, in the order in which they were begun.
    under_way: List,
    leaving: List,
    /// Entries that were cancelled while they waited and are still here.
    cancelled: usize,
    /// Destinations of whose entries it is to be looked which are past their deadline.
    looking: Vec<u32>,
    /// When it has changed which recipients belong to which destination.
    ways: Ways,
}

impl Schedule {
    /// An empty schedule.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            random: Random::new(settings.random_seed),
            slots: Slots::new(settings.in_flight_max),
            settings,
            began: now,
            now: 0,
            entries: Slab::new(),
            places: Slab::new(),
            messages: Messages::default(),
            destinations: Destinations::default(),
            timers: Timers::default(),
            round: Round::default(),
            counted: [0, 0],
            under_way: List::new(),
            leaving: List::new(),
            cancelled: 0,
            looking: Vec::new(),
            ways: Ways::default(),
        }
    }

    /// Adds an entry; false, and nothing changes, if the message is there for that destination.
    pub fn add(&mut self, entry: Entry, now: Instant) -> bool {
        let known = self.destinations.get(&entry.destination);
        if let Some(place) = known
            && self.find_at(entry.id, place).is_some()
        {
            return false;
        }
        let now = self.millis(now);
        let (due, deadline) = (self.millis_up(entry.due), self.millis_up(entry.deadline));
        let (id, limit) = (entry.id, entry.in_flight_max.max(1));
        let place = if let Some(place) = known {
            self.places[place].in_flight_max = limit;
            place
        } else {
            let made = self.places.insert(Place::new(entry.destination.clone(), limit));
            let Some(place) = made else { return false };
            self.destinations.insert(entry.destination, place);
            place
        };
        let Entry { received_at, tries, is_exact, urgency, .. } = entry;
        let made = Made { id, received_at, due, deadline, place, tries, is_exact, urgency };
        let Some(key) = self.entries.insert(Record::new(&made)) else { return false };
        let first = self.messages.insert(key, &self.entries).unwrap_or(NONE);
        self.entries[key].sibling = first;
        self.places[place].entries = self.places[place].entries.saturating_add(1);
        if is_exact {
            self.timers.insert_deadline(deadline, key);
        }
        self.rest_or_ready(key, now);
        true
    }

    /// Takes the entry that goes next and counts it as under way; none if nothing may go now.
    ///
    /// Every entry taken must come back by [`Self::end`] or [`Self::put_back`].
    pub fn next_due(&mut self, now: Instant) -> Option<Due> {
        if self.millis(now) > self.now {
            self.advance(now);
        }
        let place_key = self.next_place()?;
        self.round.remove(place_key, &mut self.places);
        let place = &mut self.places[place_key];
        let key = place.ready.pop(&mut self.entries)?;
        place.in_flight = place.in_flight.saturating_add(1);
        if let Health::Probe(probe) = &mut place.health {
            *probe = Some(key);
        }
        let destination = place.destination.clone();
        self.slots.take(place.pace);
        self.touch(place_key);
        self.under_way.push_back(key, &mut self.entries);
        let begun = self.millis(now);
        let entry = &mut self.entries[key];
        (entry.at, entry.due, entry.ways) = (At::InFlight, begun, self.ways.now());
        let (id, received_at, tries) = (entry.id(), entry.received_at, entry.tries);
        Some(Due { id, destination, received_at, tries })
    }

    /// The destination whose turn it is among those that may take a slot.
    fn next_place(&self) -> Option<u32> {
        let admitted = self.round.firsts().filter(|key| {
            let place = &self.places[*key];
            self.slots.admits(place.pace, place.in_flight, self.places.len())
        });
        admitted.min_by_key(|key| self.places[*key].turn.map(|turn| turn.number))
    }

    /// Says that any recipient may belong to another destination from now on, as with other settings.
    pub fn ways_changed(&mut self) {
        self.ways.changed();
    }

    /// Says that mail of the connector called `name` goes another way from now on, or comes back to it.
    pub fn way_changed(&mut self, name: &str) {
        self.ways.changed_at(name);
    }

    /// Whether a recipient of this entry may be under way as one of another destination, because the ways of the two
    /// have changed since an entry of the same message was handed out that is not settled yet. What is under way to a
    /// destination that no change concerned holds up nothing.
    pub fn may_be_elsewhere(&self, id: MessageId, destination: &Destination) -> bool {
        self.chain(id).any(|key| {
            let entry = &self.entries[key];
            let other = &self.places[entry.place].destination;
            entry.at.is_in_other_hands()
                && entry.ways != self.ways.now()
                && other != destination
                && self.ways.may_have_moved(entry.ways, other, destination)
        })
    }

    /// Whether an entry has been in other hands since before the ways changed last: recipients that belong to its destination
    /// now need not be among those that are under way.
    pub fn is_from_before(&self, id: MessageId, destination: &Destination) -> bool {
        self.find(id, destination).is_some_and(|key| {
            let entry = &self.entries[key];
            entry.at.is_in_other_hands() && entry.ways != self.ways.now()
        })
    }

    /// Takes back an entry that could not be handed on; it goes first when its destination is next.
    pub fn put_back(&mut self, id: MessageId, destination: &Destination) {
        let Some(key) = self.find(id, destination) else { return };
        if !self.entries[key].at.is_under_way() {
            return;
        }
        let place_key = self.release(key);
        self.places[place_key].ready.push_front(key, &mut self.entries);
        self.ready(key);
        let Record { is_exact, deadline, .. } = self.entries[key];
        if is_exact {
            // It may have passed meanwhile.
            self.timers.insert_deadline(deadline, key);
        }
        if self.entries[key].is_cancelled() {
            self.leave(key);
        }
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
            At::Resting | At::RestingLong => {
                self.timers.remove(key, &mut self.entries);
                self.wake(key);
            }
            At::Ready => {}
            At::InFlight | At::Lingering | At::Leaving | At::Settling | At::SettlingReady => {
                return false;
            }
        }
        if let Health::Rest(until) = self.places[place].health {
            self.timers.remove_place(until, place);
            self.places[place].health = Health::Probe(None);
            self.touch(place);
        }
        true
    }

    /// Moves an entry that was in the timers to the list of its destination.
    fn wake(&mut self, key: u32) {
        let place = &mut self.places[self.entries[key].place];
        place.resting = place.resting.saturating_sub(1);
        self.push_ready(key);
    }

    /// Puts an entry that stands nowhere in the timers, or in the list of its destination if it is due.
    fn rest_or_ready(&mut self, key: u32, now: u64) {
        let entry = &mut self.entries[key];
        let place = entry.place;
        // A try is made when the deadline is reached, not after.
        entry.due = entry.due.min(entry.deadline.max(now));
        if entry.due <= now {
            return self.push_ready(key);
        }
        self.timers.insert(key, &mut self.entries);
        self.places[place].resting = self.places[place].resting.saturating_add(1);
        self.touch(place);
    }

    /// Puts an entry that stands nowhere behind the others of its destination.
    fn push_ready(&mut self, key: u32) {
        self.places[self.entries[key].place].ready.push_back(key, &mut self.entries);
        self.ready(key);
    }

    /// Notes that an entry stands in the list of its destination.
    fn ready(&mut self, key: u32) {
        let entry = &mut self.entries[key];
        entry.at = At::Ready;
        let (place_key, deadline) = (entry.place, entry.deadline);
        let place = &mut self.places[place_key];
        place.deadline = place.deadline.min(deadline);
        self.touch(place_key);
    }

    /// Gives back the slot of an entry under way; the caller then touches the place.
    fn release(&mut self, key: u32) -> u32 {
        if self.entries[key].at == At::InFlight {
            self.under_way.remove(key, &mut self.entries);
        }
        let place_key = self.entries[key].place;
        let place = &mut self.places[place_key];
        self.slots.give_back(place.pace);
        place.in_flight = place.in_flight.saturating_sub(1);
        if place.health == Health::Probe(Some(key)) {
            place.health = Health::Probe(None);
        }
        place_key
    }

    /// Notes what is known of how long a destination holds its slots.
    fn set_pace(&mut self, key: u32, pace: Pace) {
        let place = &mut self.places[key];
        if place.pace != pace {
            self.slots.change(place.pace, pace, place.in_flight);
            place.pace = pace;
            self.touch(key);
        }
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
        self.unlink(key);
        self.clear_deadline(key);
        if let Some(entry) = self.entries.remove(key) {
            let place = &mut self.places[entry.place];
            place.entries = place.entries.saturating_sub(1);
            self.cancelled =
                self.cancelled.saturating_sub((entry.cancelled == Cancelled::Waiting).into());
            self.touch(entry.place);
        }
    }

    fn clear_deadline(&mut self, key: u32) {
        let Record { is_exact, deadline, .. } = self.entries[key];
        if is_exact {
            self.timers.remove_deadline(deadline, key);
        }
    }

    /// Takes an entry out of the chain of its message.
    fn unlink(&mut self, key: u32) {
        let (id, behind) = (self.entries[key].id(), self.entries[key].sibling);
        let Some(first) = self.messages.get(id, &self.entries) else { return };
        if first != key {
            let mut at = first;
            while self.entries[at].sibling != key && self.entries[at].sibling != NONE {
                at = self.entries[at].sibling;
            }
            self.entries[at].sibling = behind;
        } else if behind == NONE {
            self.messages.remove(id, &self.entries);
        } else {
            self.messages.insert(behind, &self.entries);
        }
    }

    /// Puts a place in or out of the round and counts it after a change, and forgets it with its last
    /// entry.
    fn touch(&mut self, key: u32) {
        self.round.place(key, &mut self.places);
        let place = &mut self.places[key];
        let standing = place.standing();
        if standing != place.counted {
            let changes = self.counted.iter_mut().zip(place.counted.iter().zip(standing));
            for (sum, (before, after)) in changes {
                *sum = sum.saturating_sub(wide(*before)).saturating_add(wide(after));
            }
            place.counted = standing;
        }
        if place.entries == 0 {
            if let Health::Rest(until) = place.health {
                self.timers.remove_place(until, key);
            }
            self.destinations.remove(&place.destination);
            self.places.remove(key);
        }
    }

    fn find(&self, id: MessageId, destination: &Destination) -> Option<u32> {
        self.find_at(id, self.destinations.get(destination)?)
    }

    fn find_at(&self, id: MessageId, place: u32) -> Option<u32> {
        self.chain(id).find(|key| self.entries[*key].place == place)
    }

    /// The entries of a message.
    fn chain(&self, id: MessageId) -> impl Iterator<Item = u32> {
        self.chain_from(self.messages.get(id, &self.entries))
    }

    fn chain_from(&self, first: Option<u32>) -> impl Iterator<Item = u32> {
        std::iter::successors(first, |key| {
            Some(self.entries[*key].sibling).filter(|key| *key != NONE)
        })
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

fn wide(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
