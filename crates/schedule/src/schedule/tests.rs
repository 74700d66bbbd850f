use std::collections::BTreeMap;

use mail::{Domain, Reply};
use proptest::prelude::*;

use super::outcome::{After, Cancel, End, Why};
use super::view::Counts;
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
        deadline: now + 5 * 24 * 60 * MINUTE,
        is_exact: false,
        urgency: Urgency::Usual,
    }
}

fn unreachable() -> End {
    End::Unreachable(Reply::new(451, None, "connection refused"))
}

/// Each entry stands in exactly one place, counts are right, nothing is left of what is gone.
fn check(schedule: &Schedule) {
    let mut at = BTreeMap::new();
    let mut stand = |key: u32, what: At| assert_eq!(at.insert(key, what), None, "{key} twice");
    let entries = || schedule.entries.iter_from(0);
    for (key, place) in schedule.places.iter_from(0) {
        assert_eq!(schedule.destinations.get(&place.destination), Some(key));
        check_place(schedule, key, place);
        place.ready.keys(&schedule.entries).into_iter().for_each(|key| stand(key, At::Ready));
    }
    schedule.leaving.keys(&schedule.entries).iter().for_each(|key| stand(*key, At::Leaving));
    schedule.under_way.keys(&schedule.entries).iter().for_each(|key| stand(*key, At::InFlight));
    let [near, far, places] = schedule.timers.all(&schedule.entries);
    for (due, key) in near {
        assert_eq!(schedule.entries[key].due, due);
        stand(key, At::Resting);
    }
    for (_, key) in far {
        stand(key, At::RestingLong);
    }
    for (until, key) in &places {
        assert_eq!(schedule.places[*key].health, Health::Rest(*until));
    }
    check_deadlines(schedule);
    let is_resting = |place: &Place| matches!(place.health, Health::Rest(_));
    let resting = schedule.places.iter_from(0).filter(|(_, it)| is_resting(it));
    assert_eq!(places.len(), resting.count());
    for (key, entry) in entries() {
        if matches!(entry.at, At::Lingering | At::Settling | At::SettlingReady) {
            stand(key, entry.at);
        }
    }
    for (key, entry) in entries() {
        assert_eq!(at.get(&key), Some(&entry.at), "{key} is nowhere");
        assert!(schedule.chain(entry.id()).any(|it| it == key), "{key} is of no message");
    }
    assert_eq!(at.len(), schedule.entries.len());
    assert_eq!(schedule.destinations.len(), schedule.places.len());
    let firsts = schedule.messages.behind(None, &schedule.entries);
    let chained: usize = firsts.map(|first| schedule.chain_from(Some(first)).count()).sum();
    assert_eq!(chained, at.len());
    let under_way = entries().filter(|(_, it)| it.at.is_under_way());
    assert_eq!(schedule.in_flight(), under_way.count());
    let turns = schedule.places.iter_from(0).filter(|(_, it)| it.turn.is_some()).count();
    assert_eq!(schedule.round.keys(&schedule.places).len(), turns);
    let count = |state| schedule.entries().filter(|it| it.state == state).count();
    let (ready, resting) = (count(State::Ready), count(State::Resting));
    let want = Counts { ready, resting, in_flight: count(State::InFlight) };
    assert_eq!(schedule.counts(), want);
}

/// Each exact deadline that is to come has its timer, and no other.
fn check_deadlines(schedule: &Schedule) {
    let timed = schedule.timers.deadlines();
    for (at, key) in timed {
        let entry = &schedule.entries[*key];
        assert_eq!((entry.is_exact, entry.deadline), (true, *at));
    }
    for (key, entry) in schedule.entries.iter_from(0).filter(|(_, it)| it.is_exact) {
        let is_over = entry.deadline <= schedule.now;
        assert!(is_over || timed.contains(&(entry.deadline, key)), "{key} has no timer");
    }
}

