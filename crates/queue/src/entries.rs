//! From messages to entries of the schedule.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail::{Accepted, Address, Destination, Envelope, MessageId, Recipient, Timestamp};
use policy::{Policy, Router};
use schedule::{Entry, Urgency};
use spool::{RecipientState, Recovered, Times};
use units::Clock;

use crate::shared::{NO_ROUTE, is_held, routed, word};
use crate::terms::{Moments, Terms, Word};

/// Recipients without a route are looked at again one message after the other.
const NO_ROUTE_IN_FLIGHT_MAX: u32 = 20;
/// Domains whose route is remembered during a recovery.
const ROUTES_MAX: usize = 32_768;

/// A message with what is written about its recipients.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: MessageId,
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) received_at: Timestamp,
    pub(crate) recipients: Vec<RecipientState>,
    /// Whether it was due where it no longer goes.
    pub(crate) is_due: bool,
}

/// How entries are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker {
    pub(crate) terms: Terms,
    /// No rest is longer: a next try further off was written by a clock that went wrong.
    pub(crate) rest_max: Duration,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: Timestamp,
}

impl Now {
    /// What the clock shows.
    pub(crate) fn of(clock: &Clock) -> Self {
        Self { instant: clock.now(), wall: Timestamp::from_millis(clock.unix_millis()) }
    }

    /// When the wall clock will show `at`; now if it is over.
    pub(crate) fn instant_of(self, at: Timestamp) -> Instant {
        self.instant.checked_add(at.since(self.wall)).unwrap_or(self.instant)
    }

    /// What the wall clock will show at `at`.
    pub(crate) fn wall_of(self, at: Instant) -> Timestamp {
        self.wall.plus(at.saturating_duration_since(self.instant))
    }
}

/// What is the same for all recipients of a message.
#[derive(Clone, Copy)]
struct Message {
    id: MessageId,
    received_at: Timestamp,
    moments: Moments,
    urgency: Urgency,
}

/// A recipient that waits, or several that go the same way.
struct Wait {
    route: Route,
    tries: u16,
    next_try_at: Timestamp,
    word: Word,
}

/// Which way recipients go.
#[derive(Clone, Debug)]
struct Route {
    destination: Destination,
    in_flight_max: u32,
}

impl Route {
    fn of(router: &Router, recipient: &Recipient) -> Self {
        Self::to(router, routed(router, recipient))
    }

    fn to(router: &Router, destination: Destination) -> Self {
        let connector = router.connector(destination.connector());
        let limit = connector.map_or(NO_ROUTE_IN_FLIGHT_MAX, |it| it.limits.connections_max);
        Self { destination, in_flight_max: limit }
    }
}

impl Maker {
    /// One entry for each destination of a new message.
    pub(crate) fn fresh(&self, accepted: &Accepted, router: &Router, now: Now) -> Vec<Entry> {
        let Accepted { id, received_at, ref envelope, .. } = *accepted;
        let message = self.message(id, received_at, Times::from(&envelope.wishes));
        let wait = |recipient: &Recipient| Wait {
            route: Route::of(router, recipient),
            tries: 0,
            next_try_at: message.moments.due_at,
            word: word(envelope, recipient),
        };
        let waits = envelope.recipients.iter().map(wait).collect();
        self.entries(message, waits, now)
    }

    /// One entry for each destination where a recipient waits; none if no recipient waits.
    pub(crate) fn found(&self, found: &Found, router: &Router, now: Now) -> Vec<Entry> {
        let wait = |(recipient, state): (&Recipient, &RecipientState)| {
            let RecipientState::Waiting { tries, next_try_at, is_told, .. } = *state else {
                return None;
            };
            let word = if is_told { Word::NotOwed } else { word(&found.envelope, recipient) };
            let is_due = found.is_due && !is_held(&found.envelope, tries, now.wall);
            let next_try_at = if is_due { next_try_at.min(now.wall) } else { next_try_at };
            Some(Wait { route: Route::of(router, recipient), tries, next_try_at, word })
        };
        let recipients = found.envelope.recipients.iter().zip(&found.recipients);
        let times = Times::from(&found.envelope.wishes);
        let message = self.message(found.id, found.received_at, times);
        self.entries(message, recipients.filter_map(wait).collect(), now)
    }

