//! Limits of inbound connectors: what is beyond them is refused for now, and the count of the day is kept.

use std::collections::BTreeSet;

use crate::daily_limits::within_an_hour;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::{Reply, Smtp};
use crate::harness::wait::wait_until;

const CONTENT: &[u8] = b"Subject: test\r\n\r\nBody.\r\n";
const MAIL: &str = "MAIL FROM:<ana@own.example>";

/// A relay with one limited connector and one without limits.
fn relay(sink: &Sink, limits: &str) -> Relay {
    let connector = format!("name = \"acme\"\nsender_ip_addresses = [\"127.0.0.1\"]\n{limits}");
    let settings = Settings::towards(sink.address())
        .set("inbound", Vec::<toml::Value>::new())
        .push("listener", "name = \"second\"\naddress = \"127.0.0.1:0\"")
        .push("inbound", &connector)
        .push("inbound", "name = \"free\"\nsender_ip_addresses = [\"127.0.0.2\"]");
    Relay::start(settings)
}

fn deliver(relay: &Relay, recipients: &[&str]) -> Reply {
    let mut session = relay.session();
    let reply = session.deliver("ana@own.example", recipients, CONTENT);
    drop(session);
    reply
}

#[track_caller]
fn assert_shed(relay: &Relay, cause: &str, count: f64) {
    let series = format!("chasqui_load_shed_total{{listener=\"smtp\",cause=\"{cause}\"}}");
    relay.assert_metric(&series, count);
}

/// At the limit of the day the client is told when to come back, and never for good; the count survives kill -9 and an
/// ordinary restart, and a higher limit counts at once.
#[test]
fn the_messages_of_a_day_are_limited_and_counted_over_restarts() {
    within_an_hour(|| {
        let sink = Sink::start();
        let mut relay = relay(&sink, "daily_messages_max = 3");
        for _ in 0..2 {
            assert_eq!(deliver(&relay, &["bo@x.example", "cy@x.example"]).code, 250);
        }
        relay.kill();
        relay.restart();
        let shown = relay.cli_json(&["connector", "show", "acme"]);
        let intake = &shown["intake"];
        assert_eq!(
            (&intake["messages_today"], &intake["daily_messages_max"]),
            (&2.into(), &3.into())
        );
        // What is begun and given up takes nothing.
        let mut session = relay.session();
        for _ in 0..5 {
            session.expect(MAIL, 250);
            session.expect("RSET", 250);
        }
        session.quit();
        wait_until("the room that those give back", || {
            deliver(&relay, &["bo@x.example"]).code == 250
        });
        let reply = deliver(&relay, &["bo@x.example"]);
        let words = "4.7.1 Too many messages for your connector, 3 a day at most, come back at 00:00 UTC, in ";
        assert!(reply.code == 452 && reply.text().starts_with(words), "{reply:?}");
        relay.log_with("come back at 00:00 UTC");
        let shed = "chasqui_load_shed_total{listener=\"smtp\",cause=\"connector_day\"}";
        assert!(relay.metric(shed) > 0.5);
        // Others are not concerned.
        let mut other = Smtp::connect_from("127.0.0.2".parse().unwrap(), relay.smtp()).unwrap();
        other.read_reply();
        other.expect("EHLO client.test", 250);
        other.expect(MAIL, 250);

        relay.terminate();
        relay.restart();
        assert_eq!(deliver(&relay, &["bo@x.example"]).code, 452);
        let status = relay.cli_json(&["status"]);
        assert_eq!(status["intakes"][0]["connector"], "acme");
        assert_eq!(status["intakes"][0]["messages_today"], 3);
        assert!(status["intakes"][0]["full_until"].is_string(), "{status}");
        let text = relay.cli(&["connector", "show", "acme"]).succeeded();
        assert!(text.contains("3 of 3 messages and "), "{text}");
        wait_until("the metrics", || {
            relay.metric_sum("chasqui_reception_connector_messages_today") > 2.5
                && relay.metric_sum("chasqui_reception_connector_limit_reached") > 0.5
        });
        relay.cli(&["connector", "set", "acme", "daily_messages_max=4", "--yes"]).succeeded();
        assert_eq!(deliver(&relay, &["bo@x.example"]).code, 250);
        assert_eq!(deliver(&relay, &["bo@x.example"]).code, 452);
        sink.wait_accepted(4);
    });
}

