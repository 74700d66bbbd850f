//! Damage in the spool costs the damaged message and no other one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::letter::letter;
use crate::harness::process::run;
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Received, Sink};
use crate::harness::wait::wait_until;

/// Stands once in the damaged message and nowhere else.
const MARK: &str = "x7Qd0mVb2kTz9LrE4wNcYp1sHgUa8fJi";

/// A letter that carries [`MARK`] near its end.
fn marked(id: &str, octets: usize) -> Vec<u8> {
    let mut content = letter(id, octets);
    content.extend_from_slice(format!("mark {MARK}\r\n").as_bytes());
    content
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Flips one bit wherever `mark` stands, but in the database's log, whose rows are in tables already.
#[track_caller]
fn damage(folder: &Path, mark: &str) {
    let mut damaged = 0;
    for path in files(folder) {
        if path.extension().is_some_and(|end| end == "log") {
            continue;
        }
        let mut octets = fs::read(&path).expect("a file");
        let places: Vec<usize> = octets
            .windows(mark.len())
            .enumerate()
            .filter_map(|(place, window)| (window == mark.as_bytes()).then_some(place))
            .collect();
        for &place in &places {
            octets[place + mark.len() / 2] ^= 0x10;
        }
        if !places.is_empty() {
            fs::write(&path, octets).expect("a file");
            damaged += places.len();
        }
    }
    assert!(damaged > 0, "the mark stands nowhere in {:?}", files(folder));
}

fn spool_check(relay: &Relay) -> (bool, String) {
    let mut command = std::process::Command::new(PROGRAM);
    command.args(["spool", "check", "--json", "--path"]).arg(relay.spool_folder());
    let output = run(command, b"");
    (output.status.success(), format!("{}{}", output.stdout, output.stderr))
}

/// Fills a spool with letters of all sizes around a damaged one, and wants all the others delivered.
fn the_rest_is_delivered(sender: &str, content: &[u8], mark: &str) {
    let sink = Sink::scripted(|_| Act::SayAndClose("421 4.3.2 later".to_owned()));
    let mut relay =
        Relay::start(Settings::towards(sink.address()).set("spool.inline_octets_max", "64KiB"));
    let mut session = relay.session();
    let sizes = [500, 3000, 5000, 60_000, 90_000, 600_000];
    let mut others = Vec::new();
    for number in 0..24 {
        if number == 11 {
            assert_eq!(session.deliver(sender, &["bo@receiver.example"], content).code, 250);
        }
        let id = format!("other-{number}");
        let reply = session.deliver(
            "ana@sender.example",
            &["bo@receiver.example"],
            &letter(&id, sizes[number % sizes.len()]),
        );
        assert_eq!(reply.code, 250);
        others.push(id);
    }
    drop(session);
    // A second start moves what the log holds to tables, as it would be after some time.
    relay.kill();
    relay.restart();
    relay.kill();
    let (is_clean, findings) = spool_check(&relay);
    assert!(is_clean, "{findings}");
    damage(&relay.spool_folder(), mark);
    let (is_clean, findings) = spool_check(&relay);
    assert!(!is_clean, "the check saw nothing: {findings}");
    sink.set_script(|_| Act::Go);
    relay.restart();
    let has = |received: &[Received], id: &String| {
        received.iter().filter(|message| message.id().as_ref() == Some(id)).count()
    };
    sink.wait_letters(&others);
    let received = sink.accepted();
    assert!(others.iter().all(|id| has(&received, id) == 1), "each of them once");
    assert!(
        received.iter().all(|message| message.id().as_deref() != Some("damaged")),
        "the damaged one was sent as if it were good"
    );
    // It is told of: in the log and as a metric.
    wait_until("the corrupt record to be counted", || {
        relay.metric_sum("chasqui_spool_corrupt_total") >= 1.0
    });
    relay.log_with("corrupt");
    // The relay goes on, and does not stumble over the same place again.
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("later", 300));
    wait_until("the later one", || has(&sink.accepted(), &"later".to_owned()) == 1);
    wait_until("an empty queue", || relay.cli_json(&["status"])["queue"]["messages"] == 0);
    assert!(relay.terminate().success());
    relay.restart();
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("last", 300));
    wait_until("the last one", || has(&sink.accepted(), &"last".to_owned()) == 1);
}

#[test]
fn a_damaged_small_body_stops_nothing() {
    the_rest_is_delivered("ana@sender.example", &marked("damaged", 1500), MARK);
}

#[test]
fn a_damaged_middling_body_stops_nothing() {
    the_rest_is_delivered("ana@sender.example", &marked("damaged", 40_000), MARK);
}

#[test]
fn a_damaged_large_body_stops_nothing() {
    the_rest_is_delivered("ana@sender.example", &marked("damaged", 400_000), MARK);
}

#[test]
fn a_damaged_envelope_stops_nothing() {
    the_rest_is_delivered(&format!("{MARK}@sender.example"), &letter("damaged", 1500), MARK);
}

/// A missing body file is damage like any other.
#[test]
fn a_cut_off_file_of_bodies_stops_nothing_else() {
    let sink = Sink::scripted(|_| Act::SayAndClose("421 4.3.2 later".to_owned()));
    let mut relay = Relay::towards(sink.address());
    let mut session = relay.session();
    for (id, octets) in [("small", 900), ("large", 900_000), ("small-again", 900)] {
        assert_eq!(
            session
                .deliver("ana@sender.example", &["bo@receiver.example"], &letter(id, octets))
                .code,
            250
        );
    }
    drop(session);
    relay.kill();
    let largest = files(&relay.spool_folder()).into_iter().filter(|path| {
        let holds = |octets: Vec<u8>| octets.windows(8).any(|window| window == b" large t");
        fs::read(path).is_ok_and(holds)
    });
    let cut: Vec<PathBuf> = largest.collect();
    assert_eq!(cut.len(), 1, "one file holds the large body: {cut:?}");
    fs::File::options().write(true).open(&cut[0]).expect("a file").set_len(5000).expect("a cut");
    sink.set_script(|_| Act::Go);
    relay.restart();
    let received = sink.wait_accepted(2);
    let mut ids: Vec<String> = received.iter().filter_map(Received::id).collect();
    ids.sort();
    assert_eq!(ids, ["small", "small-again"]);
    wait_until("the corrupt record to be counted", || {
        relay.metric_sum("chasqui_spool_corrupt_total") >= 1.0
    });
}
