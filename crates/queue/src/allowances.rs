//! How much more mail connectors may take: so many messages in a day, and in a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mail::{EnhancedStatus, Reply, Timestamp};
use policy::config::OnLimit;
use policy::{Fullness, Policy};
use spool::Tally;
use units::Rate;

use crate::entries::Now;
use crate::request::LimitLine;

/// Mail that waits for room is looked at so often, as some may be too old meanwhile.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// When there may be room again once what is under way has ended.
const SOON: Duration = Duration::from_secs(1);
/// Too much mail for now (RFC 3463 §3.5).
const CONGESTED: EnhancedStatus = EnhancedStatus::new(4, 4, 5);

/// What the connectors with limits have sent.
#[derive(Debug, Default)]
pub(crate) struct Allowances {
    /// The policy whose limits these are.
    generation: Option<u64>,
    limits: HashMap<Box<str>, Limit>,
    /// Of all connectors that have limits, had them or have mail under way.
    counts: HashMap<Box<str>, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    daily_max: Option<u64>,
    rate_max: Option<Rate>,
    then: OnLimit,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// In days since 1970.
    day: u64,
    /// Messages taken by a host on that day.
    sent: u64,
    /// Messages handed to delivery whose end is not written down yet.
    under_way: u64,
    window_began: Option<Instant>,
    /// Messages handed to delivery since then.
    tried: u64,
    /// Whether its mail goes another way at present.
    is_spilling: bool,
}

/// Whether a connector may take one more message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It may, and that is counted.
    Free,
    /// Not before.
    None {
        until: Instant,
        why: Reply,
        /// Whether it may go another way instead.
        spills: bool,
    },
}

impl Allowances {
    /// Begins with what was counted before.
    pub(crate) fn new(tallies: Vec<Tally>) -> Self {
        let count = |tally: Tally| {
            let Tally { name, day, count } = tally;
            (name, Count { day, sent: count, ..Count::default() })
        };
        Self { counts: tallies.into_iter().map(count).collect(), ..Self::default() }
    }

    /// Goes by the limits of `policy`, and lets mail go by a connector again that has room again.
    pub(crate) fn look(&mut self, policy: &Policy, now: Now) {
        let router = &policy.router;
        let is_new = self.generation != Some(policy.generation());
        if is_new {
            self.generation = Some(policy.generation());
            self.limits = router.connectors().iter().filter_map(limit).collect();
            let today = now.wall.day();
            self.counts.retain(|name, count| {
                let is_limited = self.limits.contains_key(name);
                count.is_spilling &= is_limited;
                // Of an earlier day nobody asks any more, even if it gets a limit again.
                is_limited || count.under_way > 0 || (count.sent > 0 && count.day == today)
            });
            for name in self.limits.keys() {
                self.counts.entry(name.clone()).or_default();
            }
        }
        for (name, limit) in &self.limits {
            let Some(count) = self.counts.get_mut(name) else { continue };
            count.roll(limit, now);
            if count.is_spilling {
                count.is_spilling =
                    limit.then == OnLimit::Spill && count.lack(limit, now).is_some();
                let is_full = if count.is_spilling { Fullness::Full } else { Fullness::Room };
                router.set_full(name, is_full);
            }
        }
    }

    /// Whether a message may go by the connector called `name` now; if so it counts as under way.
    pub(crate) fn ask(&mut self, name: &str, now: Now) -> Room {
        // Counted with or without a limit: a reload may set one.
        let Some(count) = self.counts.get_mut(name) else {
            let count = Count { under_way: 1, tried: 1, ..Count::default() };
            self.counts.insert(name.into(), count);
            return Room::Free;
        };
        let limit = self.limits.get(name);
        if let Some(limit) = limit {
            count.roll(limit, now);
        }
        let lack = limit.and_then(|limit| Some((limit, count.lack(limit, now)?)));
        let Some((limit, lack)) = lack else {
            count.under_way = count.under_way.saturating_add(1);
            count.tried = count.tried.saturating_add(1);
            return Room::Free;
        };
        // As long as it is open whether the day is full, mail waits rather than going another way.
        let spills = limit.then == OnLimit::Spill && lack.is_certain;
        let (until, why) = lack.wait(name, now);
        Room::None { until, why, spills }
    }

