use std::collections::BTreeMap;

use mail::{Domain, Reply};
use proptest::prelude::*;

use super::outcome::{After, Cancel, End, Why};
use super::*;
use crate::state::State;

const MINUTE: Duration = Duration::from_mins(1);

fn settings() -> Settings {
    Settings {
        connect: Backoff { first: MINUTE, factor: 2.0, rest_max: 60 * MINUTE },
        reply: Backoff { first: 5 * MINUTE, factor: 2.0, rest_max: 240 * MINUTE },
        in_flight_max: 1000,
        random_seed: 42,
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing")]
fn start() -> Instant {
    Instant::now()
}

fn to(name: &str) -> Destination {
    Destination::exchangers("internet", Domain::parse(name).unwrap())
}

fn id(number: u64) -> MessageId {
    MessageId::new(1_000_000 + number, 7)
}

fn entry(number: u64, destination: &Destination, now: Instant) -> Entry {
    Entry {
        id: id(number),
        destination: destination.clone(),
        in_flight_max: 20,
        received_at: Timestamp::from_millis(1_000_000 + number),
        tries: 0,
        due: now,
        expires: now + 5 * 24 * 60 * MINUTE,
    }
}

fn unreachable() -> End {
    End::Unreachable(Reply::new(451, None, "connection refused"))
}

/// Each entry stands in exactly one place, counts are right, nothing is left of what is gone.
fn check(schedule: &Schedule) {
    let mut at = BTreeMap::new();
    let mut stand = |key: u32, what: At| assert_eq!(at.insert(key, what), None, "{key} twice");
    for (key, place) in schedule.places.iter() {
        assert_eq!(schedule.place_keys.get(&place.destination), Some(&key));
        assert!(place.entries > 0, "an empty destination stays");
        let keys = place.ready.keys(&schedule.entries);
        assert_eq!(keys.len(), usize::try_from(place.ready.len()).unwrap());
        for key in keys {
            stand(key, At::Ready);
        }
        assert_eq!(place.turn.is_some(), place.has_due());
        assert!(place.turn.is_none_or(|turn| schedule.round.get(&turn) == Some(&key)));
        if let Health::Rest(until) = place.health {
            assert!(schedule.timers.contains(&(until, Timer::Place(key))));
        }
        let mine = || schedule.entries.iter().filter(|(_, it)| it.place == key);
        let count = |at: At| mine().filter(|(_, it)| it.at == at).count();
        assert_eq!(mine().count(), usize::try_from(place.entries).unwrap());
        assert_eq!(count(At::Resting), usize::try_from(place.resting).unwrap());
        assert_eq!(count(At::InFlight), usize::try_from(place.in_flight).unwrap());
    }
    schedule.leaving.keys(&schedule.entries).iter().for_each(|key| stand(*key, At::Leaving));
    let mut rests = 0;
    for (due, timer) in &schedule.timers {
        match timer {
            Timer::Entry(key) => {
                assert_eq!(schedule.entries[*key].due, *due);
                stand(*key, At::Resting);
            }
            Timer::Place(key) => {
                assert_eq!(schedule.places[*key].health, Health::Rest(*due));
                rests += 1;
            }
        }
    }
    let resting = schedule.places.iter().filter(|(_, it)| matches!(it.health, Health::Rest(_)));
    assert_eq!(rests, resting.count());
    for (key, entry) in schedule.entries.iter() {
        match entry.at {
            At::InFlight | At::Settling | At::SettlingReady => stand(key, entry.at),
            At::Ready | At::Resting | At::Leaving => {}
        }
    }
    for (key, entry) in schedule.entries.iter() {
        assert_eq!(at.get(&key), Some(&entry.at), "{key} is nowhere");
        assert!(schedule.chain(entry.id()).any(|it| it == key), "{key} is of no message");
    }
    assert_eq!(at.len(), schedule.entries.len());
    assert_eq!(schedule.place_keys.len(), schedule.places.len());
    assert_eq!(
        schedule
            .messages
            .values()
            .map(|first| schedule.chain(schedule.entries[*first].id()).count())
            .sum::<usize>(),
        at.len()
    );
    let in_flight = schedule.entries.iter().filter(|(_, it)| it.at == At::InFlight).count();
    assert_eq!(schedule.in_flight, in_flight);
    assert_eq!(
        schedule.round.len(),
        schedule.places.iter().filter(|(_, it)| it.turn.is_some()).count()
    );
}

#[test]
fn a_delivered_message_leaves_nothing_behind() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let (a, b) = (to("a.example"), to("b.example"));
    assert!(schedule.add(entry(1, &a, now), now));
    assert!(!schedule.add(entry(1, &a, now), now), "no entry is there twice");
    assert!(schedule.add(entry(1, &b, now), now));
    assert_eq!((schedule.open_entries(id(1)), schedule.messages_len(), schedule.len()), (2, 1, 2));
    for _ in 0..2 {
        let due = schedule.next_due(now).unwrap();
        let ended = schedule.end(due.id, &due.destination, End::Answered, now).unwrap();
        assert_eq!((ended.tries, ended.after), (1, After::Keep));
        schedule.settle(due.id, &due.destination, After::Expire, now);
        check(&schedule);
    }
    assert!(schedule.is_empty() && schedule.timers.is_empty() && schedule.round.is_empty());
    assert_eq!((schedule.octets(), schedule.next_wake(), schedule.oldest_at()), (0, None, None));
}

#[test]
fn a_4yz_reply_rests_the_message_and_not_its_destination() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    schedule.add(entry(1, &a, now), now);
    schedule.add(entry(2, &a, now), now);
    let first = schedule.next_due(now).unwrap();
    let ended = schedule.end(first.id, &a, End::Answered, now).unwrap();
    schedule.settle(first.id, &a, After::Keep, now);
    assert_eq!(schedule.next_due(now).unwrap().id, id(2), "the other message goes on");
    assert_eq!(schedule.next_due(now), None);
    let rest = ended.next_try - now;
    assert!(rest >= 4 * MINUTE && rest <= 6 * MINUTE, "{rest:?}");
    assert_eq!(schedule.next_wake(), Some(ended.next_try));
    assert_eq!(
        schedule.next_due(ended.next_try.checked_sub(Duration::from_millis(1)).unwrap()),
        None
    );
    let again = schedule.next_due(ended.next_try).unwrap();
    assert_eq!((again.id, again.tries), (id(1), 1));
    let ended = schedule.end(id(1), &a, End::Answered, ended.next_try).unwrap();
    assert!(ended.next_try - again_at(now, rest) >= 8 * MINUTE, "the second rest is longer");
    check(&schedule);
}

