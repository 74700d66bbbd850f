//! Rates, bans and waits that an operator sets against clients that want too much.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::harness::accounts::{Accounts, PASSWORD, log_in};
use crate::harness::dns::{Dns, Record};
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::{Reply, Smtp};
use crate::harness::tls::Certificate;
use crate::harness::wait::wait_until;

const CONTENT: &[u8] = b"Subject: test\r\n\r\n";

fn relay(sink: &Sink, limits: &[(&str, &str)]) -> Relay {
    let mut settings = Settings::towards(sink.address());
    for (key, value) in limits {
        settings = settings.set(&format!("listener.0.{key}"), *value);
    }
    Relay::start(settings)
}

/// A connection from a loopback address that ends in `last`.
fn connect(relay: &Relay, last: u8) -> Smtp {
    let client = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    Smtp::connect_from(client, relay.smtp()).expect("a connection")
}

fn open(relay: &Relay, last: u8) -> Smtp {
    let mut session = connect(relay, last);
    assert_eq!(session.read_reply().code, 220);
    session.expect("EHLO client.test", 250);
    session
}

fn deliver(session: &mut Smtp) -> Reply {
    session.deliver("ana@sender.example", &["bo@receiver.example"], CONTENT)
}

#[track_caller]
fn assert_shed(relay: &Relay, cause: &str, count: f64) {
    relay.assert_metric(
        &format!("chasqui_load_shed_total{{listener=\"smtp\",cause=\"{cause}\"}}"),
        count,
    );
}

/// The reply names the limit and says when to come back; other clients have rates of their own.
#[test]
fn connections_of_a_client_have_a_rate() {
    let sink = Sink::start();
    let relay = relay(&sink, &[("rates.client.connections", "2/1h")]);
    for _ in 0..2 {
        open(&relay, 1).quit();
    }
    let mut third = connect(&relay, 1);
    let reply = third.read_reply();
    assert_eq!(reply.code, 421);
    let words = "4.7.0 Too many connections for client 127.0.0.1, 2/1h at most, come back in ";
    assert!(reply.text().starts_with(words), "{reply:?}");
    assert!(third.is_closed());
    open(&relay, 2).quit();
    assert_shed(&relay, "connection_rate", 1.0);
    relay.log_with("connection turned away");
}

#[test]
fn messages_recipients_and_octets_have_rates() {
    let sink = Sink::start();
    let relay = relay(
        &sink,
        &[
            ("rates.client.messages", "3/1h"),
            ("rates.network.recipients", "4/1h"),
            ("rates.listener.octets", "1KiB/1h"),
        ],
    );
    let mut session = open(&relay, 1);
    assert_eq!(deliver(&mut session).code, 250);
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    for _ in 0..3 {
        session.expect("RCPT TO:<bo@receiver.example>", 250);
    }
    let reply = session.expect("RCPT TO:<bo@receiver.example>", 452);
    let words = "4.7.1 Too many recipients for the network of 127.0.0.0, 4/1h at most, come back";
    assert!(reply.text().starts_with(words), "{reply:?}");
    session.expect("RSET", 250);
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    session.expect("RSET", 250);
    let reply = session.expect("MAIL FROM:<ana@sender.example>", 450);
    let words = "4.7.1 Too many messages for client 127.0.0.1, 3/1h at most, come back in ";
    assert!(reply.text().starts_with(words), "{reply:?}");
    // The session goes on, and another connection changes nothing.
    session.quit();
    open(&relay, 1).expect("MAIL FROM:<ana@sender.example>", 450);
    // Another client may; its one large message leaves no octets for anybody.
    let mut other = open(&relay, 2);
    other.expect("MAIL FROM:<ana@sender.example>", 250);
    other.expect("RCPT TO:<bo@receiver.example>", 452);
    for (cause, count) in [("message_rate", 2.0), ("recipient_rate", 2.0), ("octet_rate", 0.0)] {
        assert_shed(&relay, cause, count);
    }
}

