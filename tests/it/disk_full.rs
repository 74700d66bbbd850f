//! A full disk: a clean 452, nothing lost, and mail again as soon as there is room.

use std::collections::BTreeMap;

use crate::harness::disk::SmallDisk;
use crate::harness::letter::{assert_same, behind_trace, letter};
use crate::harness::relay::{Plan, Relay};
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Received, Sink};
use crate::harness::smtp::Smtp;
use crate::harness::wait::{wait_for, wait_until};

const MIB: u64 = 1 << 20;
/// Lives in the database.
const SMALL: usize = 30_000;
/// Lives in a file of bodies.
const LARGE: usize = 200_000;

fn relay_on(disk: &SmallDisk, sink: &Sink, free_octets_min: &str) -> Relay {
    let settings = Settings::towards(sink.address())
        .set("spool.path", disk.path().join("spool").display().to_string())
        .set("spool.free_octets_min", free_octets_min)
        .set("spool.segment_octets", "8MiB")
        .set("listener.0.message_octets_max", "4MiB");
    Relay::start(Plan { wrapper: disk.wrapper(), ..Plan::from(settings) })
}

/// Sends letters until one is refused; gives the ids that were promised and the refusal.
fn fill_by_mail(session: &mut Smtp, prefix: &str, octets: usize) -> (Vec<String>, String) {
    let mut promised = Vec::new();
    for number in 0..5000 {
        let id = format!("{prefix}-{number}");
        let reply =
            session.deliver("ana@sender.example", &["bo@receiver.example"], &letter(&id, octets));
        if reply.code != 250 {
            assert_eq!(reply.code, 452, "{reply:?}");
            return (promised, reply.text());
        }
        promised.push(id);
    }
    panic!("the disk never filled up")
}

/// Waits for a message to be taken, as a client does that tries again.
fn until_accepted(relay: &Relay, id: &str) {
    wait_for("mail to be taken again", || {
        let mut session = relay.session();
        let reply =
            session.deliver("ana@sender.example", &["bo@receiver.example"], &letter(id, 500));
        assert!(matches!(reply.code, 250 | 452), "{reply:?}");
        (reply.code == 250).then_some(())
    });
}

#[track_caller]
fn all_arrive(sink: &Sink, promised: &[String], octets: usize) {
    sink.wait_letters(promised);
    let mut copies: BTreeMap<String, Vec<Received>> = BTreeMap::new();
    for message in sink.accepted() {
        copies.entry(message.id().expect("an id")).or_default().push(message);
    }
    for id in promised {
        assert_eq!(copies[id].len(), 1, "{id}");
        assert_same(id, behind_trace(&copies[id][0].content), &letter(id, octets));
    }
}

fn busy() -> Sink {
    Sink::scripted(|_| Act::SayAndClose("421 4.3.2 later".to_owned()))
}

/// The reserve is respected: mail is refused while there still is room to work.
#[test]
fn mail_is_refused_before_the_reserve_is_touched() {
    // The database keeps some 70 MiB of it for its log, the reserve is 64 MiB.
    let disk = SmallDisk::mount(256 * MIB);
    let sink = busy();
    let relay = relay_on(&disk, &sink, "64MiB");
    let mut session = relay.session();
    let (promised, words) = fill_by_mail(&mut session, "reserve", 1_000_000);
    assert!((60..=200).contains(&promised.len()), "{}", promised.len());
    assert!(words.starts_with("4.3.1 "), "{words}");
    assert_eq!(relay.get("/health/live").status, 200);
    // The session goes on in good order.
    session.expect("RSET", 250);
    session.quit();
    sink.set_script(|_| Act::Go);
    all_arrive(&sink, &promised, 1_000_000);
    until_accepted(&relay, "after");
    wait_until("ready", || relay.get("/health/ready").status == 200);
    // The room came back as well, at the latest when the files of what was delivered are gone.
    sink.set_script(|_| Act::SayAndClose("421 4.3.2 later".to_owned()));
    let mut again = Vec::new();
    let mut round = 0;
    wait_until("the room to come back", || {
        round += 1;
        let (more, _) = fill_by_mail(&mut relay.session(), &format!("again-{round}"), 1_000_000);
        again.extend(more);
        again.len() >= 60
    });
    sink.set_script(|_| Act::Go);
    all_arrive(&sink, &again, 1_000_000);
}

/// Without a reserve the last octet is used up, by somebody else, under load.
#[test]
fn a_disk_filled_by_others_is_survived() {
    for octets in [SMALL, LARGE] {
        let disk = SmallDisk::mount(128 * MIB);
        let sink = busy();
        let mut relay = relay_on(&disk, &sink, "0B");
        let mut promised: Vec<String> = Vec::new();
        let mut session = relay.session();
        for number in 0..20 {
            let id = format!("before-{number}");
            let reply = session.deliver(
                "ana@sender.example",
                &["bo@receiver.example"],
                &letter(&id, octets),
            );
            assert_eq!(reply.code, 250, "{reply:?}");
            promised.push(id);
        }
        let ballast = disk.fill();
        let (more, words) = fill_by_mail(&mut session, "full", octets);
        promised.extend(more);
        assert!(words.starts_with("4.3.1 "), "{words}");
        assert!(relay.is_running());
        // Deliveries are not begun while their outcome could not be written down.
        sink.set_script(|_| Act::Go);
        drop(ballast);
        until_accepted(&relay, "after");
        all_arrive(&sink, &promised, octets);
        wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
        wait_until("ready", || relay.get("/health/ready").status == 200);
        assert!(relay.terminate().success(), "{}", relay.log_tail());
    }
}

/// A kill on a full disk, and a start on it, lose nothing either.
#[test]
fn a_kill_on_a_full_disk_loses_nothing() {
    let disk = SmallDisk::mount(128 * MIB);
    let sink = busy();
    let mut relay = relay_on(&disk, &sink, "0B");
    let mut session = relay.session();
    let mut promised: Vec<String> = Vec::new();
    for number in 0..10 {
        let id = format!("before-{number}");
        assert_eq!(
            session
                .deliver("ana@sender.example", &["bo@receiver.example"], &letter(&id, SMALL))
                .code,
            250
        );
        promised.push(id);
    }
    let ballast = disk.fill();
    promised.extend(fill_by_mail(&mut session, "full", SMALL).0);
    relay.kill();
    // What starting on a full disk does is not fixed; that nothing is lost by it is.
    relay.spawn();
    wait_for("an end or readiness", || {
        let over = !relay.is_running() || relay.log().lines().count() > 3;
        over.then_some(())
    });
    relay.kill();
    drop(ballast);
    relay.restart();
    sink.set_script(|_| Act::Go);
    all_arrive(&sink, &promised, SMALL);
}
