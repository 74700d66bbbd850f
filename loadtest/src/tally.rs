//! The count: what was sent, and how many copies of it reached each recipient.
//!
//! An octet for each recipient and five for each message, all atomic: no lock, whatever arrives in whatever order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use units::Clock;

use crate::plan::Plan;
use crate::timeline::Watch;

/// What is known of one run.
pub(crate) struct Tally {
    pub(crate) plan: Arc<Plan>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) clock: Clock,
    /// Stamps count from here.
    base: Instant,
    /// For each recipient the copies that came, and flags.
    slots: Box<[AtomicU8]>,
    /// What became of each message at the source.
    fates: Box<[AtomicU8]>,
    /// When each message was begun or due: tens of microseconds since `base`, plus one; 0 if it was not.
    begun: Box<[AtomicU32]>,
    /// By class; several of each, so that connections seldom meet.
    arrivals: Box<[Mutex<Vec<Arrivals>>]>,
    rejected: AtomicU64,
    reported: AtomicU64,
    damaged: AtomicU64,
    unknown: AtomicU64,
}

/// Copies beyond are not counted: 31.
const COPIES: u8 = 0x1f;
/// The relay did not take this recipient.
const DECLINED: u8 = 0x20;
/// The sink's script refused it for good.
const REJECTED: u8 = 0x40;
/// A report named it.
const REPORTED: u8 = 0x80;

/// Connections share so many histograms.
const ARRIVALS: usize = 8;

const STAMP: Duration = Duration::from_micros(10);

/// What became of a message at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its turn did not come.
    Unsent = 0,
    /// Its content went out and no reply came (yet): it may arrive or not.
    InDoubt = 1,
    Accepted = 2,
    Refused = 3,
}

/// What came for one class of domains.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    /// Microseconds since the message was begun or due.
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) last_at: Option<Instant>,
}

/// What came for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u8);

impl Slot {
    /// How often its message came; 31 may be more.
    pub(crate) fn copies(self) -> u64 {
        u64::from(self.0 & COPIES)
    }

    /// Whether the relay refused it at RCPT.
    pub(crate) fn is_declined(self) -> bool {
        self.0 & DECLINED != 0
    }

    /// Whether the sink refused it for good.
    pub(crate) fn is_rejected(self) -> bool {
        self.0 & REJECTED != 0
    }

    /// Whether its sender was told.
    pub(crate) fn is_reported(self) -> bool {
        self.0 & REPORTED != 0
    }
}

impl Arrivals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { latency_us: Histogram::new(3)?, last_at: None })
    }

    fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.last_at = self.last_at.max(other.last_at);
        Ok(self.latency_us.add(&other.latency_us)?)
    }
}