fn check_place(schedule: &Schedule, key: u32, place: &Place) {
    assert!(place.entries > 0, "an empty destination stays");
    let ready = place.ready.keys(&schedule.entries);
    assert_eq!(ready.len(), wide(place.ready.len()));
    let deadline = ready.iter().map(|key| schedule.entries[*key].deadline).min();
    assert!(place.ready.is_looking() || deadline.is_none_or(|at| place.deadline <= at));
    assert!(!place.ready.is_looking() || schedule.looking.contains(&key));
    assert_eq!(place.turn.is_some(), place.has_due());
    if let Some(turn) = place.turn {
        let line = if place.pace == Pace::Brisk { 0 } else { place.in_flight };
        assert_eq!((turn.pace, turn.line), (place.pace, line));
        assert!(schedule.round.keys(&schedule.places).contains(&key));
    }
    if let Health::Rest(until) = place.health {
        assert!(schedule.timers.all(&schedule.entries)[2].contains(&(until, key)));
    }
    let mine = || schedule.entries.iter_from(0).filter(|(_, it)| it.place == key);
    let count = |is: fn(At) -> bool| mine().filter(|(_, it)| is(it.at)).count();
    assert_eq!(mine().count(), wide(place.entries));
    assert_eq!(count(|at| matches!(at, At::Resting | At::RestingLong)), wide(place.resting));
    assert_eq!(count(At::is_under_way), wide(place.in_flight));
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
        assert_eq!((ended.tries, ended.is_cancelled), (1, false));
        schedule.settle(due.id, &due.destination, After::Remove, now);
        check(&schedule);
    }
    assert!(schedule.is_empty() && schedule.timers.is_empty() && schedule.round.is_empty());
    assert!(schedule.looking.is_empty() && schedule.under_way.is_empty());
    assert_eq!((schedule.octets(), schedule.next_wake(), schedule.oldest_at()), (0, None, None));
}

#[test]
fn a_destination_that_is_held_rests_without_a_failure() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let (a, full) = (to("a.example"), Reply::new(451, None, "enough for today"));
    schedule.add(entry(1, &a, now), now);
    schedule.add(Entry { deadline: now + 5 * MINUTE, ..entry(2, &a, now) }, now);
    let mut at = now;
    for _ in 0..2 {
        let due = schedule.next_due(at).unwrap();
        schedule.put_back(due.id, &a);
        schedule.hold(&a, full.clone(), at + 10 * MINUTE, at);
        check(&schedule);
        assert_eq!(schedule.next_due(at), None);
        let view = schedule.entries_of(id(1)).next().unwrap();
        assert_eq!((view.state, view.tries, view.last_failure), (State::Resting, 0, Some(&full)));
        at += 10 * MINUTE;
        assert_eq!(schedule.next_wake(), Some(at));
    }
    // What is past its deadline left with the second rest.
    let leaving = schedule.next_leaving().unwrap();
    assert_eq!((leaving.id, leaving.why), (id(2), Why::Late(Some(full))));
    assert_eq!(schedule.next_leaving(), None);
    assert_eq!(schedule.next_due(at).unwrap().id, id(1));
    schedule.end(id(1), &a, End::Answered, at).unwrap();
    schedule.settle(id(1), &a, After::Remove, at);
    check(&schedule);
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
        assert_eq!((ended.tries, ended.is_cancelled), (1, false));
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
        schedule.settle(due.id, &due.destination, After::Remove, now);
    }
    assert_eq!(delivered, 10);
}