/// Recipients beyond the limit are refused one by one; the message goes to the others.
#[test]
fn the_recipients_of_a_day_are_limited() {
    within_an_hour(|| {
        let sink = Sink::start();
        let mut relay = relay(&sink, "daily_recipients_max = 3");
        assert_eq!(deliver(&relay, &["a@x.example", "b@x.example"]).code, 250);
        let mut session = relay.session();
        session.expect(MAIL, 250);
        session.expect("RCPT TO:<c@x.example>", 250);
        // The third of the day is under way: whether it stays is known when the message has come.
        let reply = session.expect("RCPT TO:<d@x.example>", 452);
        let words = "4.7.1 Too many recipients for your connector, 3 a day at most, come back in ";
        assert!(reply.text().starts_with(words), "{reply:?}");
        session.expect("DATA", 354);
        session.send(b"Subject: x\r\n\r\n.\r\n");
        assert_eq!(session.read_reply().code, 250);
        relay.kill();
        relay.restart();
        let mut session = relay.session();
        session.expect(MAIL, 250);
        let reply = session.expect("RCPT TO:<d@x.example>", 452);
        assert!(reply.text().contains("come back at 00:00 UTC, in "), "{reply:?}");
        // Which of them the kill has had sent again does not matter.
        wait_until("both messages", || {
            let all: BTreeSet<_> = sink.accepted().into_iter().map(|it| it.recipients).collect();
            all.len() == 2
        });
    });
}

/// On all listeners together; the one too many is told so and closed, and who leaves makes room.
#[test]
fn the_connections_of_a_connector_are_limited() {
    let sink = Sink::start();
    let relay = relay(&sink, "connections_max = 2");
    let begin = |listener: &str| {
        let mut session = Smtp::open(relay.listener(listener));
        let reply = session.command(MAIL);
        (session, reply)
    };
    let held = [begin("smtp"), begin("second")];
    assert!(held.iter().all(|(_, reply)| reply.code == 250));
    let (mut third, reply) = begin("smtp");
    assert_eq!(reply.code, 421, "{reply:?}");
    let words = "4.7.0 Too many connections for your connector, 2 at most, close some or try again";
    assert!(reply.text().starts_with(words), "{reply:?}");
    assert!(third.is_closed());
    assert_shed(&relay, "connector_connections", 1.0);
    assert_eq!(relay.cli_json(&["connector", "show", "acme"])["intake"]["connections"], 2);
    drop(held);
    wait_until("room for another", || begin("smtp").1.code == 250);
}

/// Rates are those of all clients of the connector, whichever listener they come to.
#[test]
fn the_rates_of_a_connector_hold_for_all_listeners() {
    let sink = Sink::start();
    let rates = "rates = { messages = \"3/1h\", recipients = \"4/1h\" }";
    let relay = relay(&sink, rates);
    let mut first = Smtp::open(relay.smtp());
    let mut second = Smtp::open(relay.listener("second"));
    first.expect(MAIL, 250);
    for _ in 0..3 {
        first.expect("RCPT TO:<bo@x.example>", 250);
    }
    second.expect(MAIL, 250);
    second.expect("RCPT TO:<bo@x.example>", 250);
    let reply = second.expect("RCPT TO:<bo@x.example>", 452);
    let words = "4.7.1 Too many recipients for your connector, 4/1h at most, come back in ";
    assert!(reply.text().starts_with(words), "{reply:?}");
    first.expect("RSET", 250);
    first.expect(MAIL, 250);
    second.expect("RSET", 250);
    let reply = second.expect(MAIL, 452);
    let words = "4.7.1 Too many messages for your connector, 3/1h at most, come back in ";
    assert!(reply.text().starts_with(words), "{reply:?}");
    // The session goes on.
    second.expect("NOOP", 250);
    relay.cli(&["connector", "set", "acme", "rates.octets=\"1KiB/1h\"", "--yes"]).succeeded();
    relay
        .cli(&[
            "connector",
            "set",
            "acme",
            "rates.messages=\"99/1h\"",
            "rates.recipients=",
            "--yes",
        ])
        .succeeded();
    let large = [CONTENT, &b"0123456789\r\n".repeat(500)].concat();
    let reply = relay.session().deliver("ana@own.example", &["bo@x.example"], &large);
    assert_eq!(reply.code, 250, "{reply:?}");
    let reply = second.expect(MAIL, 452);
    let words = "4.7.1 Too many octets for your connector, 1KiB/1h at most, come back in ";
    assert!(reply.text().starts_with(words), "{reply:?}");
}

