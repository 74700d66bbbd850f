//! What operators see from outside: metrics, health, logs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::process::Command;

use serde_json::Value;

use crate::harness::dns::{Dns, Record};
use crate::harness::http;
use crate::harness::letter::{assert_relayed, letter};
use crate::harness::process::run;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Sink, Stage, say};
use crate::harness::wait::wait_until;

/// A relay that has seen a bit of everything.
fn experienced(sink: &Sink) -> Relay {
    experienced_with(sink, Settings::towards(sink.address()))
}

fn experienced_with(sink: &Sink, settings: Settings) -> Relay {
    let relay = Relay::start(settings);
    sink.set_script(|event| match event.stage {
        Stage::Rcpt if event.line.contains("never@") => say("550 5.1.1 nobody"),
        Stage::Rcpt if event.line.contains("slow@") => say("450 4.2.0 not now"),
        _ => Act::Go,
    });
    let mut session = relay.session();
    for recipient in ["bo@receiver.example", "never@receiver.example", "slow@receiver.example"] {
        assert_eq!(
            session.deliver("ana@sender.example", &[recipient], &letter("metrics", 900)).code,
            250
        );
    }
    assert_eq!(
        session
            .deliver("ana@sender.example", &["bo@receiver.example"], &letter("large", 300_000))
            .code,
        250
    );
    session.expect("NONSENSE", 500);
    session.quit();
    // Two deliveries and one report; the fourth message keeps being deferred.
    sink.wait_accepted(3);
    relay
}

/// The series of a metrics text, without values.
fn series(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.filter_map(|line| line.rsplit_once(' ').map(|(name, _)| name)).collect()
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let sink = Sink::start();
    let relay = experienced(&sink);
    let answer = relay.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(
        answer.headers.contains("content-type: text/plain; version=0.0.4"),
        "{}",
        answer.headers
    );
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]);
    let output = run(command, answer.body.as_bytes());
    assert!(
        output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
}

/// Series that a relay with one listener and two connectors may show.
const SERIES_MAX: usize = 450;

/// The same fixed series whoever sends what to whom: thousands of domains add none.
#[test]
fn the_number_of_series_does_not_grow_with_the_mail() {
    const FOUND: u32 = 300;
    const ROUNDS: u32 = 3;
    const RECIPIENTS: u32 = 1000;
    let sink = Sink::start();
    // Some domains lead to the sink, thousands do not exist; each is a destination of its own.
    let names: Vec<String> =
        (0..FOUND).map(|number| format!("domain-{number}.by-mx.example")).collect();
    let here = Record::A(Ipv4Addr::LOCALHOST);
    let records: Vec<_> = names.iter().map(|name| (name.as_str(), here.clone())).collect();
    let dns = Dns::start(&records);
    let connector = format!(
        "name = \"by-mx\"\nrecipient_domains = [\"*.by-mx.example\"]\ntls = \"none\"\nport = {}",
        sink.address().port()
    );
    let servers = toml::Value::Array(vec![dns.address().to_string().into()]);
    let settings = Settings::towards(sink.address())
        .push("outbound", &connector)
        .set("resolver.servers", servers);
    let relay = experienced_with(&sink, settings);
    // What can happen to a domain has happened once before the first look.
    for recipient in [format!("bo@{}", names[0]), "bo@missing.by-mx.example".to_owned()] {
        relay.submit("", &[&recipient], &letter("first", 300));
    }
    let failed = "chasqui_delivery_total{connector=\"by-mx\",result=\"failed\"}";
    let delivered = "chasqui_delivery_total{connector=\"by-mx\",result=\"delivered\"}";
    wait_until("both outcomes", || relay.metric(failed) + relay.metric(delivered) > 1.5);
    let before = relay.get("/metrics").body;

    let mut session = relay.session();
    let domain = |number: u32| format!("r{number}@domain-{number}.by-mx.example");
    for round in 0..ROUNDS {
        let numbers = round * RECIPIENTS..(round + 1) * RECIPIENTS;
        // The null sender: thousands of reports would show nothing more.
        let recipients: Vec<String> = numbers.map(domain).collect();
        let list: Vec<&str> = recipients.iter().map(String::as_str).collect();
        session.expect(&format!("EHLO client-{round}.sender.example"), 250);
        assert_eq!(session.deliver("", &list, &letter(&round.to_string(), 300)).code, 250);
    }
    session.quit();
    let all = f64::from(2 + ROUNDS * RECIPIENTS);
    wait_until("all outcomes", || relay.metric(failed) + relay.metric(delivered) > all - 0.5);
    wait_until("an empty queue but for one", || {
        relay.cli_json(&["status"])["spool"]["messages"] == 1
    });
    relay.assert_metric(delivered, f64::from(1 + FOUND));
    relay.assert_metric(failed, f64::from(1 + ROUNDS * RECIPIENTS - FOUND));

    let after = relay.get("/metrics").body;
    let sorted = |text| BTreeSet::from_iter(series(text));
    let more: Vec<_> = sorted(&after).difference(&sorted(&before)).copied().collect();
    assert!(more.is_empty(), "new series: {more:?}");
    assert!(series(&after).len() <= SERIES_MAX, "{} series", series(&after).len());
    for word in ["domain-", "sender", "receiver", "@"] {
        assert!(!series(&after).iter().any(|name| name.contains(word)), "{word} is in a series");
    }
}