#[test]
fn limits_hold_per_destination_and_in_all() {
    let now = start();
    let mut schedule = Schedule::new(Settings { in_flight_max: 5, ..settings() }, now);
    let names = ["a.example", "b.example", "c.example"];
    for name in names {
        for number in 0..6 {
            schedule.add(Entry { in_flight_max: 2, ..entry(number, &to(name), now) }, now);
        }
    }
    let proven = std::iter::from_fn(|| schedule.next_due(now)).collect::<Vec<_>>();
    assert_eq!(proven.len(), 3, "one of each, as nothing is known of them");
    for due in proven {
        schedule.end(due.id, &due.destination, End::Answered, now).unwrap();
        schedule.settle(due.id, &due.destination, After::Remove, now);
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
fn a_deadline_is_noticed_after_a_last_try() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    let old = Entry { deadline: now + MINUTE, ..entry(1, &a, now) };
    schedule.add(old.clone(), now);
    schedule.next_due(now).unwrap();
    let ended = schedule.end(id(1), &a, End::Answered, now).unwrap();
    assert_eq!(ended.next_try, now + MINUTE, "the last try is not late");
    schedule.settle(id(1), &a, After::Keep, now);
    let last = schedule.next_due(now + MINUTE).unwrap();
    let ended = schedule.end(last.id, &a, End::Answered, now + MINUTE).unwrap();
    assert_eq!(ended.tries, 2);
    // What is too old from the start, as after a long stop, gets one try all the same.
    schedule.add(Entry { id: id(2), deadline: now, ..old }, now + MINUTE);
    let last = schedule.next_due(now + MINUTE).unwrap();
    assert!(schedule.end(last.id, &a, unreachable(), now + MINUTE).is_some());
    check(&schedule);
}

#[test]
fn deadlines_at_a_dead_destination_are_noticed_when_a_probe_fails() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    schedule.add(entry(1, &a, now), now);
    let due = schedule.next_due(now).unwrap();
    schedule.add(Entry { deadline: now + MINUTE / 10, ..entry(2, &a, now) }, now);
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
    schedule.settle(id(2), &a, After::Remove, wake);
    schedule.add(Entry { deadline: wake, ..entry(4, &a, wake) }, wake);
    let probe = schedule.next_due(wake).unwrap();
    assert_eq!(probe.id, id(3));
    schedule.end(probe.id, &a, unreachable(), wake).unwrap();
    let leaving = schedule.next_leaving().unwrap();
    let words = Reply::new(451, None, "connection refused");
    assert_eq!((leaving.id, leaving.why), (id(4), Why::Late(Some(words))));
    check(&schedule);
}

/// Word of a delay is given, and the message is tried on until its next deadline.
#[test]
fn what_is_past_its_deadline_may_wait_on_for_the_next_one() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    schedule.add(Entry { deadline: now + MINUTE, ..entry(1, &a, now) }, now);
    schedule.next_due(now).unwrap();
    schedule.end(id(1), &a, End::Answered, now).unwrap();
    schedule.settle(id(1), &a, After::Keep, now);
    let late = now + MINUTE;
    schedule.next_due(late).unwrap();
    schedule.end(id(1), &a, End::Answered, late).unwrap();
    let last = now + 60 * MINUTE;
    let after = After::KeepUntil { deadline: last, is_exact: false };
    schedule.settle(id(1), &a, after, late);
    check(&schedule);
    assert_eq!(schedule.next_due(late), None, "it rests again");
    assert_eq!(schedule.next_due(last).unwrap().tries, 2);
}