    /// A message that was to go was not handed on.
    pub(crate) fn put_back(&mut self, name: &str) {
        if let Some(count) = self.counts.get_mut(name) {
            count.tried = count.tried.saturating_sub(1);
        }
        self.ended(name);
    }

    /// The end of a message that was under way is written down.
    pub(crate) fn ended(&mut self, name: &str) {
        if let Some(count) = self.counts.get_mut(name) {
            count.under_way = count.under_way.saturating_sub(1);
        }
    }

    /// Counts a message that a host has taken; gives what is to be written down with its end.
    pub(crate) fn sent(&mut self, name: &str, now: Now) -> Option<Box<Tally>> {
        let limit = self.limits.get(name).filter(|limit| limit.daily_max.is_some())?;
        let count = self.counts.get_mut(name)?;
        count.roll(limit, now);
        count.sent = count.sent.saturating_add(1);
        Some(Box::new(Tally { name: name.into(), day: count.day, count: count.sent }))
    }

    /// Mail goes another way from now on, as long as there is no room.
    pub(crate) fn spill(&mut self, name: &str) {
        if let Some(count) = self.counts.get_mut(name) {
            count.is_spilling = true;
        }
    }

    /// Why the connector called `name` sends its mail another way, if it does; and until when.
    pub(crate) fn spilling(&self, name: &str, now: Now) -> Option<(Instant, Reply)> {
        let (limit, count) = self.limits.get(name).zip(self.counts.get(name))?;
        let lack = count.lack(limit, now).filter(|_| count.is_spilling)?;
        Some(lack.wait(name, now))
    }

    /// What operators are told, by name.
    pub(crate) fn lines(&self, now: Now) -> Vec<LimitLine> {
        let line = |name: &str, limit: &Limit| {
            let mut count = self.counts.get(name).copied().unwrap_or_default();
            count.roll(limit, now);
            let lack = count.lack(limit, now);
            LimitLine {
                connector: name.into(),
                sent_today: count.sent,
                daily_max: limit.daily_max,
                full_until: lack.map(|lack| now.wall_of(lack.until)),
                is_spilling: count.is_spilling,
            }
        };
        let mut lines: Vec<_> = self.limits.iter().map(|(name, limit)| line(name, limit)).collect();
        lines.sort_by(|one, other| one.connector.cmp(&other.connector));
        lines
    }
}

/// The limits of a connector, if it has any.
fn limit(connector: &policy::config::OutboundConnector) -> Option<(Box<str>, Limit)> {
    let (rate_max, then) = (connector.rate_max, connector.on_limit);
    let daily_max = connector.daily_messages_max.map(u64::from);
    let has_any = daily_max.is_some() || rate_max.is_some();
    has_any.then(|| (connector.name.as_str().into(), Limit { daily_max, rate_max, then }))
}

impl Count {
    /// Begins anew with each day and each window.
    fn roll(&mut self, limit: &Limit, now: Now) {
        let today = now.wall.day();
        if self.day != today {
            (self.day, self.sent) = (today, 0);
        }
        let is_over = |began: Instant, rate: Rate| {
            now.instant.saturating_duration_since(began) >= rate.window().as_duration()
        };
        let is_new = match (limit.rate_max, self.window_began) {
            (Some(rate), Some(began)) => is_over(began, rate),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_new {
            (self.window_began, self.tried) = (Some(now.instant), 0);
        }
    }

    /// What there is no room for; after [`Self::roll`].
    fn lack(&self, limit: &Limit, now: Now) -> Option<Lack> {
        if let Some(max) = limit.daily_max
            && self.sent.saturating_add(self.under_way) >= max
        {
            let is_certain = self.sent >= max;
            let next = Timestamp::of_day(self.day.saturating_add(1));
            let soon = now.instant.checked_add(SOON).unwrap_or(now.instant);
            let until = if is_certain { now.instant_of(next) } else { soon };
            return Some(Lack { until, is_certain, of: Bound::Day(max) });
        }
        let (rate, began) = (limit.rate_max?, self.window_began?);
        let until = began.checked_add(rate.window().as_duration())?;
        let is_full = self.tried >= rate.units() && until > now.instant;
        is_full.then_some(Lack { until, is_certain: true, of: Bound::Rate(rate) })
    }
}

/// That there is no room at a connector.
#[derive(Clone, Copy, Debug)]
struct Lack {
    /// When there may be.
    until: Instant,
    /// Whether it is so whatever becomes of what is under way.
    is_certain: bool,
    of: Bound,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Day(u64),
    Rate(Rate),
}

impl Lack {
    /// Until when mail waits before it is looked at again, and what it is told.
    fn wait(self, name: &str, now: Now) -> (Instant, Reply) {
        let latest = now.instant.checked_add(LOOK_EVERY).unwrap_or(now.instant);
        (self.until.min(latest), self.reply(name))
    }

