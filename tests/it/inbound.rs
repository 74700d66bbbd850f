//! Whom inbound connectors let in, for how long, by which way, and under whose From.

use std::sync::{Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mail::Timestamp;
use toml::Value;

use crate::daily_limits::within_an_hour;
use crate::harness::hook::Hook;
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
        let relay = Relay::start(
            Settings::towards(sink.address()).set("inbound.0.sender_ip_addresses", list),
        );
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
    let relay =
        Relay::start(Settings::towards(sink.address()).set("inbound.0.sender_ip_addresses", list));
    let checked = relay.cli(&["config", "check"]);
    for words in [
        format!("inbound.sender_ip_addresses: 192.0.2.0/24 lets clients in until {soon}"),
        "inbound.sender_ip_addresses: 203.0.113.7/32 let clients in until 2001-01-31".to_owned(),
    ] {
        assert!(checked.stderr.contains(&words), "{checked:?}");
    }
    assert_eq!(checked.stderr.matches("warning: ").count(), 2, "{checked:?}");
    relay.cli(&["connector", "set", "tests", "comment=\"new\"", "--yes"]).succeeded();
    let shown = relay.cli_json(&["connector", "show", "tests"]);
    let table = |network: &str, expires: &str| serde_json::json!({ "network": network, "expires": expires });
    assert_eq!(
        shown["fields"]["sender_ip_addresses"],
        serde_json::json!([
            "127.0.0.1/32",
            table("192.0.2.0/24", &soon),
            table("198.51.100.0/24", &late),
            table("203.0.113.7/32", "2001-01-31"),
        ])
    );
    let add = "sender_ip_addresses=[{ network = \"127.0.0.9\", expires = \"2001-01-31\" }]";
    relay.cli(&["connector", "add", "old", "--inbound", add, "--yes"]).succeeded();
    assert!(told(&mut open(&relay, 9)).contains("a time that is over"));
    let bad = relay.cli(&[
        "connector",
        "set",
        "old",
        "sender_ip_addresses=[{ network = \"::1\", expires = \"soon\" }]",
        "--yes",
    ]);
    assert!(bad.stderr.contains("`soon` is no time: write a day"), "{bad:?}");
    let explained = relay.asked(&["explain-connection", "--ip", "203.0.113.7"]);
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

/// Settings whose one connector is this.
fn only(sink: &Sink, connector: &str) -> Settings {
    let settings = Settings::towards(sink.address()).set("inbound", Vec::<Value>::new());
    settings.push("inbound", connector)
}

fn content(header: &str) -> Vec<u8> {
    format!("{header}\r\nBody.\r\n").into_bytes()
}

#[track_caller]
fn deliver(relay: &Relay, sender: &str, header: &str) -> String {
    let reply = relay.session().deliver(sender, &["bo@x.example"], &content(header));
    format!("{} {}", reply.code, reply.text())
}

/// The From of the header is held against MAIL or the lists, only where that is asked for; what is not right about it is
/// said, and nothing of the message is kept.
#[test]
fn the_from_of_the_header_must_fit_where_a_connector_asks() {
    let sink = Sink::start();
    let own = "ana@own.example";
    for (rule, sender, header, want) in [
        ("any", own, "Subject: x\r\n", "250 "),
        ("any", own, "From: evil@x.example\r\n", "250 "),
        ("same-domain", own, "From: Bo <bo@Own.example>\r\n", "250 "),
        (
            "same-domain",
            own,
            "From: evil@x.example\r\n",
            "550 5.7.1 From rejected: evil@x.example is not in the domain of the sender in MAIL, ana@own.example; write",
        ),
        ("same-domain", own, "Subject: x\r\n", "550 5.7.1 From rejected: there is none; write one"),
        (
            "same-address",
            own,
            "From: ana@own.example\r\nFrom: evil@x.example\r\n",
            "550 5.7.1 From rejected: there are several",
        ),
        ("same-address", own, "From: ana@\r\n", "550 5.7.1 From rejected: it cannot be read"),
        ("same-address", own, "From: ANA@own.example\r\n", "250 "),
        (
            "same-address",
            own,
            "From: bo@own.example\r\n",
            "550 5.7.1 From rejected: bo@own.example is not the sender in MAIL; write ana@own.example there",
        ),
        ("same-address", "", "From: ana@own.example\r\n", "550 5.7.1 Null sender rejected"),
        ("registered", own, "From: two@two.example\r\n", "250 "),
        (
            "registered",
            own,
            "From: evil@x.example\r\n",
            "550 5.7.1 From rejected: evil@x.example is not registered; write",
        ),
    ] {
        let lists = match rule {
            "registered" => "registered_senders = [\"own.example\", \"two@two.example\"]",
            _ => "",
        };
        let connector = format!(
            "name = \"app\"\nsender_ip_addresses = [\"127.0.0.1\"]\nheader_from = \"{rule}\"\n{lists}"
        );
        let relay = Relay::start(only(&sink, &connector));
        let said = deliver(&relay, sender, header);
        assert!(said.starts_with(want), "{rule} {sender} {header}: {said}");
        if want.contains("From rejected") {
            relay.log_with(&format!("connector app has header_from = \\\"{rule}\\\""));
            assert_eq!(relay.cli_json(&["status"])["spool"]["messages"], 0);
        }
    }
}

/// Those who look before they send are told.
#[test]
fn what_is_asked_of_the_from_is_explained() {
    let sink = Sink::start();
    let connector =
        "name = \"app\"\nsender_ip_addresses = [\"127.0.0.1\"]\nheader_from = \"same-domain\"";
    let relay = Relay::start(only(&sink, connector));
    let words = ["explain-connection", "--ip", "127.0.0.1"];
    assert_eq!(relay.asked(&words)["header_from"], "same-domain");
    assert!(relay.cli(&words).succeeded().contains("header_from = \"same-domain\""));
    let ask = |from: &str| {
        let header = format!("From: {from}");
        let route = ["route", "--from", "a@own.example", "--to", "b@x.example"];
        relay.asked(&[&route[..], &["--ip", "127.0.0.1", "--header", &header]].concat())
    };
    assert_eq!(ask("b@own.example")["refusal"], serde_json::Value::Null);
    let refusal = ask("b@x.example")["refusal"].as_str().unwrap_or_default().to_owned();
    assert!(refusal.starts_with("550 5.7.1 From rejected: b@x.example is not in"), "{refusal}");
    assert!(refusal.contains("connector app has header_from"), "{refusal}");
    let bad = relay.cli(&["connector", "set", "app", "header_from=registered", "--yes"]);
    assert!(bad.stderr.contains("inbound.header_from: nobody is registered"), "{bad:?}");
}

const PLANS: [&str; 2] = [
    "name = \"small\"\nincludes = [\"login\"]\ntext = \"not in your plan, ask sales@relay.test\"",
    "name = \"large\"\nincludes = [\"network\", \"login\", \"spf\", \"certify\"]",
];

fn with_plans(settings: Settings) -> Settings {
    PLANS.into_iter().fold(settings, |settings, plan| settings.push("plan", plan))
}

const NOT_IN_PLAN: &str = "550 5.7.1 not in your plan, ask sales@relay.test";

fn mail(session: &mut Smtp) -> String {
    let reply = session.command("MAIL FROM:<ana@own.example>");
    session.command("RSET");
    format!("{} {}", reply.code, reply.text())
}

/// A way that the plan lacks is refused with the plan's words, before anything is counted or stored; another plan lets
/// the same client in at once.
#[test]
fn ee_24_a_way_that_the_plan_lacks_is_refused_with_its_words() {
    let sink = Sink::start();
    let connector = "name = \"acme\"\nsender_ip_addresses = [\"127.0.0.1\"]\nplan = \"small\"";
    let settings = with_plans(only(&sink, connector))
        .set("listener.0.rates.client.messages", "1/1h")
        .set("listener.0.defence.ban_after", "2/1h");
    let relay = Relay::start(settings);
    for _ in 0..2 {
        let mut session = open(&relay, 1);
        assert_eq!(mail(&mut session), NOT_IN_PLAN);
        session.expect("RCPT TO:<bo@x.example>", 503);
    }
    // The plan lets it in by nothing, so it is banned as any other.
    let mut session = open(&relay, 1);
    assert_eq!(mail(&mut session), NOT_IN_PLAN);
    let banned = Smtp::connect_from("127.0.0.1".parse().expect("an address"), relay.smtp())
        .expect("a connection")
        .read_reply();
    assert!(banned.text().contains("was refused too often"), "{banned:?}");
    let log = relay.log_with("transaction refused");
    assert!(log.contains("plan small of connector acme does not include `network`"), "{log}");
    assert_eq!(relay.cli_json(&["status"])["spool"]["messages"], 0);
    let explained = relay.asked(&["explain-connection", "--ip", "127.0.0.1"]);
    assert_eq!(explained["refusal"], NOT_IN_PLAN, "{explained}");
    assert_eq!(explained["reason"], "plan small of connector acme does not include `network`");
    let checked = relay.cli(&["config", "check"]);
    let warning =
        "inbound.sender_ip_addresses: plan `small` does not include `network`, so it is refused";
    assert!(checked.stderr.contains(warning), "{checked:?}");
    let bad = relay.cli(&["connector", "set", "acme", "plan=huge", "--yes"]);
    assert!(bad.stderr.contains("inbound.plan: there is no plan `huge`"), "{bad:?}");
    relay.cli(&["connector", "set", "acme", "plan=large", "--yes"]).succeeded();
    // Not one of those before was counted as a message.
    relay.submit("ana@own.example", &["bo@x.example"], &content("Subject: x\r\n"));
    sink.wait_accepted(1);
}

/// Without the plan for it nobody asks the DNS.
#[test]
fn ee_24_spf_without_the_plan_is_refused_and_not_looked_up() {
    let sink = Sink::start();
    let dns = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    dns.set_nonblocking(true).expect("a socket");
    let connector =
        "name = \"acme\"\nauth = \"spf\"\nregistered_senders = [\"own.example\"]\nplan = \"small\"";
    let address = dns.local_addr().expect("an address").to_string();
    let settings = with_plans(only(&sink, connector))
        .set("resolver.servers", vec![address])
        .set("resolver.answer_wait_max", "100ms");
    let relay = Relay::start(settings);
    assert_eq!(mail(&mut open(&relay, 1)), NOT_IN_PLAN);
    let asked = || dns.recv_from(&mut [0; 512]).is_ok();
    assert!(!asked());
    relay.cli(&["connector", "set", "acme", "plan=large", "--yes"]).succeeded();
    assert!(mail(&mut open(&relay, 1)).starts_with("451 4.4.3 SPF temperror"));
    assert!(asked());
}

/// Certified mail is an extra: whoever has not paid for it hears so, by a rule or by a suffix.
#[test]
fn ee_24_certified_mail_needs_the_plan_for_it() {
    let sink = Sink::start();
    let plan = "name = \"plain\"\nincludes = [\"network\"]";
    let connector = "name = \"acme\"\nsender_ip_addresses = [\"127.0.0.1\"]\nplan = \"plain\"\n\
        certified_suffix = \"evidence.example\"";
    let settings = with_plans(only(&sink, connector)).push("plan", plan).push(
        "rule",
        "name = \"c\"\nwhen = { subject_contains = [\"certify\"] }\nthen = { certify = true }",
    );
    let relay = Relay::start(settings);
    let lacking = "550 5.7.1 certified mail does not come with your plan";
    let send = |to: &str, subject: &str| {
        let header = format!("From: ana@own.example\r\nSubject: {subject}\r\n");
        let reply = relay.session().deliver("ana@own.example", &[to], &content(&header));
        format!("{} {}", reply.code, reply.text())
    };
    assert_eq!(send("bo@x.example", "certify"), lacking);
    let lacks = "plan plain of connector acme does not include `certify`";
    relay.log_with(&format!("rule c certifies; {lacks}"));
    assert_eq!(send("bo@x.example.evidence.example", "x"), lacking);
    relay.log_with(&format!("\"reason\":\"{lacks}\""));
    assert_eq!(relay.cli_json(&["status"])["spool"]["messages"], 0);
    assert!(send("bo@x.example", "x").starts_with("250 "));
    relay.cli(&["connector", "set", "acme", "plan=large", "--yes"]).succeeded();
    assert!(send("bo@x.example", "certify").starts_with("250 "));
    assert!(send("bo@x.example.evidence.example", "x").starts_with("250 "));
    sink.wait_accepted(3);
}

/// A limit of the day is known without a look-up, so nobody asks the DNS for mail that is not taken anyway. Who asks is not
/// known yet: it hears of no number, and the connector is not counted as one that sheds.
#[test]
fn a_full_day_is_found_before_spf_is_looked_up() {
    within_an_hour(|| {
        let sink = Sink::start();
        for limit in ["daily_messages_max = 1\nconnections_max = 1", "daily_recipients_max = 1"] {
            let dns = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
            dns.set_nonblocking(true).expect("a socket");
            let address = dns.local_addr().expect("an address").to_string();
            let connector = format!(
                "name = \"acme\"\nsender_ip_addresses = [\"127.0.0.1\"]\nauth = \"spf\"\n\
                registered_senders = [\"own.example\"]\n{limit}"
            );
            let settings = only(&sink, &connector)
                .set("resolver.servers", vec![address])
                .set("resolver.answer_wait_max", "100ms");
            let relay = Relay::start(settings);
            let asked = || dns.recv_from(&mut [0; 512]).is_ok();
            assert!(mail(&mut open(&relay, 2)).starts_with("451 4.4.3 SPF temperror"));
            assert!(asked());
            while asked() {}
            relay.submit("ana@own.example", &["bo@x.example"], &content("Subject: x\r\n"));
            let full =
                "452 4.7.1 Too much mail for this sender's connector today, come back at 00:00 UTC";
            assert_eq!(mail(&mut open(&relay, 2)), full);
            assert!(!asked());
            relay.log_with("connector acme has taken all of its day, until ");
            assert!(relay.metric_sum("chasqui_load_shed_total") < 0.5);
            // Who is known to be of the connector hears what is full.
            let mut known = open(&relay, 1);
            let mut told = mail(&mut known);
            if limit.starts_with("daily_recipients_max") {
                known.expect("MAIL FROM:<ana@own.example>", 250);
                told = known.expect("RCPT TO:<bo@x.example>", 452).text();
            }
            assert!(told.contains("for your connector, 1 a day at most, come back at"), "{told}");
        }
    });
}

/// What is decided at the end of content is decided by the settings of then; where what they ask for was not kept, or who
/// let the client in is gone, it may try again.
#[test]
fn settings_that_change_while_content_comes_count_at_its_end() {
    let sink = Sink::start();
    let relay = Relay::start(only(&sink, "name = \"app\"\nsender_ip_addresses = [\"127.0.0.1\"]"));
    let begin = || {
        let mut session = open(&relay, 1);
        session.expect("MAIL FROM:<ana@own.example>", 250);
        session.expect("RCPT TO:<bo@x.example>", 250);
        session.expect("DATA", 354);
        session.send(b"From: eve@x.example\r\n");
        session
    };
    let end = |session: &mut Smtp| {
        session.send(b"Subject: x\r\n\r\nBody.\r\n.\r\n");
        let reply = session.read_reply();
        format!("{} {}", reply.code, reply.text())
    };
    let set = |words: &str| relay.cli(&["connector", "set", "app", words, "--yes"]).succeeded();
    let again = "451 4.3.0 The settings have changed while the message came, try again";
    let mut session = begin();
    set("header_from=same-domain");
    assert_eq!(end(&mut session), again);
    relay.log_with("more of the content is asked for than when it began");
    // It is asked for from the start now.
    let mut session = begin();
    let told = end(&mut session);
    assert!(told.starts_with("550 5.7.1 From rejected: eve@x.example"), "{told}");
    // What asks for less, or for something else, holds up nothing.
    let mut session = begin();
    set("header_from=any");
    assert!(end(&mut session).starts_with("250 "));
    let mut session = begin();
    set("comment=\"other\"");
    assert!(end(&mut session).starts_with("250 "));
    let mut session = begin();
    set("enabled=false");
    assert_eq!(end(&mut session), again);
    relay.log_with("connector app is gone since the content began");
    sink.wait_accepted(2);
}

/// Settings change while a filter is asked: who let the client in is gone when it answers.
#[test]
fn settings_that_change_while_others_are_asked_count_too() {
    let sink = Sink::start();
    let (ask, asked) = mpsc::sync_channel(1);
    let (answer, answered) = mpsc::sync_channel::<()>(1);
    let answered = Mutex::new(answered);
    let hook = Hook::start(move |_| {
        ask.send(()).expect("a test that waits");
        answered.lock().expect("one at a time").recv().expect("a word");
        r#"{"action":"continue"}"#.to_owned()
    });
    let filter = format!(
        "name = \"check\"\nkind = \"http\"\naddress = \"{}\"\nstages = [\"data\"]",
        hook.address()
    );
    let settings = only(&sink, "name = \"app\"\nsender_ip_addresses = [\"127.0.0.1\"]");
    let relay = Relay::start(settings.push("filter", &filter));
    for (words, want) in [("comment=\"other\"", 250), ("enabled=false", 451)] {
        let mut session = open(&relay, 1);
        session.expect("MAIL FROM:<ana@own.example>", 250);
        session.expect("RCPT TO:<bo@x.example>", 250);
        session.expect("DATA", 354);
        session.send(b"Subject: x\r\n\r\nBody.\r\n.\r\n");
        asked.recv().expect("a question");
        relay.cli(&["connector", "set", "app", words, "--yes"]).succeeded();
        answer.send(()).expect("a filter that waits");
        let reply = session.read_reply();
        assert_eq!(reply.code, want, "{reply:?}");
    }
    relay.log_with("connector app is gone since the content began");
    sink.wait_accepted(1);
}