/// An exact deadline waits for no try: at rest, at a dead destination, behind others, under way.
#[test]
fn an_exact_deadline_comes_up_in_time() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let (a, b) = (to("a.example"), to("b.example"));
    let by = now + Duration::from_secs(20);
    let exact = |number, at| Entry { deadline: by, is_exact: true, ..entry(number, at, now) };
    schedule.add(exact(1, &a), now);
    schedule.next_due(now).unwrap();
    schedule.end(id(1), &a, unreachable(), now).unwrap();
    schedule.settle(id(1), &a, After::Keep, now);
    schedule.add(Entry { due: now + 60 * MINUTE, ..exact(2, &a) }, now);
    schedule.add(Entry { in_flight_max: 1, ..exact(3, &b) }, now);
    schedule.add(Entry { in_flight_max: 1, ..exact(4, &b) }, now);
    assert_eq!(schedule.next_due(now).unwrap().id, id(3));
    assert_eq!((schedule.next_leaving(), schedule.next_wake()), (None, Some(by)));
    check(&schedule);
    schedule.advance(by);
    check(&schedule);
    let left: Vec<_> = std::iter::from_fn(|| schedule.next_leaving()).map(|it| it.id).collect();
    assert_eq!(left, [id(1), id(2), id(4)]);
    schedule.end(id(3), &b, End::Answered, by).unwrap();
    for (number, at) in [(1, &a), (2, &a), (3, &b), (4, &b)] {
        let after = After::KeepUntil { deadline: now + 600 * MINUTE, is_exact: number == 4 };
        schedule.settle(id(number), at, after, by);
    }
    check(&schedule);
    assert_eq!((schedule.len(), schedule.next_leaving()), (4, None));
    schedule.forget(id(4));
    check(&schedule);
    // One that is put back after its time leaves all the same.
    schedule.add(exact(5, &to("c.example")), now);
    assert_eq!(schedule.next_due(now).unwrap().id, id(5), "before anything was looked at");
    schedule.advance(by);
    schedule.put_back(id(5), &to("c.example"));
    schedule.advance(by);
    assert_eq!(schedule.next_leaving().unwrap().id, id(5));
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
    assert_eq!(schedule.cancelled_len(), 1, "the one that waited");
    assert_eq!(schedule.next_leaving().unwrap().id, id(1));
    assert_eq!(schedule.next_leaving(), None);
    assert_eq!(schedule.cancel(id(1), &a), Some(Cancel::AfterThisTry));
    assert_eq!(schedule.cancelled_len(), 1, "the spool has it");
    schedule.settle(id(1), &a, After::Remove, now);
    assert_eq!(schedule.cancelled_len(), 0);
    assert!(schedule.end(id(2), &a, End::Answered, now).unwrap().is_cancelled);
    check(&schedule);
    // A rest of the destination ends too.
    schedule.end(id(0), &a, unreachable(), now).unwrap();
    schedule.settle(id(0), &a, After::Keep, now);
    assert_eq!(schedule.next_due(now), None);
    assert!(schedule.retry(id(0), &a));
    assert_eq!(schedule.next_due(now).unwrap().id, id(0));
    check(&schedule);
}

/// The doc comment says some 70 octets for an entry that rests.
#[test]
fn an_entry_costs_some_70_octets() {
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
    assert!(each <= 80, "{each} octets an entry");
}

/// The doc comment says some 250 octets for a destination; nothing is left of a million of them.
#[test]
fn many_destinations_cost_little_and_leave_nothing() {
    let now = start();
    let mut schedule = Schedule::new(Settings { in_flight_max: 500, ..settings() }, now);
    for number in 0..50_000 {
        schedule.add(entry(number, &to(&format!("d{number}.example")), now), now);
    }
    let each = schedule.octets() / schedule.places_len();
    assert!(each <= 250, "{each} octets a destination with its entry, but for its name");
    let mut delivered = 0_u32;
    while let Some(due) = schedule.next_due(now) {
        // Each third is answered, refused, or out of reach, and then cancelled.
        let end = if delivered.is_multiple_of(3) { unreachable() } else { End::Answered };
        schedule.end(due.id, &due.destination, end, now).unwrap();
        schedule.settle(due.id, &due.destination, After::Remove, now);
        delivered += 1;
    }
    assert_eq!((delivered, schedule.places_len(), schedule.octets()), (50_000, 0, 0));
    assert_eq!((schedule.next_wake(), schedule.in_flight()), (None, 0));
}