fn again_at(now: Instant, rest: Duration) -> Instant {
    now + rest
}

#[test]
fn a_failed_connection_rests_the_destination_and_one_probe_wakes_it() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let (a, b) = (to("a.example"), to("b.example"));
    for number in 0..50 {
        schedule.add(entry(number, &a, now), now);
    }
    schedule.add(entry(99, &b, now), now);
    let under_way: Vec<_> = std::iter::from_fn(|| schedule.next_due(now)).collect();
    assert_eq!(under_way.len(), 21, "twenty of one destination, one of the other");
    let mut waits = Vec::new();
    for due in under_way.iter().filter(|due| due.destination == a) {
        let ended = schedule.end(due.id, &a, unreachable(), now).unwrap();
        assert_eq!((ended.tries, ended.after), (1, After::Keep));
        schedule.settle(due.id, &a, After::Keep, now);
        waits.push(ended.next_try);
        check(&schedule);
    }
    let place = schedule.places().find(|it| *it.destination == a).unwrap();
    assert_eq!((place.connect_failures, place.ready), (1, 50), "a burst of failures counts once");
    let wake = place.rests_until.unwrap();
    assert!(waits.iter().all(|wait| *wait == wake));
    assert!(
        schedule.entries().filter(|it| *it.destination == a).all(|it| it.state == State::Resting)
    );
    assert_eq!(schedule.next_due(wake.checked_sub(Duration::from_millis(1)).unwrap()), None);
    // One probe; it fails: a longer rest. The next one gets an answer: all may go.
    let probe = schedule.next_due(wake).unwrap();
    assert_eq!(probe.id, id(20), "what was not tried yet goes first");
    assert_eq!(schedule.next_due(wake), None);
    schedule.end(probe.id, &a, unreachable(), wake).unwrap();
    schedule.settle(probe.id, &a, After::Keep, wake);
    let place = schedule.places().find(|it| *it.destination == a).unwrap();
    let second = place.rests_until.unwrap();
    assert!(place.connect_failures == 2 && second - wake >= 96 * Duration::from_secs(1));
    let probe = schedule.next_due(second).unwrap();
    schedule.end(probe.id, &a, End::Answered, second).unwrap();
    let more = std::iter::from_fn(|| schedule.next_due(second)).count();
    assert_eq!(more, 20);
    check(&schedule);
}

