//! When a sender wants its message to go out, and by when to arrive.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::dsn::{check_report_of, reports};
use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Event, Received, Sink, Stage, say};
use crate::harness::wait::{wait_for, wait_until};

const DELIVER_BY: [&str; 4] = ["PIPELINING", "ENHANCEDSTATUSCODES", "DSN", "DELIVERBY"];

/// Sends a letter with parameters of MAIL, and gives its id in the queue.
#[track_caller]
fn submit_with(relay: &Relay, mail: &str, name: &str) {
    let mut session = relay.session();
    session.expect(&format!("MAIL FROM:<ana@sender.example> {mail}"), 250);
    session.expect("RCPT TO:<bo@receiver.example>", 250);
    session.expect("DATA", 354);
    session.send(&letter(name, 300));
    session.send(b".\r\n");
    assert_eq!(session.read_reply().code, 250);
    session.quit();
}

/// Does not take the message itself now, but reports about it.
fn not_now(event: &Event) -> Act {
    if event.stage == Stage::Rcpt && event.line.contains("bo@") {
        say("450 4.2.0 not now")
    } else {
        Act::Go
    }
}

/// Only clients that may relay are offered to hold messages; all are offered reports.
#[test]
fn clients_are_told_what_they_may_ask_for() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let text = relay.session().expect("EHLO client.test", 250).text();
    for keyword in ["DSN", "FUTURERELEASE", "DELIVERBY"] {
        assert!(text.contains(keyword), "{keyword} is missing: {text}");
    }
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["192.0.2.0/24"]);
    let relay = Relay::start(settings);
    let text = relay.session().expect("EHLO client.test", 250).text();
    assert!(text.contains("DSN"), "{text}");
    for keyword in ["FUTURERELEASE", "DELIVERBY"] {
        assert!(!text.contains(keyword), "{keyword} is offered: {text}");
    }
}

/// RFC 4865: a message is held over kill -9 until its time, or until an operator wants it to go.
#[test]
fn a_message_is_held_until_its_time() {
    let sink = Sink::start();
    let mut relay = Relay::towards(sink.address());
    submit_with(&relay, "HOLDFOR=86400", "tomorrow");
    submit_with(&relay, "", "now");
    sink.wait_letters(&["now".to_owned()]);
    for _ in 0..2 {
        let list = relay.cli_json(&["queue", "list"]);
        let [entry] = list["messages"].as_array().expect("a list").as_slice() else {
            panic!("one message: {list}");
        };
        assert_eq!((&entry["state"], &entry["tries"]), (&"held".into(), &0.into()), "{entry}");
        relay.kill();
        relay.restart();
        wait_until("a recovered queue", || relay.cli_json(&["status"])["queue"]["resting"] == 1);
    }
    let list = relay.cli_json(&["queue", "list"]);
    let id = list["messages"][0]["id"].as_str().expect("an id").to_owned();
    let shown = relay.cli(&["queue", "show", &id]).succeeded();
    assert!(shown.contains("held until 2"), "{shown}");
    assert_eq!(sink.accepted_ids().len(), 1, "it is not sent before its time");
    relay.cli(&["queue", "retry", &id]).succeeded();
    sink.wait_letters(&["tomorrow".to_owned()]);
}

#[test]
fn a_held_message_goes_by_itself_and_not_too_early() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let before = Instant::now();
    submit_with(&relay, "HOLDFOR=1", "soon");
    let received = sink.wait_accepted(1);
    assert!(received[0].at - before >= Duration::from_secs(1), "{:?}", received[0].at - before);
}

/// RFC 2852, mode R: what is not delivered in time comes back, and what goes on says how much time is left.
#[test]
fn a_message_that_is_not_delivered_in_time_is_returned() {
    let sink = Sink::scripted(not_now);
    sink.set_extensions(&DELIVER_BY);
    let relay =
        Relay::start(Settings::towards(sink.address()).set("listener.0.deliver_by_min", "1s"));
    submit_with(&relay, "BY=2;R", "overdue");
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report_of("failed", &report, "ana@sender.example");
    assert_eq!(blocks[0]["status"], "5.4.7", "{blocks:?}");
    assert!(sink.count("MAIL FROM:<ana@sender.example> BY=") > 0, "the time goes on");
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.accepted().len(), 1, "only the report arrives");
}

/// RFC 2852 §4: it must not go where nobody looks at the time.
#[test]
fn a_message_to_be_returned_needs_a_next_hop_that_knows_times() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    submit_with(&relay, "BY=600;R", "lacking");
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report_of("failed", &report, "ana@sender.example");
    assert_eq!(blocks[0]["status"], "5.4.7", "{blocks:?}");
    let text = String::from_utf8_lossy(&report.content);
    assert!(text.contains("DELIVERBY"), "{text}");
    assert!(blocks[0]["diagnostic-code"].is_null(), "nobody said it: {blocks:?}");
}

/// RFC 2852, mode N: the sender is told once, the message is tried on, and each hop is told of if it wants.
#[test]
fn a_message_that_is_late_is_told_of_and_tried_on() {
    let sink = Sink::scripted(not_now);
    sink.set_extensions(&DELIVER_BY);
    let relay = Relay::towards(sink.address());
    submit_with(&relay, "BY=1;NT", "late");
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report_of("delayed", &report, "ana@sender.example");
    assert_eq!(blocks[0]["status"], "4.4.7", "{blocks:?}");
    sink.set_script(|_| Act::Go);
    sink.wait_letters(&["late".to_owned()]);
    let relayed = wait_for("a further report", || reports(&sink).into_iter().nth(1));
    check_report_of("relayed", &relayed, "ana@sender.example");
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.accepted().len(), 3, "two reports and the message");
}

/// RFC 6710 §5: what waits for the same next hop goes in the order of its priority, over kill -9.
#[test]
fn what_is_urgent_goes_first() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let settings = Settings::towards(address)
        .set("listener.0.extensions", vec!["DSN", "MT-PRIORITY"])
        .set("queue.retry_connect.first", "1h")
        .set("queue.retry_connect.max", "1h")
        .set("outbound.0.limits.connections_max", 1);
    let mut relay = Relay::start(settings);
    let all = [
        ("MT-PRIORITY=-4", "patient"),
        ("", "usual"),
        ("MT-PRIORITY=0", "zero"),
        ("MT-PRIORITY=4", "urgent"),
        ("MT-PRIORITY=9", "most"),
    ];
    for (mail, name) in all {
        submit_with(&relay, mail, name);
    }
    relay.kill();
    relay.restart();
    wait_until("all rest", || relay.cli_json(&["status"])["queue"]["resting"] == all.len());
    let sink = Sink::on(TcpListener::bind(address).expect("the same port"), |_| Act::Go);
    sink.set_extensions(&["PIPELINING", "MT-PRIORITY"]);
    relay.cli(&["queue", "retry", "--all"]).succeeded();
    let received = sink.wait_accepted(all.len());
    let ids: Vec<_> = received.iter().filter_map(Received::id).collect();
    let place = |name: &str| ids.iter().position(|id| id == name).expect("it came");
    assert!(place("urgent").max(place("most")) < 2, "{ids:?}");
    assert_eq!(place("patient"), 4, "{ids:?}");
    assert_eq!(sink.count("MAIL FROM:<ana@sender.example> MT-PRIORITY=9"), 1, "it goes on");
    let content = String::from_utf8_lossy(&received[place("most")].content).into_owned();
    assert!(content.contains("PRIORITY 9"), "{content}");
}
