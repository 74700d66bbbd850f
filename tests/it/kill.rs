//! kill -9 at random moments under load: what got its 250 arrives, whatever happens.
//!
//! `CHASQUI_KILL_ROUNDS` sets the number of kills, `CHASQUI_KILL_SEED` repeats the moments of a run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::harness::letter::{assert_same, behind_trace, letter};
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Received, Sink, Stage, say};
use crate::harness::smtp::Smtp;
use crate::harness::wait::wait_until;

const ROUNDS: u64 = 10;
const CLIENTS: u32 = 4;
/// The next hop's connections at the same time.
const CONNECTIONS: i64 = 4;
/// Messages that one kill may double: per connection the one being sent, and those whose outcome was
/// on its way to the disk.
const IN_FLIGHT: usize = 5 * 4;

/// A small generator, so that a seed repeats a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Acknowledged ids with the size of their letters.
type Promises = Arc<Mutex<BTreeMap<String, usize>>>;

/// Clients that send until they are told to stop, and what they were promised.
struct Load {
    order: Arc<Order>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients of one load share.
struct Order {
    server: SocketAddr,
    round: u64,
    next: AtomicU32,
    is_over: AtomicBool,
    promises: Promises,
}

impl Load {
    fn start(server: SocketAddr, round: u64, promises: &Promises) -> Self {
        let order = Arc::new(Order {
            server,
            round,
            next: AtomicU32::new(0),
            is_over: AtomicBool::new(false),
            promises: Arc::clone(promises),
        });
        let client = |_| {
            let order = Arc::clone(&order);
            // The end of a session by the kill is what this test is about, so it is no failure.
            thread::spawn(move || while !order.is_over() && order.send_until_cut().is_ok() {})
        };
        Self { clients: (0..CLIENTS).map(client).collect(), order }
    }

    fn end(self) {
        self.order.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client");
        }
    }
}

impl Order {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn send_until_cut(&self) -> std::io::Result<()> {
        let mut session = Smtp::try_open(self.server)?;
        while !self.is_over() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let id = format!("r{}-n{number}", self.round);
            // Small ones live in the database, every eighth in a file of another kind.
            let octets = if number % 8 == 7 { 150_000 } else { 500 + 37 * number as usize % 4000 };
            let content = letter(&id, octets);
            let reply =
                session.try_deliver("ana@sender.example", &["bo@receiver.example"], &content)?;
            if reply.code == 250 {
                self.promises.lock().expect("the promises").insert(id, octets);
            }
        }
        Ok(())
    }
}

/// Kills `rounds` times under load with `sink` as next hop, then lets everything arrive.
fn kill_and_count(sink: &Sink, relay: &mut Relay, random: &mut Random, rounds: u64) {
    let promises = Promises::default();
    let mut kills = Vec::new();
    for round in 0..rounds {
        let load = Load::start(relay.smtp(), round, &promises);
        let before = promises.lock().expect("the promises").len();
        wait_until("a promise", || promises.lock().expect("the promises").len() > before);
        thread::sleep(Duration::from_millis(random.below(400)));
        relay.kill();
        kills.push(Instant::now());
        load.end();
        relay.spawn();
        if random.below(4) == 0 {
            // A kill while it is still recovering.
            thread::sleep(Duration::from_millis(random.below(150)));
            relay.kill();
            kills.push(Instant::now());
            relay.spawn();
        }
        relay.wait_ready();
    }
    sink.set_script(|_| Act::Go);
    let promised = promises.lock().expect("the promises").clone();
    sink.wait_letters(promised.keys());
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    let received = sink.accepted();
    let arrived = sink.accepted_ids();
    let unacknowledged = arrived.iter().filter(|id| !promised.contains_key(*id)).count();
    let duplicates = explained_duplicates(&received, &kills);
    for message in &received {
        let id = message.id().expect("an id");
        if let Some(&octets) = promised.get(&id) {
            assert_same(&id, behind_trace(&message.content), &letter(&id, octets));
        }
    }
    eprintln!(
        "{} kills: promised {}, lost 0, duplicates {duplicates}, arrived without a promise {unacknowledged}",
        kills.len(),
        promised.len()
    );
}

/// Counts the messages that came more than once. Each repetition must have a kill between its two
/// receptions, and no kill explains more of them than were in flight.
fn explained_duplicates(received: &[Received], kills: &[Instant]) -> usize {
    let mut by_id: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for message in received {
        by_id.entry(message.id().expect("an id")).or_default().push(message.at);
    }
    let mut per_kill = vec![0; kills.len()];
    for (id, times) in &by_id {
        for pair in times.windows(2) {
            let kill = kills.iter().position(|&kill| pair[0] <= kill && kill <= pair[1]);
            let kill = kill.unwrap_or_else(|| panic!("{id} came twice without a kill between"));
            let before = kills[kill] - pair[0];
            assert!(
                before < Duration::from_secs(5),
                "{id} came {before:?} before the kill and again"
            );
            per_kill[kill] += 1;
        }
    }
    eprintln!("duplicates at each kill: {per_kill:?}");
    assert!(per_kill.iter().all(|&count| count <= IN_FLIGHT), "{per_kill:?}");
    per_kill.iter().sum()
}

fn random(name: &str) -> Random {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_nanos();
    let seed = setting("CHASQUI_KILL_SEED", u64::try_from(now & 0xffff_ffff).expect("32 bits") | 1);
    eprintln!("{name}: CHASQUI_KILL_SEED={seed}");
    Random(seed)
}

#[test]
fn kill_under_load_loses_nothing() {
    let mut random = random("kill under load");
    let sink = Sink::start();
    let settings =
        Settings::towards(sink.address()).set("outbound.0.limits.connections_max", CONNECTIONS);
    let mut relay = Relay::start(settings);
    let rounds = setting("CHASQUI_KILL_ROUNDS", ROUNDS);
    kill_and_count(&sink, &mut relay, &mut random, rounds);
}

/// With a next hop that refuses most of the time, so that the spool is full and outcomes of every kind
/// are being written at the kill.
#[test]
fn kill_with_a_failing_next_hop_loses_nothing() {
    let mut random = random("kill with a failing next hop");
    let dice = Mutex::new(Random(random.next() | 1));
    let sink = Sink::scripted(move |event| {
        let roll = dice.lock().expect("dice").below(10);
        match (event.stage, roll) {
            (Stage::Rcpt, 0..3) => say("450 4.2.0 not now"),
            (Stage::Dot, 3) => Act::Close,
            (Stage::Dot, 4) => say("451 4.3.0 not now"),
            (Stage::Greeting, 5) => Act::SayAndClose("421 4.3.2 busy".to_owned()),
            _ => Act::Go,
        }
    });
    let settings =
        Settings::towards(sink.address()).set("outbound.0.limits.connections_max", CONNECTIONS);
    let mut relay = Relay::start(settings);
    let rounds = setting("CHASQUI_KILL_ROUNDS", ROUNDS).div_ceil(2);
    kill_and_count(&sink, &mut relay, &mut random, rounds);
}