#[test]
fn attempts_begun_before_a_rest_do_not_end_the_probe() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    for number in 0..4 {
        schedule.add(entry(number, &a, now), now);
    }
    let old: Vec<_> = (0..3).map(|_| schedule.next_due(now).unwrap()).collect();
    schedule.end(old[0].id, &a, unreachable(), now).unwrap();
    schedule.settle(old[0].id, &a, After::Keep, now);
    let wake = schedule.next_wake().unwrap();
    let probe = schedule.next_due(wake).unwrap();
    // An old attempt fails late: nothing is known of the probe. Another succeeds: all is well.
    schedule.end(old[1].id, &a, unreachable(), wake).unwrap();
    assert_eq!(schedule.places().next().unwrap().connect_failures, 1);
    assert_eq!(schedule.next_due(wake), None);
    schedule.end(old[2].id, &a, End::Answered, wake).unwrap();
    assert_eq!(schedule.places().next().unwrap().connect_failures, 0);
    assert!(schedule.next_due(wake).is_some());
    schedule.end(probe.id, &a, unreachable(), wake).unwrap();
    assert_eq!(schedule.places().next().unwrap().connect_failures, 1);
    check(&schedule);
}

/// A destination with a hundred thousand messages and one with ten take turns.
#[test]
fn a_large_backlog_does_not_starve_others() {
    let now = start();
    let mut schedule = Schedule::new(Settings { in_flight_max: 4, ..settings() }, now);
    let (large, small) = (to("large.example"), to("small.example"));
    for number in 0..100_000 {
        schedule.add(entry(number, &large, now), now);
    }
    for number in 0..10 {
        schedule.add(entry(200_000 + number, &small, now), now);
    }
    let mut delivered = 0;
    for _ in 0..21 {
        let due = schedule.next_due(now).unwrap();
        delivered += usize::from(due.destination == small);
        schedule.end(due.id, &due.destination, End::Answered, now).unwrap();
        schedule.settle(due.id, &due.destination, After::Cancel, now);
    }
    assert_eq!(delivered, 10);
}

#[test]
fn limits_hold_per_destination_and_in_all() {
    let now = start();
    let mut schedule = Schedule::new(Settings { in_flight_max: 5, ..settings() }, now);
    for name in ["a.example", "b.example", "c.example"] {
        for number in 0..5 {
            schedule.add(Entry { in_flight_max: 2, ..entry(number, &to(name), now) }, now);
        }
    }
    let under_way: Vec<_> = std::iter::from_fn(|| schedule.next_due(now)).collect();
    assert_eq!(under_way.len(), 5);
    assert!(schedule.places().all(|it| it.in_flight <= 2));
    schedule.put_back(under_way[0].id, &under_way[0].destination);
    assert_eq!(schedule.in_flight(), 4);
    check(&schedule);
    assert!(schedule.has_due() && schedule.next_due(now).is_some());
}

#[test]
fn what_is_too_old_expires_after_a_last_try() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    let old = Entry { expires: now + MINUTE, ..entry(1, &a, now) };
    schedule.add(old.clone(), now);
    schedule.next_due(now).unwrap();
    let ended = schedule.end(id(1), &a, End::Answered, now).unwrap();
    assert_eq!(
        (ended.after, ended.next_try),
        (After::Keep, now + MINUTE),
        "the last try is not late"
    );
    schedule.settle(id(1), &a, After::Keep, now);
    let last = schedule.next_due(now + MINUTE).unwrap();
    let ended = schedule.end(last.id, &a, End::Answered, now + MINUTE).unwrap();
    assert_eq!((ended.after, ended.tries), (After::Expire, 2));
    // What is too old from the start, as after a long stop, gets one try all the same.
    schedule.add(Entry { id: id(2), expires: now, ..old }, now + MINUTE);
    let last = schedule.next_due(now + MINUTE).unwrap();
    assert_eq!(
        schedule.end(last.id, &a, unreachable(), now + MINUTE).unwrap().after,
        After::Expire
    );
    check(&schedule);
}