/// Every family has the prefix, a help text and a type; the ones that dashboards need are there.
#[test]
fn the_families_are_named_and_described() {
    let sink = Sink::start();
    let relay = experienced(&sink);
    let text = relay.get("/metrics").body;
    let mut helps = BTreeMap::new();
    let mut types = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => drop(helps.insert(name, help)),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => drop(types.insert(name, kind)),
            _ => {}
        }
    }
    assert!(!types.is_empty());
    for name in types.keys() {
        assert!(name.starts_with("chasqui_") || name.starts_with("process_"), "{name}");
        assert!(helps.get(name).is_some_and(|help| help.len() > 10), "{name} has no help text");
    }
    for wanted in [
        "spool_commit_seconds",
        "spool_messages",
        "queue_messages",
        "delivery_",
        "channel_depth",
        "panic_total",
        "stage_seconds",
    ] {
        assert!(types.keys().any(|name| name.contains(wanted)), "{wanted}: {:?}", types.keys());
    }
    assert!(relay.metric_sum("chasqui_panic_total") < 1.0);
}

/// The counters tell what happened, no more and no less.
#[test]
fn the_counters_agree_with_what_happened() {
    let sink = Sink::start();
    // One try of the message that is not wanted now.
    let settings = Settings::towards(sink.address())
        .set("queue.retry_reply.first", "1h")
        .set("queue.retry_reply.max", "1h");
    let relay = experienced_with(&sink, settings);
    wait_until("all outcomes", || {
        relay.metric_sum("chasqui_delivery_total") > 4.5
            && relay.cli_json(&["status"])["spool"]["messages"] == 1
    });
    // Two of the four messages and the report.
    for (result, count) in [
        ("delivered", 3.0),
        ("deferred", 1.0),
        ("failed", 1.0),
        ("expired", 0.0),
        ("cancelled", 0.0),
    ] {
        let labels = format!("{{connector=\"next-hop\",result=\"{result}\"}}");
        relay.assert_metric(&format!("chasqui_delivery_total{labels}"), count);
    }
    for (family, count) in [
        ("delivery_total", 5.0),
        ("queue_attempts_total", 5.0),
        ("dsn_total", 1.0),
        ("spool_messages", 1.0),
        ("panic_total", 0.0),
    ] {
        let sum = relay.metric_sum(&format!("chasqui_{family}"));
        assert!((sum - count).abs() < 0.5, "{family}: {sum} instead of {count}");
    }
    let accepted = "result=\"accepted\",code_class=\"2xx\"";
    relay.assert_metric(&format!("chasqui_accept_total{{listener=\"smtp\",{accepted}}}"), 4.0);
    let all = relay.metric_sum("chasqui_accept_total");
    assert!((all - 4.0).abs() < 0.5, "{all} transactions ended");
}