#[test]
fn octets_are_counted_when_they_have_come() {
    let sink = Sink::start();
    let relay = relay(&sink, &[("rates.listener.octets", "1KiB/1h")]);
    let mut session = open(&relay, 1);
    let large = [CONTENT, &b"0123456789\r\n".repeat(500)].concat();
    let reply = session.deliver("ana@sender.example", &["bo@receiver.example"], &large);
    assert_eq!(reply.code, 250, "{reply:?}");
    let reply = open(&relay, 2).expect("MAIL FROM:<ana@sender.example>", 450);
    let words = "4.7.1 Too many octets for this listener, 1KiB/1h at most, come back in ";
    assert!(reply.text().starts_with(words), "{reply:?}");
    assert_shed(&relay, "octet_rate", 1.0);
    // Operators see which limit refuses now.
    let status = relay.cli_json(&["status"]);
    let limits = status["limits"].as_array().expect("limits");
    assert_eq!((limits.len(), &limits[0]["cause"]), (1, &"octet_rate".into()), "{limits:?}");
    let text = relay.cli(&["status"]).succeeded();
    assert!(text.contains("refusing   octet_rate of smtp: last "), "{text}");
}

/// What another limit refuses does not count as a message.
#[test]
fn a_message_that_is_refused_is_not_counted() {
    let sink = Sink::start();
    let limits = [("rates.client.messages", "2/1h"), ("rates.listener.octets", "1B/1h")];
    let relay = relay(&sink, &limits);
    let mut session = open(&relay, 1);
    assert_eq!(deliver(&mut session).code, 250);
    for _ in 0..3 {
        let reply = session.expect("MAIL FROM:<ana@sender.example>", 450);
        assert!(reply.text().contains("Too many octets"), "{reply:?}");
    }
    assert_shed(&relay, "message_rate", 0.0);
}

/// Strangers that are refused again and again are not talked to; those that may relay are spared.
#[test]
fn who_is_refused_too_often_is_banned() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1"])
        .set("listener.0.bad_commands_max", 2)
        .set("listener.0.defence.ban_after", "3/10m")
        .set("listener.0.defence.ban_time", "1h");
    let relay = Relay::start(settings);
    // A session that ends for bad commands counts once.
    let mut bad = open(&relay, 2);
    bad.expect("NONSENSE", 500);
    bad.expect("NONSENSE", 500);
    assert_eq!(bad.read_reply().code, 421);
    assert!(bad.is_closed());
    for _ in 0..3 {
        let mut session = open(&relay, 2);
        session.expect("MAIL FROM:<ana@sender.example>", 250);
        session.expect("RCPT TO:<bo@receiver.example>", 550);
    }
    let mut banned = connect(&relay, 2);
    let reply = banned.read_reply();
    assert_eq!(reply.code, 421, "{reply:?}");
    let words = "4.7.0 127.0.0.2 was refused too often and is not talked to, come back in ";
    assert!(reply.text().starts_with(words), "{reply:?}");
    assert!(banned.is_closed());
    relay.log_with("client banned");
    assert_shed(&relay, "ban", 1.0);
    relay.assert_metric("chasqui_reception_bans_total{listener=\"smtp\"}", 1.0);
    open(&relay, 3).quit();
    for _ in 0..20 {
        open(&relay, 1).expect("GET / HTTP/1.1", 554);
    }
    open(&relay, 1).quit();
}

/// Each refusal is held back, but not for those that may relay, and not for more sessions than are allowed.
#[test]
fn refusals_to_strangers_are_held_back() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1"])
        .set("listener.0.defence.tarpit", "300ms")
        .set("listener.0.defence.tarpits_max", 1);
    let relay = Relay::start(settings);
    let tarpitted = "chasqui_reception_tarpitted_total{listener=\"smtp\"}";
    open(&relay, 1).expect("NONSENSE", 500);
    relay.assert_metric(tarpitted, 0.0);
    let mut session = open(&relay, 2);
    let begun = Instant::now();
    session.expect("NONSENSE", 500);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    relay.assert_metric(tarpitted, 1.0);
    // While one is held back, another is answered at once.
    let mut other = open(&relay, 3);
    session.send(b"NONSENSE\r\n");
    wait_until("the reply is held back", || relay.metric(tarpitted) > 1.5);
    other.expect("NONSENSE", 500);
    assert_eq!(session.read_reply().code, 500);
    relay.assert_metric(tarpitted, 2.0);
}

