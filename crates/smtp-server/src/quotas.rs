//! The limits of inbound connectors, over all listeners: what has come, what is under way, what is told of it.
//!
//! One lock for all, which is taken for mail of connectors with limits only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use mail::{EnhancedStatus, Reply, Timestamp};
use parking_lot::Mutex;
use policy::Live;
use policy::config::InboundConnector;
use spool::Tally;
use units::Clock;

use crate::intake::Intake;
use crate::metrics::Limit;
use crate::quota::{KEY, Now, Quota};
use crate::rates::{Kind, nanos};

/// What has come by connectors with limits. It holds no more entries than there are such connectors, or were.
#[derive(Debug)]
pub(crate) struct Quotas {
    clock: Clock,
    epoch: Instant,
    policy: Live,
    by_name: Mutex<HashMap<Box<str>, Quota>>,
}

/// A connection's share: it counts as one of a connector, and what it has begun is under way. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    quotas: Arc<Quotas>,
    connector: Box<str>,
    messages: u64,
    recipients: u64,
    counted: Option<Counted>,
}

/// The message that was counted last.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// In days since 1970.
    day: u64,
    recipients: u64,
}

impl Quotas {
    /// Goes on from what was counted before.
    pub(crate) fn new(tallies: &[Tally], policy: Live, clock: Clock) -> Arc<Self> {
        let mut by_name = HashMap::<Box<str>, Quota>::new();
        for tally in tallies {
            let parts = tally.name.strip_prefix(KEY).and_then(|rest| rest.split_once('/'));
            if let Some((name, kind)) = parts {
                by_name.entry(name.into()).or_default().restore(kind, tally);
            }
        }
        Arc::new(Self { epoch: clock.now(), clock, policy, by_name: Mutex::new(by_name) })
    }

    fn now(&self) -> Now {
        let since = self.clock.now().saturating_duration_since(self.epoch);
        let wall = Timestamp::from_millis(self.clock.unix_millis());
        Now { wall, nanos: nanos(since).saturating_add(1) }
    }

    /// Does something with what has come by a connector, if that has limits.
    fn with<T>(
        &self,
        connector: &str,
        act: impl FnOnce(&mut Quota, &InboundConnector, Now) -> T,
    ) -> Option<T> {
        let policy = self.policy.load();
        let limits = policy.admission.limited().find(|it| it.name == connector)?;
        let now = self.now();
        let mut by_name = self.by_name.lock();
        if !by_name.contains_key(connector) {
            by_name.insert(connector.into(), Quota::default());
        }
        let quota = by_name.get_mut(connector)?;
        quota.roll(limits, now);
        Some(act(quota, limits, now))
    }

    /// Changes what has come by a connector, which may have no limits any more: what was begun under them ends all the same.
    fn with_known(&self, connector: &str, act: impl FnOnce(&mut Quota)) {
        if let Some(quota) = self.by_name.lock().get_mut(connector) {
            act(quota);
        }
    }

    /// MAIL: a connection that holds `held` begins a message that comes by `connector`, and holds its share from then on;
    /// none if there are no limits.
    ///
    /// # Errors
    /// The limit, and what the client is told.
    pub(crate) fn begin(
        self: &Arc<Self>,
        connector: &str,
        held: &mut Option<Box<Held>>,
    ) -> Result<(), (Limit, Reply)> {
        match held {
            Some(own) if *own.connector == *connector => own.end(),
            _ => *held = None,
        }
        let is_new = held.is_none();
        let begun = self.with(connector, |quota, limits, now| {
            let max = limits.connections_max.filter(|_| is_new).map(u64::from);
            if let Some(max) = max.filter(|max| quota.connections >= *max) {
                return Err((Limit::ConnectorConnections, connections_full(max)));
            }
            quota.take_message(limits, now)?;
            quota.connections += u64::from(is_new);
            Ok(())
        });
        let Some(begun) = begun else {
            *held = None;
            return Ok(());
        };
        begun?;
        let held = held.get_or_insert_with(|| {
            let (quotas, connector) = (Arc::clone(self), connector.into());
            Box::new(Held { quotas, connector, messages: 0, recipients: 0, counted: None })
        });
        held.messages = 1;
        Ok(())
    }