#[test]
fn what_waits_at_a_dead_destination_expires_when_a_probe_fails() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    schedule.add(entry(1, &a, now), now);
    let due = schedule.next_due(now).unwrap();
    schedule.add(Entry { expires: now + MINUTE / 10, ..entry(2, &a, now) }, now);
    schedule.add(entry(3, &a, now), now);
    schedule.end(due.id, &a, unreachable(), now).unwrap();
    schedule.settle(due.id, &a, After::Keep, now);
    assert_eq!(schedule.next_leaving(), None, "not old enough yet");
    let wake = schedule.next_wake().unwrap();
    schedule.retry(id(3), &a);
    let probe = schedule.next_due(wake).unwrap();
    assert_eq!(probe.id, id(2));
    schedule.put_back(probe.id, &a);
    // Another one probes.
    schedule.cancel(id(2), &a);
    check(&schedule);
    assert_eq!(schedule.next_leaving().unwrap().why, Why::Cancelled);
    schedule.settle(id(2), &a, After::Cancel, wake);
    schedule.add(Entry { expires: wake, ..entry(4, &a, wake) }, wake);
    let probe = schedule.next_due(wake).unwrap();
    assert_eq!(probe.id, id(3));
    schedule.end(probe.id, &a, unreachable(), wake).unwrap();
    let leaving = schedule.next_leaving().unwrap();
    let words = Reply::new(451, None, "connection refused");
    assert_eq!((leaving.id, leaving.why), (id(4), Why::Expired(Some(words))));
    check(&schedule);
}

#[test]
fn an_operator_ends_rests_and_takes_out() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    for number in 0..3 {
        schedule.add(entry(number, &a, now), now);
    }
    for _ in 0..2 {
        let due = schedule.next_due(now).unwrap();
        schedule.end(due.id, &a, End::Answered, now).unwrap();
        schedule.settle(due.id, &a, After::Keep, now);
    }
    let under_way = schedule.next_due(now).unwrap();
    assert!(schedule.retry(id(0), &a) && !schedule.retry(under_way.id, &a));
    assert_eq!(schedule.next_due(now).unwrap().id, id(0));
    assert_eq!(schedule.cancel(id(1), &a), Some(Cancel::Leaves));
    assert_eq!(schedule.cancel(id(1), &a), Some(Cancel::Leaves), "twice is once");
    assert_eq!(schedule.cancel(id(2), &a), Some(Cancel::AfterThisTry));
    assert_eq!(schedule.cancel(id(9), &a), None);
    assert_eq!(schedule.next_leaving().unwrap().id, id(1));
    assert_eq!(schedule.next_leaving(), None);
    assert_eq!(schedule.end(id(2), &a, End::Answered, now).unwrap().after, After::Cancel);
    check(&schedule);
    // A rest of the destination ends too.
    schedule.end(id(0), &a, unreachable(), now).unwrap();
    schedule.settle(id(0), &a, After::Keep, now);
    assert_eq!(schedule.next_due(now), None);
    assert!(schedule.retry(id(0), &a));
    assert_eq!(schedule.next_due(now).unwrap().id, id(0));
    check(&schedule);
}

/// The bound that the design states: 200 octets for each message at a destination, all told.
#[test]
fn an_entry_costs_at_most_200_octets() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let destinations: Vec<_> = (0..1000).map(|number| to(&format!("d{number}.example"))).collect();
    // One more than a power of two: the worst moment of a vector that doubles.
    for number in 0..131_073_u64 {
        let destination = &destinations[usize::try_from(number % 1000).unwrap()];
        let due =
            now + MINUTE * u32::try_from(number % 60).unwrap() + Duration::from_millis(number);
        schedule.add(Entry { due, ..entry(number, destination, now) }, now);
    }
    let each = schedule.octets() / schedule.len();
    assert!(each <= 200, "{each} octets an entry");
}

