//! What time does: timers, attempts that linger, deadlines that pass. In slices, for there may be
//! millions at once.

use std::time::{Duration, Instant};

use super::{Schedule, whole_millis};
use crate::entry::At;
use crate::place::Health;
use crate::slots::Pace;
use crate::timers::Step;

/// Most steps of each kind that one call takes: some milliseconds.
const STEPS_MAX: usize = 4096;
/// An attempt that lasts longer lingers. RFC 5321 lets a server take minutes for each reply; one that
/// means to take mail takes seconds for all of them.
const LINGER: Duration = Duration::from_secs(10);

impl Schedule {
    /// Wakes what has rested long enough, as much of it as fits one slice; [`Self::next_wake`] is over
    /// at once if there is more.
    pub fn advance(&mut self, now: Instant) {
        let now = self.millis(now);
        self.now = self.now.max(now);
        for _ in 0..STEPS_MAX {
            match self.timers.step(now, &mut self.entries) {
                Some(Step::Entry(key)) => self.wake(key),
                Some(Step::Place(key)) => {
                    self.places[key].health = Health::Probe(None);
                    self.touch(key);
                }
                Some(Step::Deadline(key)) => self.deadline_over(key),
                Some(Step::Sorted) => {}
                None => break,
            }
        }
        self.mark_lingering(now);
        self.look(now);
    }

    /// Lets leave an entry whose deadline is exact; one that is in other hands is looked at when it is back.
    fn deadline_over(&mut self, key: u32) {
        match self.entries[key].at {
            At::Resting | At::RestingLong => {
                self.timers.remove(key, &mut self.entries);
                self.wake(key);
                self.leave(key);
            }
            At::Ready => self.leave(key),
            At::InFlight | At::Lingering | At::Leaving | At::Settling | At::SettlingReady => {}
        }
    }

    /// When [`Self::advance`] has something to do next.
    pub fn next_wake(&self) -> Option<Instant> {
        if !self.looking.is_empty() {
            return Some(self.began);
        }
        self.timers.next().map(|due| self.instant(due))
    }

    /// Notes which attempts have begun to linger. No timer wakes for it: it matters only when slots
    /// come and go.
    fn mark_lingering(&mut self, now: u64) {
        while let Some(key) = self.under_way.first()
            && now.saturating_sub(self.entries[key].due) >= whole_millis(LINGER)
        {
            self.under_way.remove(key, &mut self.entries);
            self.entries[key].at = At::Lingering;
            self.note_lingering(self.entries[key].place, now);
        }
    }

    fn note_lingering(&mut self, place: u32, now: u64) {
        // One long message among short ones says nothing.
        let is_brisk = self.places[place].pace == Pace::Brisk
            && now.saturating_sub(self.places[place].brisk_at) < whole_millis(LINGER);
        if !is_brisk {
            self.set_pace(place, Pace::Slow);
        }
    }

    /// Notes how long an attempt took that just ended.
    pub(super) fn note_end(&mut self, place: u32, begun: u64, now: u64) {
        if now.saturating_sub(begun) < whole_millis(LINGER) {
            self.places[place].brisk_at = now;
            self.set_pace(place, Pace::Brisk);
        } else {
            self.note_lingering(place, now);
        }
    }

    /// Begins to look which entries of a destination that just failed are past their deadline.
    pub(super) fn begin_to_look(&mut self, key: u32, now: u64) {
        let place = &mut self.places[key];
        let is_looking = place.ready.is_looking();
        if place.deadline > now && !is_looking {
            return;
        }
        // Entries that stay are counted in again one by one.
        place.ready.begin_to_look();
        place.deadline = u64::MAX;
        if !is_looking {
            self.looking.push(key);
        }
        self.look(now);
    }

    /// Lets leave what waits at a destination that failed, and is past its deadline. Each entry in turn
    /// goes from the front of the list to its end, so that the order stays.
    fn look(&mut self, now: u64) {
        for _ in 0..STEPS_MAX {
            let Some(place_key) = self.looking.last().copied() else { return };
            // It may be forgotten by now, or its key be given to another, which then has nothing unseen.
            let is_there = self.places.find(place_key).is_some();
            let key = if is_there { self.places[place_key].ready.next_unseen() } else { None };
            let Some(key) = key else {
                self.looking.pop();
                continue;
            };
            let place = &mut self.places[place_key];
            let deadline = self.entries[key].deadline;
            if deadline <= now {
                self.leave(key);
            } else {
                place.deadline = place.deadline.min(deadline);
                place.ready.move_back(key, &mut self.entries);
            }
        }
    }
}