/// Exchange has no words for limits and plans: what was exported makes the same again.
#[test]
fn limits_and_plans_are_exported_and_come_back() {
    let sink = Sink::start();
    let limits = "plan = \"all\"\nheader_from = \"same-domain\"\nconnections_max = 5\n\
        daily_recipients_max = 9\nrates = { octets = \"1GiB/1h\" }";
    let relay = relay(&sink, "");
    let settings =
        relay.settings().clone().push("plan", "name = \"all\"\nincludes = [\"network\"]");
    let acme = format!("name = \"extra\"\nsender_ip_addresses = [\"192.0.2.1\"]\n{limits}");
    drop(relay);
    let relay = Relay::start(settings.push("inbound", &acme));
    for format in ["powershell", "json"] {
        let text = relay.cli(&["connector", "export", "--format", format]).succeeded();
        assert!(text.contains("daily_recipients_max"), "{text}");
        let file = relay.folder().join("exported");
        std::fs::write(&file, text).expect("a file");
        let file = file.display().to_string();
        let again = relay.cli(&["connector", "import", &file, "--dry-run"]).succeeded();
        assert!(again.contains("nothing changes"), "{format}: {again}");
        relay.cli(&["connector", "remove", "extra", "--inbound", "--yes"]).succeeded();
        relay.cli(&["connector", "import", &file, "--yes"]).succeeded();
        let shown = relay.cli_json(&["connector", "show", "extra"]);
        let fields = &shown["fields"];
        assert_eq!((&fields["connections_max"], &fields["plan"]), (&5.into(), &"all".into()));
        assert_eq!(fields["rates"]["octets"], "1GiB/1h", "{shown}");
        assert_eq!(shown["intake"]["daily_recipients_max"], 9, "{shown}");
    }
}

/// A listener's rate that refuses takes nothing of the connector's day.
#[test]
fn what_another_limit_refuses_is_not_counted() {
    within_an_hour(|| {
        let sink = Sink::start();
        let relay = relay(&sink, "daily_messages_max = 2");
        let settings = relay.settings().clone().set("listener.0.rates.client.messages", "1/1h");
        drop(relay);
        let relay = Relay::start(settings);
        assert_eq!(deliver(&relay, &["bo@x.example"]).code, 250);
        for _ in 0..3 {
            assert_eq!(deliver(&relay, &["bo@x.example"]).code, 450);
        }
        let mut session = Smtp::open(relay.listener("second"));
        let reply = session.deliver("ana@own.example", &["bo@x.example"], CONTENT);
        assert_eq!(reply.code, 250, "{reply:?}");
        sink.wait_accepted(2);
    });
}

/// A client that gives a transaction up and stays leaves its room to others.
#[test]
fn what_is_given_up_holds_no_room_while_its_client_stays() {
    within_an_hour(|| {
        let sink = Sink::start();
        let relay = relay(&sink, "daily_messages_max = 1");
        let mut session = relay.session();
        for end in ["RSET", "EHLO client.test"] {
            session.expect(MAIL, 250);
            session.expect("RCPT TO:<bo@x.example>", 250);
            session.expect(end, 250);
        }
        assert_eq!(deliver(&relay, &["bo@x.example"]).code, 250);
        session.expect(MAIL, 452);
        session.quit();
    });
}