/// What writes large content is told wherever an operator looks.
#[test]
fn the_way_of_large_content_is_told() {
    for kind in ["io-uring", "threads"] {
        let sink = Sink::start();
        let settings = Settings::towards(sink.address()).set("spool.body_io", kind);
        let relay = Relay::start(settings);
        let log = relay.log_with("relay started");
        let opened: Vec<Value> = log
            .lines()
            .filter(|line| line.contains("the spool is open"))
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let [opened] = opened.as_slice() else { panic!("told once:\n{log}") };
        assert_eq!(opened["body_io"], kind);
        assert_eq!(relay.cli_json(&["status"])["spool"]["body_io"], kind);
        let text = relay.cli(&["status"]).succeeded();
        assert!(text.contains(&format!("; bodies by {kind}\n")), "{text}");
        relay.assert_metric(&format!("chasqui_spool_body_io_info{{kind=\"{kind}\"}}"), 1.0);
        let metrics = relay.get("/metrics").body;
        assert_eq!(metrics.matches("\nchasqui_spool_body_io_info{").count(), 1, "one runs");
        // It does write: more than fits in the database itself.
        let content = letter("large", 3_000_000);
        relay.submit("ana@sender.example", &["bo@receiver.example"], &content);
        assert_relayed("large", &sink.wait_accepted(1)[0].content, &content);
    }
}

#[test]
fn the_health_end_points_answer() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(relay.get(path).status, 200, "{path}");
    }
    assert_eq!(relay.get("/nothing").status, 404);
    // The TCP listener only reads: control needs the socket.
    for (method, path) in [
        ("POST", "/v1/queue/cancel"),
        ("GET", "/v1/status"),
        ("GET", "/v1/queue"),
        ("DELETE", "/metrics"),
    ] {
        let answer = http::request(relay.http(), method, path);
        assert!(matches!(answer.status, 403..=405), "{method} {path}: {answer:?}");
    }
}

/// One line per outcome, each a JSON object with the same names, free of control characters.
#[test]
fn the_log_is_one_json_object_per_outcome() {
    let sink = Sink::start();
    let relay = experienced(&sink);
    // A line is written when the outcome is stored, which is later than the reply that the sink sees.
    wait_until("all outcomes in the log", || {
        let log = relay.log();
        log.contains("not now") && log.matches("\"delivered\"").count() >= 3
    });
    let log = relay.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(!log.chars().any(|letter| letter.is_control() && letter != '\n'));
    // A key that stands twice in an object is lost to most readers.
    let doubled = log.lines().find(|line| line.matches(",\"message\":").count() > 1);
    assert_eq!(doubled, None);
    let text = |line: &Value| line.to_string();
    let with = |words: &[&str]| {
        lines.iter().filter(|line| words.iter().all(|word| text(line).contains(word))).count()
    };
    assert!(with(&["bo@receiver.example", "message"]) >= 2, "{log}");
    assert_eq!(with(&["never@receiver.example", "550"]), 1, "one line for one failure\n{log}");
    assert!(with(&["slow@receiver.example", "450"]) >= 1, "{log}");
}

/// What a client or a next hop says cannot forge a line of the log.
#[test]
fn nobody_forges_a_line_of_the_log() {
    let sink = Sink::scripted(|event| match event.stage {
        Stage::Rcpt => {
            say("550-5.1.1 one\r\n550 \u{1b}[2J{\"level\":\"ERROR\",\"forged\":true}\u{85}end")
        }
        _ => Act::Go,
    });
    let relay = Relay::start(Settings::towards(sink.address()).set("log.format", "human"));
    let mut session = relay.session();
    session.command("EHLO \u{1b}]0;evil\u{7}client");
    session.command("EHLO client.test");
    session.deliver("", &["\"new\u{1b}line\"@receiver.example"], &letter("forged", 300));
    session.expect("RSET", 250);
    session.expect("MAIL FROM:<>", 250);
    session.expect("RCPT TO:<bo@receiver.example>", 250);
    session.expect("DATA", 354);
    session.send(b"\r\nbody\r\n.\r\n");
    assert_eq!(session.read_reply().code, 250);
    let log = relay.log_with("forged");
    let odd = log.chars().find(|&letter| letter != '\n' && letter.is_control());
    assert_eq!(odd, None, "{}", log.escape_debug());
}