/// A hundred destinations that take mail and never answer do not keep slots from one that does.
#[test]
fn slow_destinations_do_not_hold_all_slots() {
    let mut now = start();
    let mut schedule = Schedule::new(Settings { in_flight_max: 100, ..settings() }, now);
    let slow: Vec<_> = (0..100).map(|number| to(&format!("slow{number}.example"))).collect();
    let brisk = to("brisk.example");
    for number in 0..2000_u64 {
        let to = &slow[usize::try_from(number % 100).unwrap()];
        schedule.add(entry(number, to, now), now);
        schedule.add(entry(10_000 + number, &brisk, now), now);
    }
    // Each end of a slow attempt takes five minutes, that of a brisk one a tenth of a second.
    let mut held: Vec<(Instant, Due)> = Vec::new();
    let (mut delivered, mut most) = (0, 0);
    for _ in 0..600 {
        while let Some(due) = schedule.next_due(now) {
            if due.destination == brisk {
                schedule.end(due.id, &brisk, End::Answered, now).unwrap();
                schedule.settle(due.id, &brisk, After::Remove, now);
                delivered += 1;
                if delivered % 20 == 0 {
                    break;
                }
            } else {
                held.push((now + 5 * MINUTE, due));
            }
        }
        now += Duration::from_millis(100);
        schedule.advance(now);
        most = most.max(held.len());
        for (_, due) in held.extract_if(.., |(end, _)| *end <= now) {
            schedule.end(due.id, &due.destination, unreachable(), now).unwrap();
            schedule.settle(due.id, &due.destination, After::Keep, now);
        }
    }
    check(&schedule);
    assert_eq!(delivered, 2000, "all of the brisk one's, long before a slow attempt ends");
    assert!(most <= 75, "slow ones held {most} of 100 slots");
    // Once each of them had its first attempt they hold at most half, and a new one is let in at once.
    for _ in 0..3 {
        now += 5 * MINUTE;
        schedule.advance(now);
        for (_, due) in std::mem::take(&mut held) {
            schedule.end(due.id, &due.destination, End::Answered, now).unwrap();
            schedule.settle(due.id, &due.destination, After::Remove, now);
        }
        held.extend(std::iter::from_fn(|| schedule.next_due(now)).map(|due| (now, due)));
    }
    assert!(held.len() <= 50, "{} of 100 slots", held.len());
    schedule.add(entry(50_000, &to("new.example"), now), now);
    assert_eq!(schedule.next_due(now).unwrap().destination, to("new.example"));
    check(&schedule);
}

/// One long message among short ones does not make a destination slow.
#[test]
fn a_destination_is_slow_only_while_nothing_ends_soon() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    for number in 0..10 {
        schedule.add(entry(number, &a, now), now);
    }
    let pace = |schedule: &Schedule| schedule.places.iter_from(0).next().unwrap().1.pace;
    let end = |schedule: &mut Schedule, due: Due, at: Instant| {
        schedule.end(due.id, &due.destination, End::Answered, at).unwrap();
        schedule.settle(due.id, &due.destination, After::Remove, at);
    };
    let seconds = |seconds| now + Duration::from_secs(seconds);
    let (long, short) = (schedule.next_due(now).unwrap(), schedule.next_due(now).unwrap());
    assert_eq!(pace(&schedule), Pace::New);
    end(&mut schedule, short, seconds(2));
    schedule.advance(seconds(10));
    assert_eq!(pace(&schedule), Pace::Brisk, "the long one lingers, the short one was answered");
    let next = schedule.next_due(seconds(10)).unwrap();
    schedule.advance(seconds(20));
    assert_eq!(pace(&schedule), Pace::Slow, "nothing has ended for a while");
    end(&mut schedule, long, seconds(21));
    assert_eq!(pace(&schedule), Pace::Slow);
    let soon = schedule.next_due(seconds(21)).unwrap();
    end(&mut schedule, soon, seconds(22));
    assert_eq!(pace(&schedule), Pace::Brisk);
    end(&mut schedule, next, seconds(23));
    assert_eq!(pace(&schedule), Pace::Brisk);
    check(&schedule);
}

/// After a long stop a million may be due at once: each call does a slice of them.
#[test]
fn much_that_is_due_at_once_is_done_in_slices() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    for number in 0..10_000 {
        let due = now + MINUTE + Duration::from_millis(number % 100);
        schedule.add(Entry { due, ..entry(number, &a, now) }, now);
    }
    let later = now + 2 * MINUTE;
    let mut calls = 0;
    while schedule.counts().resting > 0 {
        assert!(schedule.next_wake().unwrap() <= later);
        schedule.advance(later);
        calls += 1;
    }
    assert_eq!((calls, schedule.counts().ready, schedule.next_wake()), (3, 10_000, None));
    check(&schedule);
}