/// A stop does not wait for replies that are held back.
#[test]
fn a_stop_ends_what_is_held_back() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1"])
        .set("stop.drain_wait_max", "10m")
        .set("listener.0.defence.tarpit", "1m")
        .set("listener.0.defence.greeting_wait", "1m");
    let mut relay = Relay::start(settings);
    let mut silent = connect(&relay, 2);
    let connections = "chasqui_reception_connections{listener=\"smtp\"}";
    wait_until("it waits for its greeting", || relay.metric(connections) > 0.5);
    relay.terminate();
    assert_eq!(silent.read_reply().code, 220);
    assert_eq!(silent.read_reply().code, 421);
}

/// Nor does it begin a handshake behind them.
#[test]
fn a_stop_begins_no_handshake() {
    let (sink, folder) = (Sink::start(), tempfile::tempdir().expect("a folder"));
    let certificate = Certificate::write(folder.path());
    let path = |path: &std::path::Path| path.display().to_string();
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1"])
        .set("listener.0.tls", "starttls")
        .set("listener.0.certificate", path(&certificate.certificate))
        .set("listener.0.key", path(&certificate.key))
        .set("listener.0.defence.tarpit", "1m");
    let mut relay = Relay::start(settings);
    let mut session = open(&relay, 2);
    session.send(b"NONSENSE\r\nSTARTTLS\r\n");
    let tarpitted = "chasqui_reception_tarpitted_total{listener=\"smtp\"}";
    wait_until("the replies are held back", || relay.metric(tarpitted) > 0.5);
    assert!(relay.terminate().success());
    assert!(session.is_closed());
    assert!(!relay.log().contains("panic"), "{}", relay.log());
}

/// A client that does not wait for the greeting is turned away; one that does is served.
#[test]
fn who_speaks_before_the_greeting_is_turned_away() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1"])
        .set("listener.0.defence.greeting_wait", "500ms");
    let relay = Relay::start(settings);
    let mut early = connect(&relay, 2);
    early.send(b"EHLO client.test\r\n");
    let reply = early.read_reply();
    assert_eq!(reply.code, 554, "{reply:?}");
    assert!(reply.text().contains("before the greeting"), "{reply:?}");
    assert_eq!(early.read_reply().code, 503);
    early.expect("QUIT", 221);
    open(&relay, 3).quit();
    assert_shed(&relay, "early_talker", 1.0);
    // Who may relay is greeted at once, however early it speaks.
    let mut known = connect(&relay, 1);
    known.send(b"EHLO client.test\r\n");
    assert_eq!(known.read_reply().code, 220);
    assert_eq!(known.read_reply().code, 250);
}