    fn reply(&self, name: &str) -> Reply {
        let words = match self.of {
            Bound::Day(max) => format!(
                "connector {name} has sent the {max} messages that it may in a day; what is left waits until 00:00 UTC"
            ),
            Bound::Rate(rate) => {
                format!("connector {name} may send {rate} and has; what is left waits")
            }
        };
        Reply::new(451, Some(CONGESTED), words)
    }
}

#[cfg(test)]
mod tests {
    use policy::config::OutboundConnector;
    use policy::{Admission, Router};
    use units::Clock;

    use super::*;

    fn policy(daily: Option<u32>, rate: Option<&str>, on_limit: OnLimit) -> Policy {
        let connector = OutboundConnector {
            name: "a".to_owned(),
            daily_messages_max: daily,
            rate_max: rate.map(|rate| rate.parse().unwrap()),
            on_limit,
            ..OutboundConnector::default()
        };
        Policy::new(Admission::new(Vec::new()), Router::new(vec![connector]).unwrap())
    }

    /// An hour before midnight.
    fn late() -> (Clock, u64) {
        let day = 20_000;
        (Clock::manual(Timestamp::of_day(day + 1).as_millis() - 3_600_000), day)
    }

    #[test]
    fn a_day_has_so_many_messages_and_the_next_one_again() {
        let (clock, day) = late();
        let policy = policy(Some(3), None, OnLimit::Defer);
        let tally = |count| Tally { name: "a".into(), day, count };
        let mut allowances = Allowances::new(vec![tally(1)]);
        let now = || Now::of(&clock);
        allowances.look(&policy, now());
        assert_eq!(allowances.ask("other", now()), Room::Free);
        for _ in 0..2 {
            assert_eq!(allowances.ask("a", now()), Room::Free);
        }
        // Two are under way: whether there is room is known once they have ended.
        let Room::None { until, spills, .. } = allowances.ask("a", now()) else { panic!() };
        assert_eq!((until - clock.now(), spills), (SOON, false));
        allowances.ended("a");
        assert_eq!(allowances.ask("a", now()), Room::Free);
        assert_eq!(allowances.sent("a", now()), Some(Box::new(tally(2))));
        assert_eq!(allowances.sent("a", now()), Some(Box::new(tally(3))));
        (0..2).for_each(|_| allowances.ended("a"));
        let Room::None { until, why, .. } = allowances.ask("a", now()) else { panic!() };
        assert_eq!(until - clock.now(), LOOK_EVERY);
        assert!(why.to_string().starts_with("451 4.4.5 connector a has sent the 3"), "{why}");
        let line = &allowances.lines(now())[0];
        assert_eq!((line.sent_today, line.daily_max), (3, Some(3)));
        assert_eq!(line.full_until, Some(Timestamp::of_day(day + 1)));
        clock.advance(Duration::from_secs(3601));
        assert_eq!(allowances.ask("a", now()), Room::Free);
        assert_eq!(allowances.sent("a", now()).unwrap().count, 1);
    }