/// A hundred thousand messages that are too old at a destination that fails leave in slices, too.
#[test]
fn much_that_is_too_old_at_once_leaves_in_slices() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    for number in 0..10_000 {
        let deadline = now + if number % 2 == 0 { MINUTE / 2 } else { 600 * MINUTE };
        schedule.add(Entry { deadline, ..entry(number, &a, now) }, now);
    }
    let first = schedule.next_due(now).unwrap();
    schedule.end(first.id, &a, unreachable(), now).unwrap();
    assert!(schedule.looking.is_empty(), "nothing is too old yet, so nothing is looked at");
    let wake = schedule.next_wake().unwrap();
    let probe = schedule.next_due(wake).unwrap();
    schedule.end(probe.id, &a, unreachable(), wake).unwrap();
    let mut calls = 1;
    while !schedule.looking.is_empty() {
        assert!(schedule.next_wake().unwrap() <= wake);
        schedule.advance(wake);
        calls += 1;
    }
    assert_eq!(calls, 3);
    let gone = std::iter::from_fn(|| schedule.next_leaving()).count();
    assert_eq!(gone, 4_999, "half of them but for the first, which is settled");
    let keys = schedule.places.iter_from(0).next().unwrap().1.ready.keys(&schedule.entries);
    let left: Vec<_> = keys.iter().map(|key| schedule.entries[*key].id()).collect();
    assert!(left.is_sorted(), "the order stays");
    check(&schedule);
}

#[test]
fn a_list_goes_on_where_it_was_and_a_destination_is_found_by_its_name() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let (a, b) = (to("a.example"), Destination::smart_host("partner/a.example"));
    for number in 0..300 {
        schedule.add(entry(number, &a, now), now);
        schedule.add(entry(number, &b, now), now);
    }
    let behind: Vec<_> = schedule.entries_behind(Some(id(297))).map(|it| it.id).collect();
    assert_eq!(behind, [id(298), id(298), id(299), id(299)]);
    assert_eq!((schedule.entries().count(), schedule.newest()), (600, Some(id(299))));
    assert_eq!((schedule.entries_at(&a), schedule.place(&a).unwrap().ready), (300, 300));
    assert_eq!(
        (schedule.entries_at(&to("c.example")), schedule.place(&to("c.example"))),
        (0, None)
    );
    for destination in [a, b] {
        assert_eq!(schedule.destination(&destination.to_string()), Some(destination));
    }
    for unknown in ["internet", "internet/b.example", "partner", "", "/"] {
        assert_eq!(schedule.destination(unknown), None);
    }
}

/// What is urgent goes first, and nobody waits for ever; what comes back from delivery keeps its place.
#[test]
fn what_is_urgent_goes_first_and_starves_nobody() {
    let now = start();
    let mut schedule = Schedule::new(settings(), now);
    let a = to("a.example");
    let kinds = [Urgency::Patient, Urgency::Usual, Urgency::Urgent];
    for number in 0..60 {
        let urgency = kinds[usize::try_from(number / 20).unwrap()];
        schedule.add(Entry { urgency, in_flight_max: 100, ..entry(number, &a, now) }, now);
    }
    let first = schedule.next_due(now).unwrap();
    assert_eq!(first.id, id(40));
    schedule.put_back(first.id, &a);
    check(&schedule);
    let taken: Vec<_> = std::iter::from_fn(|| schedule.next_due(now)).map(|due| due.id).collect();
    let kind = |at: &MessageId| (at.unix_millis() - 1_000_000) / 20;
    let among_first = |which| taken[..15].iter().filter(|at| kind(at) == which).count();
    assert_eq!([0, 1, 2].map(among_first), [1, 3, 11]);
    for which in 0..3 {
        let of_kind: Vec<_> = taken.iter().filter(|at| kind(at) == which).collect();
        assert_eq!((of_kind.len(), of_kind.is_sorted()), (20, true), "in order");
    }
    for number in 0..60 {
        schedule.end(id(number), &a, End::NotTried, now).unwrap();
        schedule.settle(id(number), &a, After::Remove, now);
    }
    assert!(schedule.is_empty() && schedule.octets() == 0);
}

#[test]
fn priorities_are_of_three_kinds() {
    let of = |value| Urgency::of(mail::Priority::new(value));
    assert_eq!([9, 4, 1].map(of), [Urgency::Urgent; 3]);
    assert_eq!([-1, -4, -9].map(of), [Urgency::Patient; 3]);
    assert_eq!([of(0), Urgency::of(None)], [Urgency::Usual; 2]);
}

