//! What becomes of entries: the ends of attempts, deadlines, cancelling, settling.

use std::time::Instant;

use mail::{Destination, MessageId, Reply, Timestamp};

use super::Schedule;
use crate::entry::{At, Cancelled};
use crate::place::Health;

/// How an attempt ended, as far as the schedule is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The destination was talked to: it counts as well, whatever it said of the message.
    Answered,
    /// No host of the destination could be talked to: the destination rests.
    Unreachable(Reply),
    /// Our own machine could not: the message rests, and nothing is known of the destination.
    Hindered,
    /// Nothing was tried, so nothing is known.
    NotTried,
}

/// What follows from the end of an attempt, if the message still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Tries so far, this one included.
    pub tries: u16,
    /// When it is tried next, unless something else comes between.
    pub next_try: Instant,
    /// Whether an operator took it out meanwhile: then it is not tried again.
    pub is_cancelled: bool,
}

/// What becomes of an entry that the spool has written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It waits on, and its deadline stays as it was.
    Keep,
    /// It waits on, and is to be looked at next at this deadline; see [`Entry`](super::Entry).
    KeepUntil {
        /// The deadline.
        deadline: Instant,
        /// Whether it is to come up then, try or no try.
        is_exact: bool,
    },
    /// It is gone.
    Remove,
}

/// An entry that is handed out without a further try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The message.
    pub id: MessageId,
    /// Where it would have gone.
    pub destination: Destination,
    /// When it was received.
    pub received_at: Timestamp,
    /// Tries so far.
    pub tries: u16,
    /// Why it leaves.
    pub why: Why,
}

/// Why an entry leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its deadline is over. If its destination could not be connected to, it last said this.
    Late(Option<Reply>),
    /// An operator took it out.
    Cancelled,
}

/// What came of cancelling an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It leaves.
    Leaves,
    /// It, or what may hold the same recipients, is being tried or settled: it leaves afterwards, if anything of it still
    /// waits.
    AfterThisTry,
}

impl Schedule {
    /// Ends the attempt at an entry; it then is in the spool's hands until [`Self::settle`].
    ///
    /// None if no such attempt is under way: the end is a stray, to be dropped.
    pub fn end(
        &mut self,
        id: MessageId,
        destination: &Destination,
        end: End,
        now: Instant,
    ) -> Option<Ended> {
        let key = self.find(id, destination)?;
        if !self.entries[key].at.is_under_way() {
            return None;
        }
        let now = self.millis(now);
        let (place, begun) = (self.entries[key].place, self.entries[key].due);
        // During a probe only the probe counts.
        let is_late =
            matches!(self.places[place].health, Health::Probe(probe) if probe != Some(key));
        self.release(key);
        if end != End::NotTried {
            self.entries[key].tries = self.entries[key].tries.saturating_add(1);
        }
        if matches!(end, End::Answered | End::Unreachable(_)) {
            self.note_end(place, begun, now);
        }
        let (at, due) = match end {
            End::Answered => {
                self.open(place);
                (At::Settling, self.rested_after_reply(key, now))
            }
            End::Hindered => (At::Settling, self.rested_after_reply(key, now)),
            End::Unreachable(_) if is_late => (At::SettlingReady, now),
            End::Unreachable(reply) => (At::SettlingReady, self.rest_place(place, reply, now)),
            End::NotTried => (At::SettlingReady, now),
        };
        let entry = &mut self.entries[key];
        entry.at = at;
        // The next try is not after the deadline, if that is still to come.
        entry.due = if entry.deadline > now { due.min(entry.deadline) } else { due };
        let (tries, due) = (entry.tries, entry.due);
        let is_cancelled = entry.is_cancelled();
        self.touch(place);
        Some(Ended { tries, next_try: self.instant(due), is_cancelled })
    }

    /// Lets a destination rest until `until`, though nothing is wrong with it: it takes no more before, for this reason.
    /// What is past its deadline there leaves.
    pub fn hold(&mut self, destination: &Destination, reply: Reply, until: Instant, now: Instant) {
        let Some(key) = self.destinations.get(destination) else { return };
        let (now, until) = (self.millis(now), self.millis_up(until));
        let place = &mut self.places[key];
        if matches!(place.health, Health::Rest(_)) {
            return;
        }
        place.last_failure = Some(Box::new(reply));
        let until = until.max(now.saturating_add(1));
        place.health = Health::Rest(until);
        self.timers.insert_place(until, key);
        self.touch(key);
        self.begin_to_look(key, now);
    }

    fn set_deadline(&mut self, key: u32, (deadline, is_exact): (Instant, bool)) {
        self.clear_deadline(key);
        let deadline = self.millis_up(deadline);
        let entry = &mut self.entries[key];
        (entry.deadline, entry.is_exact) = (deadline, is_exact);
        if is_exact {
            self.timers.insert_deadline(deadline, key);
        }
    }

    /// Ends the spool's hold on an entry: it waits on, or is gone.
    pub fn settle(&mut self, id: MessageId, destination: &Destination, after: After, now: Instant) {
        let Some(key) = self.find(id, destination) else { return };
        let at = self.entries[key].at;
        if !matches!(at, At::Settling | At::SettlingReady) {
            return;
        }
        match after {
            After::Remove => return self.remove(key),
            After::KeepUntil { deadline, is_exact } => {
                self.set_deadline(key, (deadline, is_exact));
            }
            After::Keep => {}
        }
        if at == At::Settling {
            return self.keep(key, now);
        }
        self.push_ready(key);
        if self.entries[key].is_cancelled() {
            self.leave(key);
        }
    }