    /// Until when the connector called `connector` takes no more, if a limit of the day is reached. Takes nothing.
    pub(crate) fn full_until(&self, connector: &str) -> Option<Timestamp> {
        self.with(connector, |quota, limits, _| quota.full_until(limits)).flatten()
    }

    /// What operators are told, in the order of the settings.
    fn lines(&self) -> Vec<Intake> {
        let now = self.now();
        let policy = self.policy.load();
        let mut by_name = self.by_name.lock();
        let line = |limits: &InboundConnector| {
            let quota = by_name.entry(limits.name.as_str().into()).or_default();
            quota.roll(limits, now);
            let (messages_today, recipients_today) = quota.today();
            Intake {
                connector: limits.name.clone(),
                connections: quota.connections,
                connections_max: limits.connections_max,
                messages_today,
                daily_messages_max: limits.daily_messages_max,
                recipients_today,
                daily_recipients_max: limits.daily_recipients_max,
                full_until: quota.full_until(limits),
            }
        };
        policy.admission.limited().map(line).collect()
    }
}

fn connections_full(max: u64) -> Reply {
    let words = format!(
        "Too many connections for your connector, {max} at most, close some or try again later"
    );
    Reply::new(421, Some(EnhancedStatus::new(4, 7, 0)), words)
}

impl Held {
    /// RCPT: one more recipient, or why not.
    pub(crate) fn take_recipient(&mut self) -> Result<(), (Limit, Reply)> {
        let take =
            |quota: &mut Quota, limits: &InboundConnector, now| quota.take_recipient(limits, now);
        self.quotas.with(&self.connector, take).unwrap_or(Ok(()))?;
        self.recipients += 1;
        Ok(())
    }

    /// Another limit refused the message or the recipient that was just taken.
    pub(crate) fn give_back(&mut self, kind: Kind) {
        let (messages, recipients) = match kind {
            Kind::Recipients => (0, self.recipients.min(1)),
            _ => (self.messages, 0),
        };
        self.messages -= messages;
        self.recipients -= recipients;
        self.quotas.with_known(&self.connector, |quota| {
            quota.end(messages, recipients);
            quota.give_back(kind);
        });
    }

    /// The transaction has ended.
    pub(crate) fn end(&mut self) {
        let (messages, recipients) =
            (std::mem::take(&mut self.messages), std::mem::take(&mut self.recipients));
        if messages + recipients > 0 {
            self.quotas.with_known(&self.connector, |quota| quota.end(messages, recipients));
        }
    }

    /// The message is about to be written; what is to be written with it.
    pub(crate) fn taken(&mut self, recipients: u64) -> Vec<Tally> {
        let taken = self.quotas.with(&self.connector, |quota, limits, _| {
            let counted = Counted { day: quota.day, recipients };
            (counted, quota.taken(limits, recipients))
        });
        self.end();
        let (counted, tallies) = taken.unzip();
        self.counted = counted;
        tallies.unwrap_or_default()
    }

    /// It could not be written.
    pub(crate) fn not_taken(&mut self) {
        if let Some(Counted { day, recipients }) = self.counted.take() {
            self.quotas.with_known(&self.connector, |quota| quota.not_taken(day, recipients));
        }
    }

    /// Its octets have come.
    pub(crate) fn took_octets(&self, octets: u64) {
        self.quotas.with(&self.connector, |quota, _, now| quota.took_octets(octets, now));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.quotas.with_known(&self.connector, |quota| {
            quota.end(self.messages, self.recipients);
            quota.connections = quota.connections.saturating_sub(1);
        });
    }
}

/// Tells what has come by inbound connectors with limits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intakes(pub(crate) Arc<Quotas>);