#[derive(Clone, Debug)]
enum Event {
    Add {
        message: u64,
        destination: usize,
        /// Until it is due, and until its deadline.
        minutes: (u32, u32),
        is_exact: bool,
        urgency: Urgency,
    },
    Next,
    PutBack(usize),
    End(usize, End),
    Settle(usize, bool),
    Leaving,
    Retry(u64, usize),
    Cancel(u64, usize),
    Forget(u64),
    /// So many minutes pass.
    Advance(u32),
    /// So many seconds pass.
    Pass(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let urgency = prop::sample::select(&[Urgency::Urgent, Urgency::Usual, Urgency::Patient]);
    let minutes = (0..3_u32, 0..600_u32);
    let add = (0..12_u64, 0..4_usize, minutes, any::<bool>(), urgency).prop_map(
        |(message, destination, minutes, is_exact, urgency)| Event::Add {
            message,
            destination,
            minutes,
            is_exact,
            urgency,
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
        2 => (0..12_u32).prop_map(Event::Pass),
    ]
}

/// What a schedule should hold, written as plainly as can be.
#[derive(Default)]
struct Model {
    open: Vec<(MessageId, Destination)>,
    under_way: Vec<(MessageId, Destination)>,
    /// And whether an operator took it out.
    settling: Vec<(MessageId, Destination, bool)>,
}

impl Model {
    fn apply(&mut self, schedule: &mut Schedule, event: Event, now: Instant) {
        let destinations = ["a.example", "b.example", "c.example", "d.example"].map(to);
        match event {
            Event::Add { message, destination, minutes, is_exact, urgency } => {
                let destination = &destinations[destination];
                let entry = Entry {
                    in_flight_max: 2,
                    due: now + MINUTE * minutes.0,
                    deadline: now + MINUTE * minutes.1,
                    is_exact,
                    urgency,
                    ..entry(message, destination, now)
                };
                let key = (id(message), destination.clone());
                let is_new = !self.open.contains(&key);
                assert_eq!(schedule.add(entry, now), is_new);
                self.open.extend(is_new.then_some(key));
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
                self.settling.push((id, destination, ended.is_cancelled));
            }
            Event::Settle(which, keeps) if which < self.settling.len() => {
                self.settle(schedule, (which, keeps), now);
            }
            Event::Leaving => {
                if let Some(leaving) = schedule.next_leaving() {
                    let key = (leaving.id, leaving.destination);
                    assert!(self.open.contains(&key) && !self.under_way.contains(&key));
                    self.settling.push((key.0, key.1, false));
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
            Event::Advance(_)
            | Event::Pass(_)
            | Event::PutBack(_)
            | Event::End(..)
            | Event::Settle(..) => {}
        }
    }

    fn settle(&mut self, schedule: &mut Schedule, (which, keeps): (usize, bool), now: Instant) {
        let (id, destination, is_cancelled) = self.settling.swap_remove(which);
        let after = match (keeps && !is_cancelled, which % 2) {
            (false, _) => After::Remove,
            (true, 0) => {
                After::KeepUntil { deadline: now + 90 * MINUTE, is_exact: which.is_multiple_of(4) }
            }
            (true, _) => After::Keep,
        };
        schedule.settle(id, &destination, after, now);
        if after == After::Remove {
            self.open.retain(|it| *it != (id, destination.clone()));
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
            let passed = match &event {
                Event::Advance(minutes) => MINUTE * *minutes,
                Event::Pass(seconds) => Duration::from_secs(u64::from(*seconds)),
                _ => Duration::ZERO,
            };
            if passed > Duration::ZERO {
                now += passed;
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
                model.settling.push((id, destination, true));
            }
            for (id, destination, _) in std::mem::take(&mut model.settling) {
                schedule.settle(id, &destination, After::Remove, now);
            }
            model.apply(&mut schedule, Event::Next, now);
            model.apply(&mut schedule, Event::Leaving, now);
            // Time never stands still: what was put back late may have a deadline that is over.
            now = schedule.next_wake().unwrap_or(now).max(now + Duration::from_millis(1));
        }
        check(&schedule);
        prop_assert!(schedule.is_empty(), "{} are left", schedule.len());
        prop_assert_eq!(schedule.octets(), 0);
    }
}