    /// As [`Self::found`], of a message that the scan at start found; adds them to `entries`.
    pub(crate) fn recovered(
        &self,
        recovered: &Recovered<'_>,
        routes: &mut Routes,
        now: Now,
        entries: &mut Vec<Entry>,
    ) {
        let Recovered { id, received_at, times, .. } = *recovered;
        let message = self.message(id, received_at, times);
        let mut wait = |it: &spool::Waiting<'_>| Wait {
            route: routes.of(it.recipient, it.via),
            tries: it.tries,
            next_try_at: it.next_try_at,
            // Whether its sender wants to know is seen when there is something to tell.
            word: if it.is_told { Word::NotOwed } else { Word::Owed },
        };
        if let [waiting] = recovered.waiting {
            // Nearly all of millions have one recipient.
            return entries.push(self.entry(message, wait(waiting), now));
        }
        let waits = recovered.waiting.iter().map(wait).collect();
        entries.extend(self.entries(message, waits, now));
    }

    fn message(&self, id: MessageId, received_at: Timestamp, times: Times) -> Message {
        let moments = self.terms.moments(received_at, times);
        Message { id, received_at, moments, urgency: Urgency::of(times.priority) }
    }

    fn entries(&self, message: Message, waits: Vec<Wait>, now: Now) -> Vec<Entry> {
        by_destination(waits).into_iter().map(|wait| self.entry(message, wait, now)).collect()
    }

    fn entry(&self, message: Message, wait: Wait, now: Now) -> Entry {
        let Message { id, received_at, moments, urgency } = message;
        let latest = now.instant.checked_add(self.rest_max).unwrap_or(now.instant);
        // A message that is held may wait longer; one that came while the clock was ahead may not.
        let latest = moments.hold_until.map_or(latest, |at| latest.max(now.instant_of(at)));
        let next = moments.next_from(wait.word, wait.next_try_at, now.wall);
        Entry {
            id,
            destination: wait.route.destination,
            in_flight_max: wait.route.in_flight_max,
            received_at,
            tries: wait.tries,
            due: now.instant_of(wait.next_try_at).min(latest),
            deadline: now.instant_of(next),
            is_exact: moments.are_exact(),
            urgency,
        }
    }
}

/// Puts together what goes the same way: with the most tries, when the first of them is due.
fn by_destination(mut waits: Vec<Wait>) -> Vec<Wait> {
    waits.sort_by(|one, other| one.route.destination.cmp(&other.route.destination));
    waits.dedup_by(|other, first| {
        let is_same = other.route.destination == first.route.destination;
        if is_same {
            first.tries = first.tries.max(other.tries);
            first.next_try_at = first.next_try_at.min(other.next_try_at);
            first.word = first.word.or(other.word);
        }
        is_same
    });
    waits
}

/// Ways of recipients, each found once for a domain and remembered.
#[derive(Debug)]
pub(crate) struct Routes {
    policy: Arc<Policy>,
    /// By domain as it was spelled.
    known: HashMap<Box<str>, Route>,
}

impl Routes {
    pub(crate) fn new(policy: Arc<Policy>) -> Self {
        Self { policy, known: HashMap::new() }
    }

    fn of(&mut self, recipient: &str, via: Option<&str>) -> Route {
        let router = &self.policy.router;
        // No domain has an `@` in it, and the way depends on nothing but the domain if no connector was chosen.
        let domain = recipient.rsplit_once('@').map(|(_, domain)| domain);
        let domain = domain.filter(|_| via.is_none());
        if let Some(route) = domain.and_then(|domain| self.known.get(domain)) {
            return route.clone();
        }
        let Ok(address) = Address::parse(recipient) else {
            // Nobody could have sent to it; whoever loads the message sets it aside.
            return Route::to(router, Destination::smart_host(NO_ROUTE));
        };
        let via = via.map(Into::into);
        let route = Route::of(router, &Recipient { via, ..Recipient::from(address) });
        if let Some(domain) = domain {
            if self.known.len() >= ROUTES_MAX {
                self.known.clear();
            }
            self.known.insert(domain.into(), route.clone());
        }
        route
    }
}

#[cfg(test)]
mod tests {
    use mail::{ByMode, DeliverBy, Domain};
    use policy::Admission;
    use policy::config::OutboundConnector;

    use super::*;

    fn policy() -> Arc<Policy> {
        let connector = |name: &str, domain: &str| OutboundConnector {
            name: name.to_owned(),
            recipient_domains: vec![domain.to_owned()],
            ..OutboundConnector::default()
        };
        let connectors = vec![connector("internet", "*.example"), connector("odd", "odd.example")];
        let router = Router::new(connectors).unwrap();
        let router = router.with_hostname(Domain::parse("relay.example").unwrap());
        Arc::new(Policy::new(Admission::new(Vec::new()), router))
    }