/// A stranger that a list holds is told which; a list that fails, or that says it was asked wrongly, refuses nobody; who
/// may relay is not asked about.
#[test]
fn lists_of_unwanted_addresses_are_asked() {
    let sink = Sink::start();
    let answer = |last| Record::A(Ipv4Addr::new(127, 0, 0, last));
    let dns = Dns::start(&[
        ("1.0.0.127.list.example", answer(2)),
        ("2.0.0.127.list.example", answer(2)),
        ("3.0.0.127.list.example", Record::A(Ipv4Addr::new(127, 255, 255, 254))),
        ("4.0.0.127.broken.example", Record::Failure),
        ("5.0.0.127.narrow.example", answer(2)),
        ("6.0.0.127.narrow.example", answer(10)),
    ]);
    let list = |zone: &str, answers: Option<&str>| {
        let mut list = toml::Table::new();
        list.insert("zone".to_owned(), zone.into());
        if let Some(answers) = answers {
            list.insert("answers".to_owned(), vec![answers].into());
        }
        toml::Value::Table(list)
    };
    let lists = vec![
        list("list.example", None),
        list("broken.example", None),
        list("narrow.example", Some("127.0.0.10")),
    ];
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1"])
        .set("resolver.servers", vec![dns.address().to_string()])
        .set("resolver.answer_wait_max", "5s")
        .set("listener.0.defence.dnsbl_wait_max", "30s")
        .set("listener.0.defence.dnsbl", lists);
    let relay = Relay::start(settings);
    let greeting = |last| connect(&relay, last).read_reply();
    let reply = greeting(2);
    assert_eq!(reply.code, 554, "{reply:?}");
    let words = "5.7.1 127.0.0.2 is listed by list.example (127.0.0.2)";
    assert!(reply.text().starts_with(words), "{reply:?}");
    let reply = greeting(6);
    assert!(reply.text().contains("listed by narrow.example (127.0.0.10)"), "{reply:?}");
    for last in [1, 3, 4, 5, 7] {
        assert_eq!(greeting(last).code, 220, "127.0.0.{last}");
    }
    assert_shed(&relay, "dnsbl", 2.0);
    let failed = "chasqui_reception_dnsbl_failed_total{listener=\"smtp\"}";
    assert!(relay.metric(failed) >= 1.0);
    relay.log_with("client not greeted");
}

/// Lists that do not answer cost a stranger so long and no longer.
#[test]
fn lists_that_are_silent_refuse_nobody() {
    let sink = Sink::start();
    // It takes questions and answers none.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut list = toml::Table::new();
    list.insert("zone".to_owned(), "list.example".into());
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1"])
        .set("resolver.servers", vec![silent.local_addr().expect("an address").to_string()])
        .set("listener.0.defence.dnsbl_wait_max", "200ms")
        .set("listener.0.defence.dnsbl", vec![toml::Value::Table(list)]);
    let relay = Relay::start(settings);
    open(&relay, 2).quit();
    relay.assert_metric("chasqui_reception_dnsbl_failed_total{listener=\"smtp\"}", 1.0);
}

/// Each limit is named to who meets it, and to the operator.
#[test]
fn networks_and_accounts_have_limits_of_their_own() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let settings = accounts
        .settings(&sink)
        .set("listener.0.connections_per_network_max", 2)
        .set("listener.1.connections_per_login_max", 1)
        .set("listener.1.rates.login.messages", "1/1h");
    let relay = Relay::start(settings);
    let _held = [open(&relay, 1), open(&relay, 2)];
    let reply = connect(&relay, 3).read_reply();
    assert_eq!(reply.code, 421, "{reply:?}");
    let words = "4.7.0 Too many connections from the network of 127.0.0.0, try again later";
    assert_eq!(reply.text(), words);
    let name = "ana@sender.example";
    let mut session = Smtp::open(relay.listener("clear"));
    assert_eq!(log_in(&mut session, name, PASSWORD).code, 235);
    let mut other = Smtp::open(relay.listener("clear"));
    let reply = log_in(&mut other, name, PASSWORD);
    assert_eq!(reply.code, 421, "{reply:?}");
    assert!(
        reply.text().starts_with("4.7.0 Too many connections of the account ana@"),
        "{reply:?}"
    );
    assert!(other.is_closed());
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    session.expect("RSET", 250);
    let reply = session.expect("MAIL FROM:<ana@sender.example>", 450);
    let words =
        "4.7.1 Too many messages for the account ana@sender.example, 1/1h at most, come back";
    assert!(reply.text().starts_with(words), "{reply:?}");
    let status = relay.cli_json(&["status"]);
    let limits = status["limits"].as_array().expect("limits");
    let causes: Vec<_> = limits.iter().filter_map(|limit| limit["cause"].as_str()).collect();
    assert_eq!(causes, ["network_connections", "login_connections", "message_rate"]);
    // Who leaves makes room.
    session.quit();
    wait_until("room for another", || {
        log_in(&mut Smtp::open(relay.listener("clear")), name, PASSWORD).code == 235
    });
}