#[derive(Clone, Debug)]
enum Event {
    Add { message: u64, destination: usize, minutes_due: u32, minutes_expires: u32 },
    Next,
    PutBack(usize),
    End(usize, End),
    Settle(usize, bool),
    Leaving,
    Retry(u64, usize),
    Cancel(u64, usize),
    Forget(u64),
    Advance(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let add = (0..12_u64, 0..4_usize, 0..3_u32, 0..600_u32).prop_map(
        |(message, destination, minutes_due, minutes_expires)| Event::Add {
            message,
            destination,
            minutes_due,
            minutes_expires,
        },
    );
    let end = prop_oneof![
        3 => Just(End::Answered),
        2 => Just(unreachable()),
        1 => Just(End::NotTried),
    ];
    prop_oneof![
        6 => add,
        8 => Just(Event::Next),
        1 => (0..8_usize).prop_map(Event::PutBack),
        6 => (0..8_usize, end).prop_map(|(which, end)| Event::End(which, end)),
        6 => (0..8_usize, any::<bool>()).prop_map(|(which, keeps)| Event::Settle(which, keeps)),
        2 => Just(Event::Leaving),
        1 => (0..12_u64, 0..4_usize).prop_map(|(message, place)| Event::Retry(message, place)),
        1 => (0..12_u64, 0..4_usize).prop_map(|(message, place)| Event::Cancel(message, place)),
        1 => (0..12_u64).prop_map(Event::Forget),
        3 => (0..200_u32).prop_map(Event::Advance),
    ]
}

/// What a schedule should hold, written as plainly as can be.
#[derive(Default)]
struct Model {
    open: Vec<(MessageId, Destination)>,
    under_way: Vec<(MessageId, Destination)>,
    settling: Vec<(MessageId, Destination, After)>,
}

impl Model {
    fn apply(&mut self, schedule: &mut Schedule, event: Event, now: Instant) {
        let destinations = ["a.example", "b.example", "c.example", "d.example"].map(to);
        match event {
            Event::Add { message, destination, minutes_due, minutes_expires } => {
                let destination = &destinations[destination];
                let entry = Entry {
                    in_flight_max: 2,
                    due: now + MINUTE * minutes_due,
                    expires: now + MINUTE * minutes_expires,
                    ..entry(message, destination, now)
                };
                let key = (id(message), destination.clone());
                let is_new = !self.open.contains(&key);
                assert_eq!(schedule.add(entry, now), is_new);
                if is_new {
                    self.open.push(key);
                }
            }
            Event::Next => {
                if let Some(due) = schedule.next_due(now) {
                    let key = (due.id, due.destination);
                    assert!(self.open.contains(&key) && !self.under_way.contains(&key));
                    self.under_way.push(key);
                }
            }
            Event::PutBack(which) if which < self.under_way.len() => {
                let (id, destination) = self.under_way.swap_remove(which);
                schedule.put_back(id, &destination);
            }
            Event::End(which, end) if which < self.under_way.len() => {
                let (id, destination) = self.under_way.swap_remove(which);
                let ended = schedule.end(id, &destination, end.clone(), now).unwrap();
                assert_eq!(schedule.end(id, &destination, end, now), None, "an end counts once");
                self.settling.push((id, destination, ended.after));
            }
            Event::Settle(which, keeps) if which < self.settling.len() => {
                let (id, destination, after) = self.settling.swap_remove(which);
                let after = if keeps { after } else { After::Cancel };
                schedule.settle(id, &destination, after, now);
                if after != After::Keep {
                    self.open.retain(|it| *it != (id, destination.clone()));
                }
            }
            Event::Leaving => {
                if let Some(leaving) = schedule.next_leaving() {
                    let key = (leaving.id, leaving.destination);
                    assert!(self.open.contains(&key) && !self.under_way.contains(&key));
                    self.settling.push((key.0, key.1, After::Expire));
                }
            }
            Event::Retry(message, place) => {
                schedule.retry(id(message), &destinations[place]);
            }
            Event::Cancel(message, place) => {
                let found = schedule.cancel(id(message), &destinations[place]);
                let key = (id(message), destinations[place].clone());
                assert_eq!(found.is_some(), self.open.contains(&key));
            }
            Event::Forget(message) => {
                schedule.forget(id(message));
                let is_held = |key: &(MessageId, Destination)| {
                    self.under_way.contains(key)
                        || self.settling.iter().any(|it| (it.0, it.1.clone()) == *key)
                };
                self.open.retain(|key| key.0 != id(message) || is_held(key));
            }
            Event::Advance(_) | Event::PutBack(_) | Event::End(..) | Event::Settle(..) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens, each entry is in one place, none is lost, none is doubled; and when all is
    /// said and done, all of them come out.
    #[test]
    fn nothing_is_lost_or_doubled(events in prop::collection::vec(event(), 0..120)) {
        let mut now = start();
        let mut schedule = Schedule::new(Settings { in_flight_max: 5, ..settings() }, now);
        let mut model = Model::default();
        for event in events {
            if let Event::Advance(minutes) = &event {
                now += MINUTE * *minutes;
                schedule.advance(now);
            }
            model.apply(&mut schedule, event, now);
            check(&schedule);
            prop_assert_eq!(schedule.len(), model.open.len());
            prop_assert_eq!(schedule.in_flight(), model.under_way.len());
        }
        for _ in 0..1000 {
            for (id, destination) in std::mem::take(&mut model.under_way) {
                schedule.end(id, &destination, End::Answered, now).unwrap();
                model.settling.push((id, destination, After::Cancel));
            }
            for (id, destination, _) in std::mem::take(&mut model.settling) {
                schedule.settle(id, &destination, After::Cancel, now);
            }
            model.apply(&mut schedule, Event::Next, now);
            model.apply(&mut schedule, Event::Leaving, now);
            now = schedule.next_wake().unwrap_or(now);
        }
        check(&schedule);
        prop_assert!(schedule.is_empty(), "{} are left", schedule.len());
        prop_assert_eq!(schedule.octets(), 0);
    }
}
