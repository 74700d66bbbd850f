//! SIGTERM ends the relay in good order and loses nothing; systemd is told.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::letter::letter;
use crate::harness::relay::{Plan, Relay};
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Received, Sink, Stage};
use crate::harness::smtp::{Smtp, stuffed};
use crate::harness::wait::{PATIENCE, wait_for, wait_until};

/// A door that scripts wait at until the test opens it.
#[derive(Default)]
struct Door {
    is_open: Mutex<bool>,
    changed: Condvar,
    /// How many wait or waited.
    waited: Mutex<usize>,
}

impl Door {
    fn wait(&self) {
        *self.waited.lock().expect("a door") += 1;
        let is_open = self.is_open.lock().expect("a door");
        let wait = self.changed.wait_timeout_while(is_open, PATIENCE, |is_open| !*is_open);
        drop(wait.expect("a door"));
    }

    fn open(&self) {
        *self.is_open.lock().expect("a door") = true;
        self.changed.notify_all();
    }

    fn waited(&self) -> usize {
        *self.waited.lock().expect("a door")
    }
}

/// A delivery whose content is with the next hop gets its reply before the relay ends: no duplicate.
#[test]
fn a_delivery_in_flight_is_finished() {
    let door = Arc::new(Door::default());
    let theirs = Arc::clone(&door);
    let sink = Sink::scripted(move |event| {
        if event.stage == Stage::Dot {
            theirs.wait();
        }
        Act::Go
    });
    let mut relay = Relay::towards(sink.address());
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("flight", 5000));
    wait_until("the dot", || door.waited() == 1);
    relay.process().signal("TERM");
    // The listener closes while the delivery goes on.
    wait_until("a closed listener", || Smtp::try_open(relay.smtp()).is_err());
    assert!(relay.is_running(), "it ended before the reply came\n{}", relay.log_tail());
    door.open();
    assert!(relay.wait_end().success(), "{}", relay.log_tail());
    relay.restart();
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("later", 300));
    let mut ids: Vec<String> = sink.wait_accepted(2).iter().filter_map(Received::id).collect();
    ids.sort();
    assert_eq!(ids, ["flight", "later"], "no duplicate");
}

/// A next hop that never answers does not keep the relay from ending; the message stays.
#[test]
fn the_drain_has_a_limit() {
    let sink = Sink::scripted(|event| if event.stage == Stage::Dot { Act::Stall } else { Act::Go });
    let mut relay =
        Relay::start(Settings::towards(sink.address()).set("stop.drain_wait_max", "1s"));
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("stuck", 300));
    wait_until("the dot", || !sink.all().is_empty());
    let begin = Instant::now();
    assert!(relay.terminate().success(), "{}", relay.log_tail());
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    sink.set_script(|_| Act::Go);
    relay.restart();
    assert_eq!(sink.wait_accepted(1)[0].id().as_deref(), Some("stuck"));
}

/// An idle client hears 421; one in the middle of its content may finish and gets its 250.
#[test]
fn sessions_end_as_the_rfc_wants() {
    let sink = Sink::start();
    let mut relay = Relay::towards(sink.address());
    let mut idle = relay.session();
    let mut busy = relay.session();
    busy.expect("MAIL FROM:<ana@sender.example>", 250);
    busy.expect("RCPT TO:<bo@receiver.example>", 250);
    busy.expect("DATA", 354);
    let wire = stuffed(&letter("busy", 3000));
    let (first, second) = wire.split_at(1000);
    busy.send(first);
    relay.process().signal("TERM");
    let farewell = idle.read_reply();
    assert_eq!(farewell.code, 421, "{farewell:?}");
    assert!(idle.is_closed());
    busy.send(second);
    let reply = busy.read_reply();
    assert_eq!(reply.code, 250, "{reply:?}");
    assert_eq!(busy.try_read_reply().map_or(421, |reply| reply.code), 421);
    assert!(relay.wait_end().success(), "{}", relay.log_tail());
    relay.restart();
    assert_eq!(sink.wait_accepted(1).len(), 1);
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.accepted().len(), 1);
}

/// Stops and starts under load: each acknowledged message arrives exactly once.
#[test]
fn stopping_under_load_neither_loses_nor_doubles() {
    let sink = Sink::start();
    let mut relay = Relay::towards(sink.address());
    let promised: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    for round in 0..4_usize {
        let server = relay.smtp();
        let stop = Arc::new(AtomicBool::new(false));
        let client = |client: u32| {
            let (promised, stop) = (Arc::clone(&promised), Arc::clone(&stop));
            thread::spawn(move || {
                let Ok(mut session) = Smtp::try_open(server) else { return };
                for number in 0.. {
                    let id = format!("r{round}-c{client}-n{number}");
                    let content = letter(&id, if number % 9 == 8 { 100_000 } else { 1500 });
                    let reply = session.try_deliver(
                        "ana@sender.example",
                        &["bo@receiver.example"],
                        &content,
                    );
                    match reply {
                        Ok(reply) if reply.code == 250 => {
                            promised.lock().expect("promises").insert(id)
                        }
                        // 421 or a closed connection: the relay is going.
                        Ok(_) | Err(_) => return,
                    };
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
        };
        let clients: Vec<_> = (0..4).map(client).collect();
        let target = 30 * (round + 1);
        wait_until("promises", || promised.lock().expect("promises").len() >= target);
        assert!(relay.terminate().success(), "{}", relay.log_tail());
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("a client");
        }
        relay.restart();
    }
    let promised = promised.lock().expect("promises").clone();
    wait_until("an empty queue", || {
        relay.cli_json(&["status"])["spool"]["messages"] == 0
            && sink.accepted().len() >= promised.len()
    });
    let mut ids: Vec<String> = sink.accepted().iter().filter_map(Received::id).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(count, ids.len(), "no duplicates");
    let arrived: BTreeSet<String> = ids.into_iter().collect();
    let lost: Vec<&String> = promised.difference(&arrived).collect();
    assert!(lost.is_empty(), "lost {lost:?}");
}

/// `sd_notify(3)`: READY=1 once mail is taken, WATCHDOG=1 on the way, STOPPING=1 at the end.
#[test]
fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let sink = Sink::start();
    let environment = vec![
        ("NOTIFY_SOCKET".to_owned(), path.display().to_string()),
        ("WATCHDOG_USEC".to_owned(), "400000".to_owned()),
    ];
    let plan = Plan { environment, ..Plan::from(Settings::towards(sink.address())) };
    let mut relay = Relay::start(plan);
    let hear = |word: &str| {
        wait_for(word, || {
            let mut buffer = [0; 4096];
            let count = socket.recv(&mut buffer).expect("a notification");
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            text.lines().any(|line| line == word).then_some(text)
        })
    };
    hear("READY=1");
    drop(relay.session());
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    relay.process().signal("TERM");
    hear("STOPPING=1");
    assert!(relay.wait_end().success());
}

/// A second relay on the same spool would damage it: it is refused with a clear word.
#[test]
fn two_relays_never_share_a_spool() {
    let sink = Sink::start();
    let first = Relay::towards(sink.address());
    let settings = Settings::towards(sink.address())
        .set("spool.path", first.spool_folder().display().to_string());
    let mut second = Relay::stopped(settings);
    second.spawn();
    assert!(!second.wait_end().success());
    let log = second.log().to_lowercase();
    assert!(log.contains("lock") || log.contains("in use") || log.contains("another"), "{log}");
    first.submit("ana@sender.example", &["bo@receiver.example"], &letter("still", 300));
    sink.wait_accepted(1);
}
