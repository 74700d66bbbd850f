//! Whom inbound connectors let in, for how long, by which way, and under whose From.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mail::Timestamp;
use toml::Value;

use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::Smtp;
use crate::harness::wait::wait_until;

/// A session of a client at 127.0.0.`last`.
fn open(relay: &Relay, last: u8) -> Smtp {
    let client = std::net::Ipv4Addr::new(127, 0, 0, last).into();
    let mut session = Smtp::connect_from(client, relay.smtp()).expect("a connection");
    session.read_reply();
    session.expect("EHLO client.test", 250);
    session
}

/// What the client is told at RCPT.
fn told(session: &mut Smtp) -> String {
    session.expect("MAIL FROM:<ana@own.example>", 250);
    let reply = session.command("RCPT TO:<bo@x.example>");
    session.expect("RSET", 250);
    format!("{} {}", reply.code, reply.text())
}

fn in_seconds(seconds: u64) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let at = now + Duration::from_secs(seconds);
    Timestamp::from_millis(u64::try_from(at.as_millis()).expect("a time"))
}

/// The settings' networks: 127.0.0.1 for ever, the others until then.
fn networks(until: &[(&str, &str)]) -> Value {
    let expiring = until.iter().map(|(network, expires)| {
        let text = format!("network = \"{network}\"\nexpires = \"{expires}\"");
        Value::Table(text.parse().expect("a table"))
    });
    Value::Array(std::iter::once("127.0.0.1".into()).chain(expiring).collect())
}

/// It ends by itself, in the middle of a session too; the log says what ended, and the client hears that something did.
#[test]
fn oc_17_an_address_counts_until_it_expires_and_no_reload_is_needed() {
    let sink = Sink::start();
    // On a busy machine the relay may take longer to start than the address lasts.
    for seconds in [3, 10, 30] {
        let until = in_seconds(seconds).rfc3339();
        let list = networks(&[("127.0.0.8/32", &until), ("127.0.0.9/32", "2001-01-31")]);
        let relay = Relay::start(Settings::towards(sink.address()).set("inbound.0.networks", list));
        let mut session = open(&relay, 8);
        if !told(&mut session).starts_with("250 ") {
            continue;
        }
        let denied =
            "550 5.7.1 Relay access denied for 127.0.0.8, which was let in for a time that is over";
        wait_until("the address to expire", || told(&mut session) == denied);
        relay.log_with(&format!(
            "nearest is connector tests, with this address until {until}, when that expired"
        ));
        assert!(told(&mut open(&relay, 9)).contains("127.0.0.9, which was let in for a time"));
        relay.log_with("with this address until 2001-01-31, when that expired");
        assert!(told(&mut open(&relay, 1)).starts_with("250 "));
        let stranger = told(&mut open(&relay, 7));
        assert_eq!(stranger, "550 5.7.1 Relay access denied for 127.0.0.7");
        return;
    }
    panic!("no relay started within 30 seconds");
}

/// Edits keep ends, and those who look are told of them.
#[test]
fn ends_of_addresses_are_kept_shown_and_warned_of() {
    let sink = Sink::start();
    let day = |seconds| {
        let text = in_seconds(seconds).rfc3339();
        text.split('T').next().expect("a day").to_owned()
    };
    let (soon, late) = (day(20 * 24 * 3600), day(60 * 24 * 3600));
    let list = networks(&[
        ("192.0.2.0/24", &soon),
        ("198.51.100.0/24", &late),
        ("203.0.113.7/32", "2001-01-31"),
    ]);
    let relay = Relay::start(Settings::towards(sink.address()).set("inbound.0.networks", list));
    let checked = relay.cli(&["config", "check"]);
    for words in [
        format!("inbound.networks: 192.0.2.0/24 lets clients in until {soon}"),
        "inbound.networks: 203.0.113.7/32 let clients in until 2001-01-31".to_owned(),
    ] {
        assert!(checked.stderr.contains(&words), "{checked:?}");
    }
    assert_eq!(checked.stderr.matches("warning: ").count(), 2, "{checked:?}");
    relay.cli(&["connector", "set", "tests", "comment=\"new\"", "--yes"]).succeeded();
    let shown = relay.cli_json(&["connector", "show", "tests"]);
    let table = |network: &str, expires: &str| serde_json::json!({ "network": network, "expires": expires });
    assert_eq!(
        shown["fields"]["networks"],
        serde_json::json!([
            "127.0.0.1/32",
            table("192.0.2.0/24", &soon),
            table("198.51.100.0/24", &late),
            table("203.0.113.7/32", "2001-01-31"),
        ])
    );
    let add = "networks=[{ network = \"127.0.0.9\", expires = \"2001-01-31\" }]";
    relay.cli(&["connector", "add", "old", "--inbound", add, "--yes"]).succeeded();
    assert!(told(&mut open(&relay, 9)).contains("a time that is over"));
    let bad = relay.cli(&[
        "connector",
        "set",
        "old",
        "networks=[{ network = \"::1\", expires = \"soon\" }]",
        "--yes",
    ]);
    assert!(bad.stderr.contains("`soon` is no time: write a day"), "{bad:?}");
    let explained = relay.cli_json(&["explain-connection", "--ip", "203.0.113.7"]);
    assert_eq!(explained["nearest"]["missed"], "this address until 2001-01-31, when that expired");
    let exported = relay.cli(&["connector", "export"]);
    assert!(
        exported.stdout.contains("# Exchange knows no end of an address: tests"),
        "{exported:?}"
    );
    assert!(exported.stderr.contains("note: Exchange knows no end of an address"), "{exported:?}");
    // What was exported makes the same again.
    let file = relay.folder().join("connectors.ps1");
    std::fs::write(&file, &exported.stdout).expect("a file");
    let again = relay.cli(&["connector", "import", &file.display().to_string(), "--dry-run"]);
    assert!(again.succeeded().contains("nothing changes"));
}
