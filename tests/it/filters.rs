//! Filters of others that the relay asks about mail.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::daemon::opendkim::{Signer, opendkim};
use testkit::daemon::rspamd::{GTUBE, rspamd};

use crate::corpus::corpus_folder;
use crate::dkim::verify;
use crate::explain::at_rest;
use crate::harness::hook::Hook;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::wait::wait_until;
use crate::signing::Keys;

const LETTER: &[u8] = b"From: a@own.example\r\nSubject: one\r\n\r\nBody.\r\n";

fn with_hook(sink: &Sink, hook: &Hook, more: &str) -> Settings {
    with_filter(sink, "http", hook.address(), more)
}

fn with_filter(sink: &Sink, kind: &str, address: &str, more: &str) -> Settings {
    let filter = format!("name = \"check\"\nkind = \"{kind}\"\naddress = \"{address}\"\n{more}");
    Settings::towards(sink.address()).push("filter", &filter)
}

const STAGES: &str = "stages = [\"connect\", \"helo\", \"mail\", \"rcpt\", \"data\"]";

/// A refusal of each stage reaches the client, and the log names the filter.
#[test]
fn a_hook_refuses_at_each_stage() {
    let sink = Sink::start();
    for (stage, want) in [("mail", 550), ("rcpt", 451), ("data", 554)] {
        let hook = Hook::start(move |asked| {
            let code = if asked["stage"] == stage { want } else { 0 };
            let action = if code < 500 { "defer" } else { "reject" };
            if code == 0 {
                return r#"{"action":"continue"}"#.to_owned();
            }
            let class = code / 100;
            format!(
                r#"{{"action":"{action}","reply":{{"code":{code},"status":"{class}.7.1","text":"no {stage}"}}}}"#
            )
        });
        let relay = Relay::start(with_hook(&sink, &hook, STAGES));
        let mut session = relay.session();
        let reply = session.deliver("a@own.example", &["b@x.example"], LETTER);
        assert_eq!(reply.code, want, "{stage}: {reply:?}");
        assert!(reply.text().ends_with(&format!("no {stage}")), "{reply:?}");
        let log = relay.log_with("transaction refused");
        assert!(log.contains("filter answered") && log.contains("\"filter\":\"check\""), "{log}");
        let stages: Vec<_> = hook.asked().iter().map(|it| it["stage"].clone()).collect();
        assert_eq!(stages[..3], ["connect", "helo", "mail"], "{stages:?}");
    }
    assert_eq!(sink.accepted().len(), 0);
}

#[test]
fn a_client_that_a_hook_does_not_want_is_not_greeted() {
    let sink = Sink::start();
    let hook = Hook::start(|_| r#"{"action":"reject"}"#.to_owned());
    let relay = Relay::start(with_hook(&sink, &hook, STAGES));
    let mut session = crate::harness::smtp::Smtp::connect(relay.smtp()).expect("a connection");
    assert_eq!(session.try_read_reply().expect("a greeting").code, 554);
    relay.log_with("client not greeted");
}

/// What a hook changes is there when the mail arrives, and the rules see it.
#[test]
fn a_hook_adds_a_header_and_a_class_and_changes_recipients() {
    let (sink, bulk) = (Sink::start(), Sink::start());
    let hook = Hook::start(|_| {
        r#"{"action":"continue","class":"bulk","recipients":{"add":["c@x.example"],"remove":["b@x.example"]},
            "headers":[{"add":"X-Seen","value":"yes"},{"add":"X-Second","value":"2","at":1},
            {"set":"Subject","value":"two"}]}"#
            .to_owned()
    });
    let (host, port) = (bulk.address().ip(), bulk.address().port());
    let settings = with_hook(&sink, &hook, "")
        .push(
            "outbound",
            &format!("name = \"bulk\"\ntls = \"none\"\nis_transport_rule_scoped = true\nsmart_hosts = [{{ host = \"{host}\", port = {port} }}]"),
        )
        .push(
            "rule",
            "name = \"r\"\nwhen = { class = [\"bulk\"], subject_contains = [\"two\"] }\nthen = { route = \"bulk\" }",
        );
    let relay = Relay::start(settings);
    relay.submit("a@own.example", &["b@x.example", "d@x.example"], LETTER);
    let received = bulk.wait_accepted(1);
    let mut recipients: Vec<_> = received.iter().flat_map(|it| it.recipients.clone()).collect();
    recipients.sort();
    assert!(recipients.contains(&"d@x.example".to_owned()), "{recipients:?}");
    assert!(!recipients.contains(&"b@x.example".to_owned()), "{recipients:?}");
    let text = String::from_utf8_lossy(&received[0].content).into_owned();
    let want = "From: a@own.example\r\nX-Second: 2\r\nSubject: two\r\nX-Seen: yes\r\n\r\nBody.\r\n";
    assert!(text.starts_with("Received:") && text.ends_with(want), "{text}");
}