    #[test]
    fn a_rate_begins_anew_with_each_window() {
        let (clock, _) = late();
        let mut allowances = Allowances::default();
        let now = || Now::of(&clock);
        allowances.look(&policy(None, Some("2/1m"), OnLimit::Defer), now());
        for _ in 0..2 {
            (0..2).for_each(|_| assert_eq!(allowances.ask("a", now()), Room::Free));
            clock.advance(Duration::from_secs(20));
            let Room::None { until, .. } = allowances.ask("a", now()) else { panic!() };
            assert_eq!((until - clock.now()).as_secs(), 40);
            clock.advance(Duration::from_secs(40));
        }
        assert_eq!(allowances.sent("a", now()), None, "only days are written down");
        // What was not handed on is not counted.
        assert_eq!(allowances.ask("a", now()), Room::Free);
        allowances.put_back("a");
        (0..2).for_each(|_| assert_eq!(allowances.ask("a", now()), Room::Free));
        assert_ne!(allowances.ask("a", now()), Room::Free);
    }

    /// What is under way counts against a limit that a reload sets, and a limit that is taken away spills no more.
    #[test]
    fn a_reload_sets_and_takes_limits() {
        let (clock, _) = late();
        let now = || Now::of(&clock);
        let (live, mut allowances) =
            (policy::Live::new(policy(None, None, OnLimit::Spill)), Allowances::default());
        allowances.look(&live.load(), now());
        (0..2).for_each(|_| assert_eq!(allowances.ask("a", now()), Room::Free));
        live.put(policy(Some(2), None, OnLimit::Spill));
        allowances.look(&live.load(), now());
        assert_ne!(allowances.ask("a", now()), Room::Free);
        for _ in 0..2 {
            allowances.sent("a", now()).unwrap();
            allowances.ended("a");
        }
        allowances.spill("a");
        assert!(allowances.lines(now())[0].is_spilling);
        for limit in [None, Some(3)] {
            live.put(policy(limit, None, OnLimit::Spill));
            allowances.look(&live.load(), now());
        }
        assert!(!allowances.lines(now())[0].is_spilling);
        assert_eq!(allowances.ask("a", now()), Room::Free);
    }

    /// What was counted today outlives a limit that is taken away; what is of an earlier day, or of somebody else, goes.
    #[test]
    fn counts_are_kept_for_their_day() {
        let (clock, day) = late();
        let now = || Now::of(&clock);
        let tally = |name: &str, day| Tally { name: name.into(), day, count: 2 };
        let tallies = vec![tally("a", day), tally("inbound/m/c", day), tally("b", day - 1)];
        let live = policy::Live::new(policy(Some(3), None, OnLimit::Defer));
        let mut allowances = Allowances::new(tallies);
        allowances.look(&live.load(), now());
        assert!(!allowances.counts.contains_key("b"));
        live.put(policy(None, None, OnLimit::Defer));
        allowances.look(&live.load(), now());
        assert_eq!(allowances.counts["a"].sent, 2);
        clock.advance(Duration::from_secs(3601));
        live.put(policy(None, None, OnLimit::Spill));
        allowances.look(&live.load(), now());
        assert!(allowances.counts.is_empty(), "{:?}", allowances.counts);
    }

    #[test]
    fn mail_spills_once_the_day_is_full_and_comes_back_the_next_one() {
        let (clock, _) = late();
        let policy = policy(Some(1), None, OnLimit::Spill);
        let mut allowances = Allowances::default();
        let now = || Now::of(&clock);
        allowances.look(&policy, now());
        assert_eq!(allowances.ask("a", now()), Room::Free);
        let spills = |room| matches!(room, Room::None { spills: true, .. });
        assert!(!spills(allowances.ask("a", now())), "what is under way may not be taken");
        allowances.sent("a", now()).unwrap();
        allowances.ended("a");
        assert!(spills(allowances.ask("a", now())));
        allowances.spill("a");
        allowances.look(&policy, now());
        assert!(allowances.spilling("a", now()).is_some());
        clock.advance(Duration::from_secs(3601));
        allowances.look(&policy, now());
        assert!(allowances.spilling("a", now()).is_none());
        assert_eq!(allowances.ask("a", now()), Room::Free);
    }
}