impl Intakes {
    /// One for each connector with limits, in the order of the settings.
    pub fn lines(&self) -> Vec<Intake> {
        self.0.lines()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use policy::{Admission, Policy, Router};

    use super::*;

    /// An hour before midnight UTC of the day 20,000.
    fn late() -> Clock {
        Clock::manual(20_001 * 24 * 3_600_000 - 3_600_000)
    }

    fn quotas(
        clock: &Clock,
        tallies: &[Tally],
        turn: impl FnOnce(&mut InboundConnector),
    ) -> Arc<Quotas> {
        let mut limited = InboundConnector { name: "a".to_owned(), ..InboundConnector::default() };
        turn(&mut limited);
        let other = InboundConnector { name: "b".to_owned(), ..InboundConnector::default() };
        Quotas::new(tallies, Live::new(policy(vec![limited, other])), clock.clone())
    }

    fn policy(connectors: Vec<InboundConnector>) -> Policy {
        Policy::new(Admission::new(connectors), Router::new(Vec::new()).unwrap())
    }

    fn tally(kind: &str, day: u64, count: u64) -> Tally {
        Tally { name: format!("inbound/a/{kind}").into(), day, count }
    }

    fn begin(quotas: &Arc<Quotas>, held: &mut Option<Box<Held>>) -> String {
        let begun = quotas.begin("a", held);
        begun.map_or_else(|(_, reply)| reply.to_string(), |()| String::new())
    }

    #[test]
    fn a_day_goes_on_where_it_was_and_the_next_begins_anew() {
        let clock = late();
        let known = [tally("messages", 20_000, 1), tally("recipients", 20_000, 5)];
        let quotas = quotas(&clock, &known, |it| {
            (it.daily_messages_max, it.daily_recipients_max) = (Some(3), Some(8));
        });
        let (mut one, mut other) = (None, None);
        assert_eq!(begin(&quotas, &mut one), "");
        let held = one.as_mut().unwrap();
        for _ in 0..3 {
            held.take_recipient().unwrap();
        }
        let (limit, reply) = held.take_recipient().unwrap_err();
        assert_eq!(limit, Limit::ConnectorDay);
        let soon = "452 4.7.1 Too many recipients for your connector, 8 a day at most, come back in 10 seconds";
        assert_eq!(reply.to_string(), soon);
        assert_eq!(held.taken(2), [tally("messages", 20_000, 2), tally("recipients", 20_000, 7)]);
        // What could not be written is not counted.
        assert_eq!(begin(&quotas, &mut one), "");
        let held = one.as_mut().unwrap();
        held.take_recipient().unwrap();
        held.taken(1);
        held.not_taken();
        // One that is under way leaves no room, and gives it back when it goes.
        assert_eq!(begin(&quotas, &mut other), "");
        let soon = "3 a day at most, come back in 10 seconds";
        assert!(begin(&quotas, &mut one).ends_with(soon));
        assert_eq!(quotas.lines()[0].connections, 2);
        drop(other);
        assert_eq!(begin(&quotas, &mut one), "");
        let held = one.as_mut().unwrap();
        assert_eq!(held.taken(1), [tally("messages", 20_000, 3), tally("recipients", 20_000, 8)]);
        assert_eq!(
            begin(&quotas, &mut None),
            "452 4.7.1 Too many messages for your connector, 3 a day at most, come back at 00:00 UTC, in 3600 seconds"
        );
        let line = &quotas.lines()[0];
        assert_eq!((line.messages_today, line.recipients_today, line.connections), (3, 8, 1));
        assert_eq!(line.full_until, Some(Timestamp::from_millis(20_001 * 24 * 3_600_000)));
        clock.advance(Duration::from_hours(1));
        assert_eq!(begin(&quotas, &mut one), "");
        let next = [tally("messages", 20_001, 1), tally("recipients", 20_001, 1)];
        assert_eq!(one.as_mut().unwrap().taken(1), next);
    }

    /// Limits may go and come back with other settings while messages are under way: each is given back what it took.
    #[test]
    fn what_was_begun_under_limits_ends_without_them() {
        let clock = late();
        let quotas = quotas(&clock, &[], |it| {
            it.daily_messages_max = Some(9);
            it.daily_recipients_max = Some(9);
            it.rates.recipients = Some("1/1h".parse().unwrap());
        });
        let (live, limited) = (quotas.policy.clone(), quotas.policy.hold());
        let unlimited = || live.put(policy(Vec::new()));
        let (mut one, mut other) = (None, None);
        assert_eq!(begin(&quotas, &mut one) + &begin(&quotas, &mut other), "");
        let (one, other) = (one.as_mut().unwrap(), other.as_mut().unwrap());
        one.take_recipient().unwrap();
        assert!(one.take_recipient().is_err());
        unlimited();
        one.give_back(Kind::Recipients);
        live.put(Policy::clone(&limited));
        // The rate has room again.
        one.take_recipient().unwrap();
        assert_eq!(one.taken(1).len(), 2);
        unlimited();
        one.not_taken();
        // What came without limits was not counted, so nothing is given back of it.
        assert_eq!(other.taken(5), []);
        other.not_taken();
        live.put(Policy::clone(&limited));
        let counts = || quotas.lines().first().map(|it| (it.messages_today, it.recipients_today));
        assert_eq!(counts(), Some((0, 0)));
        // One of yesterday is not given back from what was taken today.
        one.taken(3);
        clock.advance(Duration::from_hours(1));
        other.taken(2);
        one.not_taken();
        assert_eq!(counts(), Some((1, 2)));
    }

    /// A count of an earlier day says nothing of the day that another one is of, in whatever order they are read.
    #[test]
    fn counts_of_earlier_days_are_not_taken_for_those_of_today() {
        let clock = late();
        let (old, new) = (tally("recipients", 19_999, 5), tally("messages", 20_000, 1));
        for known in [[old.clone(), new.clone()], [new, old]] {
            let quotas = quotas(&clock, &known, |it| it.daily_recipients_max = Some(8));
            let line = &quotas.lines()[0];
            assert_eq!((line.messages_today, line.recipients_today), (1, 0));
        }
    }

    #[test]
    fn rates_and_connections_are_those_of_all_clients_together() {
        let clock = late();
        let quotas = quotas(&clock, &[], |it| {
            it.connections_max = Some(2);
            it.rates.messages = Some("3/1m".parse().unwrap());
            it.rates.octets = Some("1KiB/1m".parse().unwrap());
        });
        let [mut one, mut two, mut three] = [None, None, None];
        quotas.begin("b", &mut one).unwrap();
        assert!(one.is_none());
        assert_eq!(begin(&quotas, &mut one) + &begin(&quotas, &mut two), "");
        let refused = quotas.begin("a", &mut three).unwrap_err();
        assert_eq!(refused.0, Limit::ConnectorConnections);
        assert_eq!(refused.1.code(), 421);
        // Who turns to another connector makes room.
        quotas.begin("b", &mut one).unwrap();
        assert_eq!(begin(&quotas, &mut three), "");
        let rate =
            "452 4.7.1 Too many messages for your connector, 3/1m at most, come back in 20 seconds";
        assert_eq!(begin(&quotas, &mut two), rate);
        assert_eq!(quotas.lines()[0].connections, 2);
        // What another limit refuses is not counted here.
        three.as_mut().unwrap().give_back(Kind::Messages);
        assert_eq!(begin(&quotas, &mut three), "");
        three.as_ref().unwrap().took_octets(3000);
        clock.advance(Duration::from_mins(1));
        let octets = "452 4.7.1 Too many octets for your connector, 1KiB/1m at most, come back in ";
        assert!(begin(&quotas, &mut three).starts_with(octets));
        drop((two, three));
        assert_eq!(quotas.lines()[0].connections, 0);
    }
}