    /// What is remembered is what would be found.
    #[test]
    fn a_remembered_route_is_the_right_one() {
        let mut routes = Routes::new(policy());
        for _ in 0..2 {
            for recipient in [
                "a@x.example",
                "b@x.example",
                "A@X.Example",
                "\"odd@odd.example\"@x.example",
                "a@odd.example",
                "postmaster",
                "a@elsewhere.test",
            ] {
                let address = Recipient::from(Address::parse(recipient).unwrap());
                let want = routed(&routes.policy.router, &address);
                assert_eq!(routes.of(recipient, None).destination, want, "{recipient}");
            }
            let broken = routes.of("no address@new.example", None).destination;
            assert_eq!(broken.connector(), NO_ROUTE);
        }
    }

    #[test]
    fn what_goes_the_same_way_is_one_entry() {
        let at = Timestamp::from_millis;
        let waiting = |recipient, tries, next_try_at| spool::Waiting {
            recipient,
            via: None,
            tries,
            next_try_at: at(next_try_at),
            is_told: false,
        };
        let waiting = [
            waiting("a@x.example", 1, 9_000),
            waiting("b@y.example", 2, 5_000),
            waiting("c@X.example", 3, 7_000),
        ];
        let id = MessageId::new(1, 1);
        let times = Times::default();
        let recovered = Recovered {
            id,
            received_at: at(1_000),
            octets: 1,
            times,
            waiting: &waiting,
            owes: false,
        };
        let hour = Duration::from_hours(1);
        let terms = Terms { expire_after: hour, delay_report_after: None };
        let maker = Maker { terms, rest_max: hour };
        let now = Now { instant: Clock::manual(0).now(), wall: at(4_000) };
        let mut entries = Vec::new();
        maker.recovered(&recovered, &mut Routes::new(policy()), now, &mut entries);
        entries.sort_by_key(|entry| entry.tries);
        let seen: Vec<_> = entries
            .iter()
            .map(|it| (it.destination.to_string(), it.tries, (it.due - now.instant).as_millis()))
            .collect();
        let want = |name: &str, tries, due| (name.to_owned(), tries, due);
        assert_eq!(
            seen,
            [want("internet/y.example", 2, 1_000), want("internet/x.example", 3, 3_000)]
        );
    }

    /// A message that is held waits for its time, however long the usual rests are; a deadline is exact.
    #[test]
    fn what_the_sender_asked_for_is_known_after_a_restart() {
        let at = Timestamp::from_millis;
        let recipient = "a@x.example";
        let waiting = [spool::Waiting {
            recipient,
            via: None,
            tries: 0,
            next_try_at: at(9_000),
            is_told: false,
        }];
        let by = DeliverBy { at: at(20_000), mode: ByMode::Return, is_traced: false };
        let priority = mail::Priority::new(4);
        let times = Times { hold_until: Some(at(9_000)), deliver_by: Some(by), priority };
        let recovered = Recovered {
            id: MessageId::new(1, 1),
            received_at: at(1_000),
            octets: 1,
            times,
            waiting: &waiting,
            owes: false,
        };
        let terms = Terms { expire_after: Duration::from_hours(1), delay_report_after: None };
        let maker = Maker { terms, rest_max: Duration::from_secs(1) };
        let now = Now { instant: Clock::manual(0).now(), wall: at(4_000) };
        let mut entries = Vec::new();
        maker.recovered(&recovered, &mut Routes::new(policy()), now, &mut entries);
        let [entry] = entries.as_slice() else { panic!("one entry: {entries:?}") };
        let seconds = |instant: Instant| (instant - now.instant).as_secs();
        assert_eq!((seconds(entry.due), seconds(entry.deadline), entry.is_exact), (5, 16, true));
        assert_eq!(entry.urgency, Urgency::Urgent);
    }

    /// What was received while the clock was ahead is not held until the clock shows that again.
    #[test]
    fn a_time_of_receipt_in_the_future_holds_nothing() {
        let at = Timestamp::from_millis;
        for hold_until in [None, Some(at(5_000))] {
            let next_try_at = at(9_000_000);
            let recipient = "a@x.example";
            let waiting =
                [spool::Waiting { recipient, via: None, tries: 0, next_try_at, is_told: false }];
            let recovered = Recovered {
                id: MessageId::new(1, 1),
                received_at: next_try_at,
                octets: 1,
                times: Times { hold_until, ..Times::default() },
                waiting: &waiting,
                owes: false,
            };
            let terms = Terms { expire_after: Duration::from_hours(1), delay_report_after: None };
            let maker = Maker { terms, rest_max: Duration::from_mins(1) };
            let now = Now { instant: Clock::manual(0).now(), wall: at(4_000) };
            let mut entries = Vec::new();
            maker.recovered(&recovered, &mut Routes::new(policy()), now, &mut entries);
            assert_eq!((entries[0].due - now.instant).as_secs(), 60);
        }
    }
}
