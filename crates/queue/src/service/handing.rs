//! Handing out what is due, as far as limits and what is under way allow.

use channel::TrySendError;
use mail::{Attempt, Destination, MessageId};
use policy::Fullness;
use schedule::{After, Due, End};

use super::{AGAIN_MAX, Queue};
use crate::allowances::Room;
use crate::entries::Now;
use crate::shared::NO_ROUTE;
use crate::work::Work;

/// Entries that cannot leave yet, from which on those behind them wait for the next time.
const LATER_MAX: usize = 16;

impl Queue {
    /// Hands out what is due, as far as delivery, the limits and the spool allow.
    pub(super) fn hand_out(&mut self, now: Now) {
        self.schedule.advance(now.instant);
        self.is_full = false;
        if self.again.len() >= AGAIN_MAX || !self.is_spool_ready() {
            return;
        }
        let mut later = 0..LATER_MAX;
        // What is late or too old may come by the million; half of the room stays for tries.
        while self.works < self.works_max.div_ceil(2)
            && let Some(leaving) = self.schedule.next_leaving()
        {
            if !self.leave(leaving, now) && later.next().is_none() {
                break;
            }
        }
        while self.attempts.is_some()
            && !self.is_full
            && self.works < self.works_max
            && let Some(due) = self.schedule.next_due(now.instant)
        {
            if self.schedule.may_be_elsewhere(due.id, &due.destination) {
                self.find_anew_later(due.id, &due.destination, now);
            } else if due.destination.connector() == NO_ROUTE {
                self.end_without_route(&due, now);
            } else if self.has_room(&due, now) {
                self.hand_to_delivery(due);
            }
        }
    }

    fn hand_to_delivery(&mut self, due: Due) {
        let Some(attempts) = &self.attempts else { return };
        let Due { id, destination, received_at, tries } = due;
        let ways = self.ways.number;
        let attempt = match attempts.try_send(Attempt { id, destination, tries, received_at, ways })
        {
            Ok(()) => return,
            Err(TrySendError::Full(attempt)) => {
                self.is_full = true;
                attempt
            }
            Err(TrySendError::Closed(attempt)) => {
                // Delivery has ended before the queue was told to.
                self.attempts = None;
                attempt
            }
        };
        self.allowances.put_back(attempt.destination.connector());
        self.schedule.put_back(attempt.id, &attempt.destination);
    }

    /// Whether the connector's limits leave room for one more message; if not, it waits or goes another way.
    fn has_room(&mut self, due: &Due, now: Now) -> bool {
        let Due { id, destination, .. } = due;
        match self.allowances.ask(destination.connector(), now) {
            Room::Free => return true,
            Room::None { spills: true, .. } => self.spill(due, now),
            Room::None { until, why, .. } => {
                self.schedule.put_back(*id, destination);
                self.schedule.hold(destination, why, until, now.instant);
            }
        }
        false
    }

    /// Lets the mail of a full connector go another way, this message first.
    fn spill(&mut self, due: &Due, now: Now) {
        let name = due.destination.connector();
        self.allowances.spill(name);
        self.shared.policy.load().router.set_full(name, Fullness::Full);
        self.look_at_ways();
        self.find_anew(due.id, &due.destination, now);
    }

    /// Takes a message from a destination without a try, and finds its ways anew.
    pub(super) fn find_anew(&mut self, id: MessageId, destination: &Destination, now: Now) {
        if self.take_from(id, destination, now) {
            self.begin(Work::Review { id, is_due: true });
        }
    }

    /// As [`Self::find_anew`], once more of it has ended: what is under way may hold the same recipients.
    pub(super) fn find_anew_later(&mut self, id: MessageId, destination: &Destination, now: Now) {
        if self.take_from(id, destination, now) {
            self.unreviewed.insert(id);
        }
    }

    /// Takes a message from a destination without a try; false if it leaves, as an operator took it out.
    fn take_from(&mut self, id: MessageId, destination: &Destination, now: Now) -> bool {
        let ended = self.schedule.end(id, destination, End::NotTried, now.instant);
        let is_cancelled = ended.is_some_and(|ended| ended.is_cancelled);
        // What is cancelled leaves now; what of it goes elsewhere is found after that.
        let after = if is_cancelled { After::Keep } else { After::Remove };
        self.schedule.settle(id, destination, after, now.instant);
        !is_cancelled
    }

    /// Lets rest what a full connector has still got, as there is no other way for it.
    pub(super) fn hold_full(&mut self, destinations: Vec<Destination>, now: Now) {
        for destination in destinations {
            if let Some((until, why)) = self.allowances.spilling(destination.connector(), now) {
                self.schedule.hold(&destination, why, until, now.instant);
            }
        }
    }
}