    /// Takes an entry that leaves without a further try into the spool's hands.
    pub fn next_leaving(&mut self) -> Option<Leaving> {
        let key = self.leaving.pop_front(&mut self.entries)?;
        let entry = &mut self.entries[key];
        // Nothing of it is under way, and it is settled by the ways of now.
        (entry.at, entry.ways) = (At::Settling, self.ways.now());
        let place = &self.places[entry.place];
        let why = if entry.is_cancelled() {
            Why::Cancelled
        } else {
            Why::Late(place.last_failure.as_deref().cloned())
        };
        Some(Leaving {
            id: entry.id(),
            destination: place.destination.clone(),
            received_at: entry.received_at,
            tries: entry.tries,
            why,
        })
    }

    /// Puts back what [`Self::next_leaving`] gave, behind all that leaves.
    pub fn leave_later(&mut self, id: MessageId, destination: &Destination) {
        let Some(key) = self.find(id, destination) else { return };
        if self.entries[key].at == At::Settling {
            self.entries[key].at = At::Leaving;
            self.leaving.push_back(key, &mut self.entries);
        }
    }

    /// Takes an entry out: at once, or after the try that is under way, be it elsewhere. None if it is not there.
    pub fn cancel(&mut self, id: MessageId, destination: &Destination) -> Option<Cancel> {
        let key = self.find(id, destination)?;
        let is_elsewhere = self.may_be_elsewhere(id, destination);
        let entry = &mut self.entries[key];
        match entry.at {
            At::Resting | At::RestingLong => {
                self.timers.remove(key, &mut self.entries);
                self.wake(key);
                self.leave(key);
            }
            At::Ready => self.leave(key),
            At::Leaving => {}
            At::InFlight | At::Lingering | At::Settling | At::SettlingReady => {
                if !entry.is_cancelled() {
                    entry.cancelled = Cancelled::UnderWay;
                }
                return Some(Cancel::AfterThisTry);
            }
        }
        let entry = &mut self.entries[key];
        if is_elsewhere {
            if !entry.is_cancelled() {
                entry.cancelled = Cancelled::UnderWay;
            }
            return Some(Cancel::AfterThisTry);
        }
        if entry.cancelled != Cancelled::Waiting {
            entry.cancelled = Cancelled::Waiting;
            self.cancelled = self.cancelled.saturating_add(1);
        }
        Some(Cancel::Leaves)
    }

    /// How many entries that were cancelled while they waited are not yet settled.
    pub const fn cancelled_len(&self) -> usize {
        self.cancelled
    }

    /// Forgets a message that the spool has no more, but for entries that are in other hands.
    pub fn forget(&mut self, id: MessageId) {
        let keys: Vec<_> = self.chain(id).collect();
        for key in keys {
            let place = self.entries[key].place;
            match self.entries[key].at {
                At::Resting | At::RestingLong => {
                    self.timers.remove(key, &mut self.entries);
                    let place = &mut self.places[place];
                    place.resting = place.resting.saturating_sub(1);
                }
                At::Ready => self.places[place].ready.remove(key, &mut self.entries),
                At::Leaving => self.leaving.remove(key, &mut self.entries),
                At::InFlight | At::Lingering | At::Settling | At::SettlingReady => continue,
            }
            self.remove(key);
        }
    }

    /// Whether something of a message is in the list of those that leave.
    pub fn is_leaving(&self, id: MessageId) -> bool {
        self.chain(id).any(|key| self.entries[key].at == At::Leaving)
    }

    /// Whether all that is there of a message is with delivery or the spool.
    pub fn is_all_in_other_hands(&self, id: MessageId) -> bool {
        self.chain(id).all(|key| self.entries[key].at.is_in_other_hands())
    }

    /// How many entries a message has.
    pub fn open_entries(&self, id: MessageId) -> usize {
        self.chain(id).count()
    }

    /// Whether a message is there for a destination.
    pub fn contains(&self, id: MessageId, destination: &Destination) -> bool {
        self.find(id, destination).is_some()
    }

    /// Puts an entry that the spool held in the timers, or where its cancelling sends it.
    fn keep(&mut self, key: u32, now: Instant) {
        if self.entries[key].is_cancelled() {
            self.entries[key].due = 0;
        }
        let now = self.millis(now);
        self.rest_or_ready(key, now);
        if self.entries[key].is_cancelled() {
            self.leave(key);
        }
    }

    fn rested_after_reply(&mut self, key: u32, now: u64) -> u64 {
        let rest = self.settings.reply.rest(self.entries[key].tries, &mut self.random);
        now.saturating_add(super::whole_millis(rest))
    }

    /// Notes that a destination was talked to.
    fn open(&mut self, key: u32) {
        let place = &mut self.places[key];
        if let Health::Rest(until) = place.health {
            self.timers.remove_place(until, key);
        }
        let place = &mut self.places[key];
        place.health = Health::Open;
        place.failures = 0;
        place.last_failure = None;
    }

    /// Notes that a destination could not be connected to; returns when its rest ends.
    ///
    /// Of attempts that were under way together only the first to fail begins a rest; else a burst of
    /// failures would count as many.
    fn rest_place(&mut self, key: u32, reply: Reply, now: u64) -> u64 {
        let place = &mut self.places[key];
        if let Health::Rest(until) = place.health {
            return until;
        }
        place.failures = place.failures.saturating_add(1);
        place.last_failure = Some(Box::new(reply));
        let rest = self.settings.connect.rest(place.failures, &mut self.random);
        let until = now.saturating_add(super::whole_millis(rest)).max(now.saturating_add(1));
        place.health = Health::Rest(until);
        self.timers.insert_place(until, key);
        self.begin_to_look(key, now);
        until
    }
}