impl Tally {
    pub(crate) fn new(plan: Plan, watch: &Arc<Watch>, clock: &Clock) -> anyhow::Result<Arc<Self>> {
        let messages = usize::try_from(plan.messages)?;
        let slots = messages * usize::try_from(plan.recipients_max)?;
        let classes = plan.class_names().len();
        let arrivals = (0..ARRIVALS)
            .map(|_| {
                Ok(Mutex::new((0..classes).map(|_| Arrivals::new()).collect::<Result<_, _>>()?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Arc::new(Self {
            plan: Arc::new(plan),
            watch: Arc::clone(watch),
            clock: clock.clone(),
            base: clock.now(),
            slots: (0..slots).map(|_| AtomicU8::new(0)).collect(),
            fates: (0..messages).map(|_| AtomicU8::new(0)).collect(),
            begun: (0..messages).map(|_| AtomicU32::new(0)).collect(),
            arrivals,
            rejected: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }))
    }

    /// Notes that message `number` was begun, or due, at `at`.
    pub(crate) fn begin(&self, number: u64, at: Instant) {
        let stamp = at.saturating_duration_since(self.base).as_micros() / STAMP.as_micros();
        let stamp = u32::try_from(stamp).unwrap_or(u32::MAX - 1).saturating_add(1);
        if let Some(begun) = entry(&self.begun, number) {
            begun.store(stamp, Ordering::Relaxed);
        }
    }

    /// Notes what became of message `number` at the source.
    pub(crate) fn decide(&self, number: u64, fate: Fate) {
        if let Some(entry) = entry(&self.fates, number) {
            entry.store(fate as u8, Ordering::Relaxed);
        }
        match fate {
            Fate::Accepted => self.watch.add_accepted(),
            Fate::Refused => self.watch.add_refused(),
            Fate::Unsent | Fate::InDoubt => {}
        }
    }

    /// What became of message `number` at the source.
    pub(crate) fn fate(&self, number: u64) -> Fate {
        match entry(&self.fates, number).map_or(0, |fate| fate.load(Ordering::Relaxed)) {
            1 => Fate::InDoubt,
            2 => Fate::Accepted,
            3 => Fate::Refused,
            _ => Fate::Unsent,
        }
    }

    /// Notes that the relay did not take recipient `place` of message `number`.
    pub(crate) fn decline(&self, number: u64, place: u32) {
        self.flag(number, place, DECLINED);
    }

    /// Notes that the sink refused a recipient for good.
    pub(crate) fn reject(&self, number: u64, place: u32) {
        if self.flag(number, place, REJECTED) {
            self.rejected.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a report named a recipient.
    pub(crate) fn report(&self, number: u64, place: u32) {
        if self.flag(number, place, REPORTED) {
            self.reported.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes a copy of message `number` for each of `to`, place and class; `connection` tells connections apart. Times
    /// are those of first copies.
    pub(crate) fn arrive(&self, number: u64, to: &[(u32, usize)], connection: usize) {
        let Some(arrivals) = self.arrivals.get(connection % ARRIVALS) else { return };
        let now = self.clock.now();
        let latency = self.latency_us(number, now);
        let mut firsts = 0;
        let mut arrivals = arrivals.lock();
        for (place, class) in to {
            if !self.copy(number, *place) {
                continue;
            }
            firsts += 1;
            if let Some(class) = arrivals.get_mut(*class) {
                class.last_at = Some(now);
                // It grows as needed: recording cannot fail.
                latency.map(|latency| class.latency_us.record(latency).ok());
            }
        }
        drop(arrivals);
        self.watch.add_delivered(firsts);
    }

    /// Notes a content that differs from what was sent.
    pub(crate) fn damage(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes something that is not of this run.
    pub(crate) fn wonder(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    /// Recipients that the sink's script refused for good.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Recipients that a report named.
    pub(crate) fn reported(&self) -> u64 {
        self.reported.load(Ordering::Relaxed)
    }

    pub(crate) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    pub(crate) fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// What is known of recipient `place` of message `number`.
    pub(crate) fn slot(&self, number: u64, place: u32) -> Slot {
        let slot = self.plan.slot(number, place).and_then(|slot| self.slots.get(slot));
        Slot(slot.map_or(0, |slot| slot.load(Ordering::Relaxed)))
    }

    /// What came so far, by class.
    pub(crate) fn arrivals(&self) -> anyhow::Result<Vec<Arrivals>> {
        let mut sum: Option<Vec<Arrivals>> = None;
        for part in &self.arrivals {
            let part = part.lock();
            match &mut sum {
                None => sum = Some(part.clone()),
                Some(sum) => {
                    for (class, other) in sum.iter_mut().zip(part.iter()) {
                        class.add(other)?;
                    }
                }
            }
        }
        Ok(sum.unwrap_or_default())
    }

    fn latency_us(&self, number: u64, now: Instant) -> Option<u64> {
        let stamp = entry(&self.begun, number)?.load(Ordering::Relaxed).checked_sub(1)?;
        let begun_at = self.base + STAMP * stamp;
        u64::try_from(now.saturating_duration_since(begun_at).as_micros()).ok()
    }

    /// Counts a copy; says whether it is the recipient's first.
    fn copy(&self, number: u64, place: u32) -> bool {
        let more = |old: u8| if old & COPIES == COPIES { None } else { Some(old + 1) };
        let slot = self.plan.slot(number, place).and_then(|slot| self.slots.get(slot));
        slot.is_some_and(|slot| {
            slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .is_ok_and(|old| old & COPIES == 0)
        })
    }

    /// Sets a flag; says whether it was not set before.
    fn flag(&self, number: u64, place: u32, flag: u8) -> bool {
        let slot = self.plan.slot(number, place).and_then(|slot| self.slots.get(slot));
        slot.is_some_and(|slot| slot.fetch_or(flag, Ordering::Relaxed) & flag == 0)
    }
}

fn entry<T>(list: &[T], number: u64) -> Option<&T> {
    list.get(usize::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Load, Recipients};

    fn tally(messages: u64, recipients: u32, clock: &Clock) -> Arc<Tally> {
        let load = Load { messages, recipients: Recipients::Fixed(recipients), ..Load::default() };
        let plan = Plan::new(&load, &[], 1).unwrap();
        Tally::new(plan, &Arc::default(), clock).unwrap()
    }

    #[test]
    fn copies_are_counted_for_each_recipient_alone() {
        let tally = tally(3, 2, &Clock::system());
        tally.arrive(1, &[(0, 0), (1, 0)], 0);
        tally.arrive(1, &[(1, 0)], 5);
        tally.arrive(7, &[(0, 0)], 5);
        let copies = |number| [0, 1].map(|place| tally.slot(number, place).copies());
        assert_eq!([copies(0), copies(1), copies(2)], [[0, 0], [1, 2], [0, 0]]);
        assert_eq!(tally.watch.delivered(), 2, "a second copy is no delivery");
    }

    #[test]
    fn flags_and_copies_do_not_disturb_each_other() {
        let tally = tally(1, 1, &Clock::system());
        tally.reject(0, 0);
        tally.reject(0, 0);
        tally.report(0, 0);
        for _ in 0..300 {
            tally.arrive(0, &[(0, 0)], 0);
        }
        let slot = tally.slot(0, 0);
        assert_eq!((slot.copies(), slot.is_rejected(), slot.is_reported()), (31, true, true));
        assert!(!slot.is_declined());
        assert_eq!((tally.rejected(), tally.reported(), tally.watch.delivered()), (1, 1, 1));
    }

    #[test]
    fn latency_counts_from_when_a_message_was_begun() {
        let clock = Clock::manual(0);
        let tally = tally(2, 1, &clock);
        clock.advance(Duration::from_secs(1));
        tally.begin(0, clock.now());
        clock.advance(Duration::from_millis(250));
        tally.arrive(0, &[(0, 0)], 0);
        tally.arrive(1, &[(0, 0)], 1);
        let first_at = clock.now();
        clock.advance(Duration::from_secs(9));
        tally.arrive(0, &[(0, 0)], 0);
        let arrivals = tally.arrivals().unwrap();
        assert_eq!(arrivals[0].latency_us.len(), 1, "message 1 was begun elsewhere");
        assert!((249_000..251_000).contains(&arrivals[0].latency_us.max()));
        assert_eq!(arrivals[0].last_at, Some(first_at), "second copies do not count");
    }

    #[test]
    fn fates_are_kept_and_watched() {
        let tally = tally(4, 1, &Clock::system());
        tally.decide(1, Fate::InDoubt);
        tally.decide(2, Fate::Accepted);
        tally.decide(3, Fate::Refused);
        tally.decide(99, Fate::InDoubt);
        assert_eq!(
            [0, 1, 2, 3].map(|number| tally.fate(number)),
            [Fate::Unsent, Fate::InDoubt, Fate::Accepted, Fate::Refused]
        );
        assert_eq!((tally.watch.accepted(), tally.watch.refused()), (1, 1));
    }
}