/// A filter that sends a message elsewhere wants it to arrive: where nothing leads there it is not forgotten.
#[test]
fn what_a_filter_sends_nowhere_is_refused_for_now() {
    let sink = Sink::start();
    let hook = Hook::start(|_| {
        r#"{"action":"continue","recipients":{"add":["q@nowhere.example"],"remove":["b@x.example"]}}"#
            .to_owned()
    });
    let settings = with_hook(&sink, &hook, "")
        .set("outbound.0.recipient_domains", vec!["x.example".to_owned()]);
    let relay = Relay::start(settings);
    let mut session = relay.session();
    let reply = session.deliver("a@own.example", &["b@x.example"], LETTER);
    assert_eq!(reply.code, 451, "{reply:?}");
    assert!(reply.text().starts_with("4.3.5 a filter names recipients"), "{reply:?}");
    assert_eq!(session.deliver("a@own.example", &["d@x.example"], LETTER).code, 250);
    assert_eq!(sink.wait_accepted(1)[0].recipients, ["d@x.example"]);
}

#[test]
fn a_hook_holds_or_discards() {
    let sink = Sink::start();
    for action in ["hold", "discard"] {
        let hook =
            Hook::start(move |_| format!(r#"{{"action":"{action}","reason":"looked odd"}}"#));
        let relay = Relay::start(with_hook(&sink, &hook, ""));
        relay.submit("a@own.example", &["b@x.example"], LETTER);
        if action == "hold" {
            relay.log_with("message accepted");
            let queued = || relay.cli_json(&["queue", "list"])["messages"][0]["id"].clone();
            wait_until("the queue has it", || queued().is_string());
            assert_eq!(relay.cli_json(&["queue", "retry", "--all"])["held"], 1);
            let id = queued();
            let id = id.as_str().expect("an id");
            assert_eq!(relay.cli_json(&["queue", "retry", id])["messages"], 1);
            sink.wait_accepted(1);
        } else {
            let log = relay.log_with("message discarded");
            assert!(!log.contains("message accepted"), "{log}");
            let series =
                r#"chasqui_accept_total{listener="smtp",result="discarded",code_class="2xx"}"#;
            relay.assert_metric(series, 1.0);
        }
    }
    assert_eq!(sink.accepted().len(), 1);
}

/// A filter that is dead: the mail waits, or goes on, as the settings say.
#[test]
fn a_dead_hook_fails_closed_or_open() {
    let sink = Sink::start();
    let dead = Hook::dead();
    for (on_failure, want) in [("tempfail", 451), ("accept", 250)] {
        let more = format!("on_failure = \"{on_failure}\"");
        let filter = format!("name = \"gone\"\nkind = \"http\"\naddress = \"{dead}\"\n{more}");
        let relay = Relay::start(Settings::towards(sink.address()).push("filter", &filter));
        let reply = relay.session().deliver("a@own.example", &["b@x.example"], LETTER);
        assert_eq!(reply.code, want, "{reply:?}");
        relay.log_with("filter answered");
        if want == 250 {
            // Before the relay ends.
            sink.wait_accepted(1);
        }
    }
    assert_eq!(sink.accepted().len(), 1);
}

const LEAVING: &str = "stages = [\"delivery\"]";

fn refused_with(action: &str, code: u16, text: &str) -> String {
    let class = code / 100;
    let reply = format!(r#"{{"code":{code},"status":"{class}.7.1","text":"{text}"}}"#);
    format!(r#"{{"action":"{action}","reply":{reply}}}"#)
}

/// Before a message leaves a hook sees it as it would leave, and what it changes is signed.
#[test]
fn a_hook_changes_what_leaves_before_it_is_signed() {
    let (sink, keys) = (Sink::start(), Keys::new());
    let hook = Hook::start(|_| {
        r#"{"action":"continue","headers":[{"add":"X-Left","value":"yes"},{"set":"Subject","value":"two"}]}"#
            .to_owned()
    });
    let settings = with_hook(&sink, &hook, &format!("{LEAVING}\napplies_to = [\"next-hop\"]"))
        .set("outbound.0.limits.recipients_per_transaction_max", 1)
        .push(
            "rule",
            "name = \"r\"\nthen = { add_header = [{ name = \"X-Rule\", value = \"1\" }] }",
        );
    let relay = Relay::start(keys.with_both(settings));
    let letter = b"From: a@sender.example\r\nSubject: one\r\n\r\nBody.\r\n";
    let recipients = ["b@x.example", "c@x.example"];
    relay.submit("a@sender.example", &recipients, letter);
    for message in sink.wait_accepted(2) {
        let text = String::from_utf8_lossy(&message.content).into_owned();
        let fields = ["Subject: two\r\n", "X-Rule: 1\r\n", "X-Left: yes\r\n"];
        assert!(fields.iter().all(|field| text.contains(field)), "{text}");
        assert_eq!(text.matches("X-Left").count(), 1, "{text}");
        assert!(text.starts_with("DKIM-Signature:"), "{text}");
        assert_eq!(verify(&message.content), [true, true], "{text}");
    }
    let asked = hook.asked();
    assert_eq!(asked.len(), 1, "once for an attempt: {asked:?}");
    let question = &asked[0];
    assert_eq!(
        (&question["stage"], &question["scope"], &question["destination"]),
        (&"delivery".into(), &"next-hop".into(), &"next-hop".into()),
    );
    assert_eq!(question["sender"]["address"], "a@sender.example");
    assert_eq!(question["client"]["address"], "127.0.0.1");
    let shown: Vec<_> = question["recipients"].as_array().expect("recipients").iter().collect();
    assert!(shown.iter().map(|it| &it["address"]).eq(&recipients), "{shown:?}");
    let header = question["content"]["header"].to_string();
    assert!(header.contains("X-Rule") && !header.contains("DKIM-Signature"), "{header}");
    let series =
        r#"chasqui_filter_answers_total{filter="check",stage="delivery",verdict="continued"}"#;
    relay.assert_metric(series, 1.0);
    relay.log_with(r#""stage":"delivery""#);
}

/// What a filter does not let leave now waits, and is asked about again.
#[test]
fn a_hook_defers_what_leaves_and_then_lets_it() {
    let (sink, asked) = (Sink::start(), AtomicUsize::new(0));
    let hook = Hook::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => refused_with("defer", 451, "not before noon"),
        1 => r#"{"action":"hold","reason":"looked odd"}"#.to_owned(),
        _ => r#"{"action":"continue"}"#.to_owned(),
    });
    let relay = Relay::start(with_hook(&sink, &hook, LEAVING));
    relay.submit("a@own.example", &["b@x.example"], LETTER);
    sink.wait_accepted(1);
    assert_eq!(hook.asked().len(), 3);
    let log = relay.log_with("\"status\":\"delivered\"");
    for words in ["451 4.7.1 not before noon", "451 4.7.1 held back by filter check: looked odd"] {
        assert!(log.contains(&format!("\"reply\":\"{words}")), "{words}: {log}");
    }
    let series =
        r#"chasqui_filter_answers_total{filter="check",stage="delivery",verdict="deferred"}"#;
    relay.assert_metric(series, 1.0);
}

/// What a filter refuses goes back to its sender with the filter's words; what it discards is forgotten.
#[test]
fn a_hook_refuses_or_discards_what_leaves() {
    let sink = Sink::start();
    let hook = Hook::start(|asked| match asked["recipients"][0]["address"].as_str() {
        Some("bad@x.example") => refused_with("reject", 550, "no such mail from here"),
        Some("gone@x.example") => r#"{"action":"discard"}"#.to_owned(),
        _ => r#"{"action":"continue"}"#.to_owned(),
    });
    let relay = Relay::start(with_hook(&sink, &hook, LEAVING));
    relay.submit("a@own.example", &["gone@x.example"], LETTER);
    relay.log_with("discarded by a filter");
    relay.submit("a@own.example", &["bad@x.example"], LETTER);
    let report = sink.wait_accepted(1).remove(0);
    assert_eq!((report.sender.as_str(), report.recipients), ("", vec!["a@own.example".to_owned()]));
    let text = String::from_utf8_lossy(&report.content).into_owned();
    let is_told = text.contains("no such mail from here") && text.contains("Status: 5.7.1\r\n");
    assert!(is_told, "{text}");
    assert!(text.contains("bad@x.example") && !text.contains("gone@x.example"), "{text}");
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.accepted().len(), 1);
}

/// A filter that is dead before mail leaves: it waits, or goes on, as the settings say.
#[test]
fn mail_leaves_past_a_dead_hook_or_waits_for_it() {
    let sink = Sink::start();
    for on_failure in ["tempfail", "accept"] {
        let more = format!("{LEAVING}\non_failure = \"{on_failure}\"");
        let relay = Relay::start(with_filter(&sink, "http", &Hook::dead(), &more));
        relay.submit("a@own.example", &["b@x.example"], LETTER);
        if on_failure == "accept" {
            sink.wait_accepted(1);
            continue;
        }
        wait_until("the reason", || {
            let list = relay.cli_json(&["queue", "list"]);
            let reply = list["messages"][0]["last_reply"].as_str().unwrap_or_default();
            reply.starts_with("451 4.7.1 a filter cannot be asked")
        });
        assert_eq!(sink.connections(), 0, "no host waits meanwhile");
    }
    assert_eq!(sink.accepted().len(), 1);
}

/// `applies_to` names what each stage is about; a filter that would never be asked is a mistake.
#[test]
fn a_filter_that_is_never_asked_is_refused() {
    let sink = Sink::start();
    for (stages, name, want) in [
        ("\"delivery\"", "smtp", "names no outbound connector"),
        ("\"data\", \"delivery\"", "next-hop", "names no listener"),
        ("\"data\"", "next-hop", "`next-hop` is not the name of a listener"),
        ("\"delivery\"", "gone", "`gone` is not the name of a listener or an outbound connector"),
    ] {
        let more = format!("stages = [{stages}]\napplies_to = [\"{name}\"]");
        let relay = at_rest(&with_filter(&sink, "http", &Hook::dead(), &more));
        let checked = relay.cli(&["config", "check"]);
        assert_eq!(checked.status.code(), Some(78), "{checked:?}");
        assert!(checked.stderr.contains(want), "{checked:?}");
    }
}

/// The real rspamd is asked before mail leaves, and its word on the header stands.
#[test]
fn rspamd_changes_what_leaves() {
    let (sink, daemon) = (Sink::start(), rspamd());
    let address = format!("http://{}", daemon.address);
    let relay = Relay::start(with_filter(&sink, "rspamd", &address, LEAVING));
    let letter = b"From: a@own.example\r\nX-Tell: 1\r\n\r\nplain\r\n";
    relay.submit("a@own.example", &["b@x.example"], letter);
    let text = String::from_utf8(sink.wait_accepted(1).remove(0).content.to_vec()).unwrap();
    let told = text.lines().find_map(|line| line.strip_prefix("X-Told: ")).expect("a field");
    assert!(
        told.starts_with("127.0.0.1 ") && told.ends_with(" a@own.example b@x.example"),
        "{told}"
    );
}

/// The real rspamd refuses what it knows as spam, marks what may be, and what it adds arrives.
#[test]
fn rspamd_refuses_marks_and_adds() {
    let (sink, daemon) = (Sink::start(), rspamd());
    let address = format!("http://{}", daemon.address);
    let relay = Relay::start(with_filter(&sink, "rspamd", &address, ""));
    let letter = |line: &str| format!("From: a@own.example\r\nX-Tell: 1\r\n\r\n{line}\r\n");
    let mut session = relay.session();
    let spam = letter(&format!("X{GTUBE}"));
    let reply = session.deliver("a@own.example", &["b@x.example"], spam.as_bytes());
    assert_eq!((reply.code, reply.text()), (554, "5.7.1 Gtube pattern".into()));
    relay.log_with("transaction refused");
    relay.submit("a@own.example", &["b@x.example"], letter("plain").as_bytes());
    let text = String::from_utf8(sink.wait_accepted(1).remove(0).content.to_vec()).unwrap();
    // It has been told of the envelope, and its word on the header stands.
    let told = text.lines().find_map(|line| line.strip_prefix("X-Told: ")).expect("a field");
    assert!(
        told.starts_with("127.0.0.1 ") && told.ends_with(" a@own.example b@x.example"),
        "{told}"
    );
    assert!(text.ends_with("X-Last: it\r\n\r\nplain\r\n") && !text.contains("X-Tell"), "{text}");
    let suspect = letter(&format!("Y{GTUBE}"));
    relay.submit("a@own.example", &["b@x.example"], suspect.as_bytes());
    let text = String::from_utf8(sink.wait_accepted(2).remove(1).content.to_vec()).unwrap();
    assert!(text.contains("\r\nX-Spam: Yes\r\n"), "{text}");
}

/// The real opendkim signs as a milter, as mail comes in or before it leaves, and its signature holds when it arrives.
#[test]
fn what_opendkim_signs_arrives_with_a_signature_that_holds() {
    let key = fs::read_to_string(corpus_folder().join("keys/rsa.pkcs8.base64")).expect("a key");
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", key.trim());
    let daemon = opendkim(Signer { domain: "sender.example", selector: "rsa", key: &key });
    let address = format!("inet:{}", daemon.address);
    let letter =
        b"From: a@sender.example\r\nTo: b@x.example\r\nSubject: one\r\n folded\r\n\r\nBody.\r\n";
    for stages in ["", LEAVING] {
        let sink = Sink::start();
        let relay = Relay::start(with_filter(&sink, "milter", &address, stages));
        // Two in one session, which the milter has one connection for.
        let mut session = relay.session();
        for count in 1..=2 {
            let reply = session.deliver("a@sender.example", &["b@x.example"], letter);
            assert_eq!(reply.code, 250, "{reply:?}");
            let content = sink.wait_accepted(count).remove(count - 1).content;
            let text = String::from_utf8_lossy(&content);
            assert_eq!(text.matches("DKIM-Signature: ").count(), 1, "{stages} {text}");
            assert!(text.contains("d=sender.example;") && text.contains("s=rsa;"), "{text}");
            assert_eq!(verify(&content), [true], "{stages} {text}");
        }
    }
}
