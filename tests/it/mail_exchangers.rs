//! Mail that finds its way by the mail exchangers of the recipient's domain (RFC 5321 §5.1).

use std::net::Ipv4Addr;

use crate::harness::dns::{Dns, Record};
use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Received, Sink};
use crate::harness::wait::{wait_for, wait_until};

const HERE: Record = Record::A(Ipv4Addr::LOCALHOST);
/// Nobody listens there.
const CLOSED: Record = Record::A(Ipv4Addr::new(127, 0, 0, 77));

/// A relay that asks `dns` and finds every exchanger at the sink's port.
fn relay_with(dns: &Dns, sink: &Sink) -> Relay {
    let servers = toml::Value::Array(vec![dns.address().to_string().into()]);
    let settings = Settings::towards(sink.address())
        .set("resolver.servers", servers)
        .set("outbound.0.smart_hosts", toml::Value::Array(Vec::new()))
        .set("outbound.0.port", i64::from(sink.address().port()));
    Relay::start(settings)
}

fn reports(sink: &Sink) -> Vec<Received> {
    sink.accepted().into_iter().filter(|message| message.sender.is_empty()).collect()
}

#[test]
fn exchangers_are_tried_in_order_of_preference() {
    let sink = Sink::start();
    let dns = Dns::start(&[
        ("receiver.example", Record::Mx(20, "second.receiver.example")),
        ("receiver.example", Record::Mx(10, "first.receiver.example")),
        ("receiver.example", Record::Mx(30, "third.receiver.example")),
        ("first.receiver.example", CLOSED),
        ("second.receiver.example", HERE),
        ("third.receiver.example", CLOSED),
    ]);
    let relay = relay_with(&dns, &sink);
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("mx", 300));
    assert_eq!(sink.wait_accepted(1)[0].recipients, ["bo@receiver.example"]);
}

/// A domain without MX is its own exchanger; so is an address in brackets.
#[test]
fn without_exchangers_the_address_of_the_domain_serves() {
    let sink = Sink::start();
    let dns = Dns::start(&[("receiver.example", HERE)]);
    let relay = relay_with(&dns, &sink);
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("implicit", 300));
    relay.submit("ana@sender.example", &["bo@[127.0.0.1]"], &letter("literal", 300));
    let mut ids: Vec<String> = sink.wait_accepted(2).iter().filter_map(Received::id).collect();
    ids.sort();
    assert_eq!(ids, ["implicit", "literal"]);
}

/// NXDOMAIN and the null MX (RFC 7505) are reported at once; a failing name server is waited for.
#[test]
fn what_the_name_server_says_decides() {
    let sink = Sink::start();
    let dns = Dns::start(&[
        ("sender.example", Record::Mx(10, "mx.sender.example")),
        ("mx.sender.example", HERE),
        ("null.example", Record::Mx(0, ".")),
        ("null.example", HERE),
        ("failing.example", Record::Failure),
    ]);
    let relay = relay_with(&dns, &sink);
    for domain in ["missing.example", "null.example", "failing.example"] {
        relay.submit("ana@sender.example", &[&format!("bo@{domain}")], &letter(domain, 300));
    }
    let found = wait_for("two reports", || {
        let found = reports(&sink);
        (found.len() == 2).then_some(found)
    });
    let text = |domain: &str| {
        let texts =
            found.iter().map(|report| String::from_utf8_lossy(&report.content).into_owned());
        texts.into_iter().find(|text| text.contains(domain)).expect(domain)
    };
    assert!(text("bo@missing.example").contains("Status: 5.1.2"));
    assert!(text("bo@null.example").contains("Status: 5.1.10"));
    wait_until("a second try", || {
        relay.cli_json(&["queue", "list"])["messages"][0]["tries"].as_u64() >= Some(2)
    });
    assert_eq!(relay.cli_json(&["status"])["queue"]["messages"], 1);
    assert_eq!(
        sink.accepted().len(),
        2,
        "the domain's address is no way around a failing MX query"
    );
}

/// One message to several domains goes to each of them, and each has its own outcome.
#[test]
fn one_message_goes_to_several_domains() {
    let sink = Sink::start();
    let dns = Dns::start(&[
        ("sender.example", HERE),
        ("one.example", HERE),
        ("two.example", Record::Mx(10, "mx.two.example")),
        ("mx.two.example", HERE),
        ("closed.example", CLOSED),
    ]);
    let relay = relay_with(&dns, &sink);
    let recipients = [
        "a@one.example",
        "b@two.example",
        "c@one.example",
        "d@closed.example",
        "e@missing.example",
    ];
    relay.submit("ana@sender.example", &recipients, &letter("several", 300));
    let received = sink.wait_accepted(3);
    let mut reached: Vec<String> =
        received.into_iter().flat_map(|message| message.recipients).collect();
    reached.sort();
    assert_eq!(reached, ["a@one.example", "ana@sender.example", "b@two.example", "c@one.example"]);
    wait_until("the rest to wait", || {
        let list = relay.cli_json(&["queue", "list"]);
        list["messages"][0]["recipients"] == 1
            && list["messages"].as_array().map(Vec::len) == Some(1)
    });
}

/// Our own name among the exchangers, and nobody better: mail must not go round in a circle.
#[test]
fn mail_for_ourselves_does_not_loop() {
    let sink = Sink::start();
    let dns = Dns::start(&[
        ("sender.example", HERE),
        ("ours.example", Record::Mx(10, "relay.test")),
        ("ours.example", Record::Mx(20, "backup.example")),
        ("relay.test", HERE),
        ("backup.example", HERE),
    ]);
    let relay = relay_with(&dns, &sink);
    relay.submit("ana@sender.example", &["bo@ours.example"], &letter("ours", 300));
    let report = wait_for("a report", || reports(&sink).pop());
    assert!(String::from_utf8_lossy(&report.content).contains("Status: 5.4.6"));
    assert_eq!(sink.accepted().len(), 1);
}

/// A smart host that hands back is stopped by the count of `Received` fields (RFC 5321 §6.3).
#[test]
fn a_circle_of_relays_is_broken() {
    let sink = Sink::start();
    let mut relay = Relay::towards(sink.address());
    let own = relay.smtp();
    assert!(relay.terminate().success());
    let settings = Settings::towards(own)
        .set("listener.0.address", own.to_string())
        .set("listener.0.hops_max", 12);
    relay.set_settings(settings);
    relay.restart();
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("circle", 300));
    wait_until("the end of the circle", || {
        relay.log().contains("5.4.6") && relay.cli_json(&["status"])["spool"]["messages"] == 0
    });
}
