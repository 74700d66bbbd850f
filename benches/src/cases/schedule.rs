//! What is due, with much or little that waits.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be set up shall stop")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use mail::{Destination, Domain, MessageId, Timestamp};
use schedule::{After, Backoff, Due, End, Entry, Schedule, Settings, Urgency};
use units::Clock;

use crate::case::{Amount, Case};

const BEGAN_MILLIS: u64 = 1_795_286_760_000;
/// Long enough that no run of a measurement comes to it.
const EXPIRES_AFTER: Duration = Duration::from_hours(24 * 365 * 100);
/// Entries of one destination, on the average.
const ENTRIES_PER_DESTINATION: usize = 20;

pub(super) fn cases() -> Vec<Case> {
    let sizes = [("1k", 1_000), ("100k", 100_000)];
    let large = ("1M", 1_000_000);
    let mut cases = Vec::new();
    cases.extend(sizes.map(|(input, entries)| deliver(input, entries)));
    cases.push(deliver(large.0, large.1).timed_at_length());
    cases.extend(sizes.map(|(input, entries)| defer(input, entries)));
    cases.push(defer(large.0, large.1).timed_at_length());
    cases.push(fill("1k", 1_000));
    cases.push(fill("100k", 100_000).timed_at_length());
    cases.push(fill(large.0, large.1).timed_at_length());
    cases
}

/// A new message goes at once and is delivered, while so many others wait for their time.
fn deliver(input: &'static str, waiting: usize) -> Case {
    Case::new("schedule_deliver", input, Amount::Elements(1), move || {
        let now = Clock::system().now();
        let destinations = destinations(waiting);
        let mut schedule = filled(&entries(waiting, &destinations, now), now);
        let mut numbers = (waiting..).zip((0..destinations.len()).cycle());
        move || {
            let (number, place) = numbers.next().unwrap();
            let destination = destinations.get(place).unwrap();
            let entry = Entry { due: now, ..entry(number, destination, now) };
            assert!(schedule.add(black_box(entry), now), "the entry was there");
            let due = schedule.next_due(now).unwrap();
            end(&mut schedule, &due, After::Remove, now);
        }
    })
}

/// The entry that is due next is tried and deferred, so it goes to the end of the timers.
fn defer(input: &'static str, waiting: usize) -> Case {
    Case::new("schedule_defer", input, Amount::Elements(1), move || {
        let began = Clock::system().now();
        let destinations = destinations(waiting);
        let mut schedule = filled(&entries(waiting, &destinations, began), began);
        move || {
            let now = schedule.next_wake().unwrap();
            let due = schedule.next_due(now).unwrap();
            end(&mut schedule, &due, After::Keep, now);
            while let Some(due) = schedule.next_due(now) {
                end(&mut schedule, &due, After::Keep, now);
            }
        }
    })
}

/// An empty schedule takes so many entries, as after a restart, and is dropped.
fn fill(input: &'static str, count: usize) -> Case {
    Case::new("schedule_fill", input, Amount::Elements(count), move || {
        let now = Clock::system().now();
        let entries = entries(count, &destinations(count), now);
        move || {
            black_box(filled(&entries, now));
        }
    })
}

fn end(schedule: &mut Schedule, due: &Due, after: After, now: Instant) {
    let ended = schedule.end(due.id, &due.destination, End::Answered, now);
    assert!(black_box(ended).is_some(), "the entry was not under way");
    schedule.settle(due.id, &due.destination, after, now);
}

fn filled(entries: &[Entry], now: Instant) -> Schedule {
    let backoff = |first, longest| Backoff { first, factor: 2.0, rest_max: longest };
    let settings = Settings {
        connect: backoff(Duration::from_mins(1), Duration::from_mins(30)),
        reply: backoff(Duration::from_mins(5), Duration::from_hours(4)),
        in_flight_max: 10_000,
        random_seed: 1,
    };
    let mut schedule = Schedule::new(settings, now);
    for entry in entries {
        assert!(schedule.add(entry.clone(), now), "the entry was there");
    }
    schedule
}

fn destinations(entries: usize) -> Vec<Destination> {
    let domain = |number: usize| Domain::parse(&format!("customer{number}.example")).unwrap();
    let count = (entries / ENTRIES_PER_DESTINATION).max(1);
    (0..count).map(|number| Destination::exchangers("internet", domain(number))).collect()
}

/// Entries that rest for up to four hours.
fn entries(count: usize, destinations: &[Destination], now: Instant) -> Vec<Entry> {
    let pairs = (0..count).zip(destinations.iter().cycle());
    pairs.map(|(number, destination)| entry(number, destination, now)).collect()
}

fn entry(number: usize, destination: &Destination, now: Instant) -> Entry {
    let number = number as u64;
    // A multiplier that has no factor in common with the span spreads the times over it.
    let rest = Duration::from_millis(1 + number.wrapping_mul(7_368_787) % 14_400_000);
    Entry {
        id: MessageId::new(BEGAN_MILLIS + number, u128::from(number.wrapping_mul(0x9e37_79b9))),
        destination: destination.clone(),
        in_flight_max: 20,
        received_at: Timestamp::from_millis(BEGAN_MILLIS + number),
        tries: 1,
        due: now + rest,
        deadline: now + EXPIRES_AFTER,
        is_exact: false,
        urgency: Urgency::Usual,
    }
}
