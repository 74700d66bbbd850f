//! What a sender hears when a message cannot be delivered, and when nobody is told.

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::harness::letter::letter;
use crate::harness::process::run;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Event, Received, Sink, Stage, say};
use crate::harness::wait::{wait_for, wait_until};

/// Python's `email` package reads the report: a reader that is not ours.
const READER: &str = r#"
import email, json, sys
from email import policy
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=policy.default)
def fields(part):
    return {name.lower(): str(value) for name, value in part.items()}
parts = list(message.iter_parts())
status = [fields(block) for block in parts[1].get_payload()]
original = parts[2].get_payload()
original = original if isinstance(original, str) else original[0].as_string()
defects = [repr(d) for part in message.walk() for d in part.defects]
print(json.dumps({
    "fields": fields(message), "type": message.get_content_type(),
    "report": message.get_param("report-type"), "kinds": [p.get_content_type() for p in parts],
    "text": parts[0].get_content(), "status": status, "original": original, "defects": defects}))
"#;

#[track_caller]
fn read(report: &Received) -> Value {
    let mut command = Command::new("python3");
    command.args(["-c", READER]);
    let text = run(command, &report.content).succeeded();
    serde_json::from_str(&text).expect("JSON")
}

/// Checks what every report has, and gives the status of each recipient.
#[track_caller]
fn check_report(report: &Received, sender: &str) -> Vec<Value> {
    check_report_of("failed", report, sender)
}

/// As [`check_report`], of what happened besides failures.
#[track_caller]
pub(crate) fn check_report_of(action: &str, report: &Received, sender: &str) -> Vec<Value> {
    assert_eq!(report.sender, "", "a report has the null sender");
    assert_eq!(report.recipients, [sender]);
    let value = read(report);
    assert_eq!(value["type"], "multipart/report");
    assert_eq!(value["report"], "delivery-status");
    assert_eq!(value["kinds"][0], "text/plain");
    assert!(
        value["kinds"][1].as_str().is_some_and(|kind| kind.ends_with("delivery-status")),
        "{value}"
    );
    assert_eq!(value["defects"], Value::Array(Vec::new()), "{value}");
    let fields = &value["fields"];
    assert!(
        fields["auto-submitted"].as_str().is_some_and(|text| text.starts_with("auto-")),
        "{fields}"
    );
    assert!(fields["to"].as_str().is_some_and(|text| text.contains(sender)), "{fields}");
    for name in ["from", "date", "message-id", "mime-version", "subject"] {
        assert!(fields[name].is_string(), "{name} is missing: {fields}");
    }
    let mut blocks = value["status"].as_array().expect("blocks").clone();
    let head = blocks.remove(0);
    assert!(
        head["reporting-mta"].as_str().is_some_and(|text| text.contains("relay.test")),
        "{head}"
    );
    for block in &blocks {
        assert_eq!(block["action"], action, "{block}");
    }
    blocks
}

pub(crate) fn reports(sink: &Sink) -> Vec<Received> {
    sink.accepted().into_iter().filter(|message| message.sender.is_empty()).collect()
}

/// Refuses recipients that are called so.
fn refusing(name: &'static str, reply: &'static str) -> impl Fn(&Event) -> Act + Send + Sync {
    move |event| {
        if event.stage == Stage::Rcpt && event.line.contains(name) { say(reply) } else { Act::Go }
    }
}

#[test]
fn a_refused_recipient_is_reported_to_the_sender() {
    let sink =
        Sink::scripted(refusing("nobody@", "550 5.1.1 <nobody@receiver.example> is not here"));
    let relay = Relay::towards(sink.address());
    let recipients = ["bo@receiver.example", "nobody@receiver.example"];
    relay.submit("ana@sender.example", &recipients, &letter("refused", 600));
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report(&report, "ana@sender.example");
    assert_eq!(blocks.len(), 1);
    let text = |name: &str| blocks[0][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("final-recipient"), "rfc822; nobody@receiver.example");
    assert_eq!(text("status"), "5.1.1");
    assert!(text("diagnostic-code").starts_with("smtp; 550"), "{}", text("diagnostic-code"));
    let value = read(&report);
    assert!(value["text"].as_str().is_some_and(
        |text| text.contains("nobody@receiver.example") && text.contains("is not here")
    ));
    assert!(
        value["original"].as_str().is_some_and(|text| text.contains("refused@sender.example")),
        "{value}"
    );
    let delivered = sink.wait_accepted(2);
    let original =
        delivered.iter().find(|message| !message.sender.is_empty()).expect("the message itself");
    assert_eq!(original.recipients, ["bo@receiver.example"]);
    sink.assert_clean();
}

/// Each stage that can refuse for good leads to one report for all recipients.
#[test]
fn every_permanent_refusal_is_reported() {
    for stage in [Stage::Mail, Stage::Data, Stage::Dot] {
        let sink = Sink::scripted(move |event| {
            // The first transaction is refused; the report comes in a later one.
            if event.stage == stage && event.transaction == 1 {
                say("554 5.7.1 not wanted")
            } else {
                Act::Go
            }
        });
        let relay = Relay::towards(sink.address());
        let recipients = ["one@receiver.example", "two@receiver.example"];
        relay.submit("ana@sender.example", &recipients, &letter("refused", 600));
        let report = wait_for("a report", || reports(&sink).pop());
        let blocks = check_report(&report, "ana@sender.example");
        assert_eq!(blocks.len(), 2, "{stage:?}");
        assert!(blocks.iter().all(|block| block["status"] == "5.7.1"), "{blocks:?}");
        assert_eq!(sink.accepted().len(), 1, "{stage:?}: only the report arrives");
    }
}

#[test]
fn an_expired_message_is_reported() {
    let sink = Sink::scripted(refusing("@slow.example", "450 4.2.0 not now"));
    let settings = Settings::towards(sink.address()).set("queue.expire_after", "1s");
    let relay = Relay::start(settings);
    relay.submit("ana@sender.example", &["bo@slow.example"], &letter("expired", 600));
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report(&report, "ana@sender.example");
    let status = blocks[0]["status"].as_str().expect("a status");
    assert!(["4.4.7", "5.4.7"].contains(&status), "{blocks:?}");
    assert!(
        read(&report)["text"].as_str().is_some_and(|text| text.contains("not now")),
        "the last reply is told"
    );
    wait_until("an empty queue", || relay.cli_json(&["status"])["queue"]["messages"] == 0);
}

/// Where the next hop is and that it cannot be reached is what the relay found: nobody is quoted, no port is shown.
#[test]
fn a_next_hop_that_is_not_there_is_told_of_in_words() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one");
    let sink = Sink::start();
    let dead = format!(
        "name = \"dead\"\ntls = \"none\"\nrecipient_domains = [\"dead.example\"]\n\
         smart_hosts = [{{ host = \"127.0.0.1\", port = {} }}]",
        closed.port()
    );
    let settings = Settings::towards(sink.address()).push("outbound", &dead);
    let relay = Relay::start(settings.set("queue.expire_after", "1s"));
    relay.submit("ana@sender.example", &["bo@dead.example"], &letter("dead", 300));
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report(&report, "ana@sender.example");
    assert!(blocks[0]["remote-mta"].is_null(), "{blocks:?}");
    assert!(blocks[0]["diagnostic-code"].is_null(), "{blocks:?}");
    let text = read(&report)["text"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("the mail server cannot be connected to"), "{text}");
    assert!(!text.contains(&closed.port().to_string()), "{text}");
    relay.log_with(&format!("127.0.0.1[127.0.0.1]:{}", closed.port()));
}

/// RFC 5321 §6.1: never a report about a report.
#[test]
fn a_message_with_the_null_sender_is_never_reported() {
    let sink = Sink::scripted(refusing("nobody@", "550 5.1.1 not here"));
    let relay = Relay::towards(sink.address());
    relay.submit("", &["nobody@receiver.example"], &letter("null", 300));
    wait_until("an empty queue", || {
        relay.cli_json(&["status"])["queue"]["messages"] == 0 && sink.count("RCPT") > 0
    });
    // A later message overtakes nothing: a report would have been sent before it.
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("later", 300));
    let received = sink.wait_accepted(1);
    assert_eq!(received[0].id().as_deref(), Some("later"));
    assert_eq!(sink.all().len(), 1);
    // The loss is logged.
    relay.log_with("nobody@receiver.example");
}

/// A report that is itself refused ends there.
#[test]
fn a_refused_report_is_dropped() {
    let sink =
        Sink::scripted(
            |event| if event.stage == Stage::Rcpt { say("550 5.1.1 nobody") } else { Act::Go },
        );
    let relay = Relay::towards(sink.address());
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("double", 300));
    sink.wait_command("RCPT TO:<ana@sender.example>", 1);
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.count("RCPT TO:<ana@sender.example>"), 1);
    assert_eq!(sink.count("RCPT TO:<bo@receiver.example>"), 1);
}

/// What a next hop says is an enemy's text: it makes no header field and no MIME part.
#[test]
fn the_words_of_a_next_hop_inject_nothing() {
    let reply = "550-5.1.1 --boundary\r\n550-Content-Type: text/html\r\n550-\r\n550-Final-Recipient: rfc822; evil@evil.example\r\n550 5.1.1 \u{1b}[31m<b>end</b> \u{1}";
    let sink = Sink::scripted(refusing("nobody@", reply));
    let relay = Relay::towards(sink.address());
    relay.submit("ana@sender.example", &["nobody@receiver.example"], &letter("enemy", 300));
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report(&report, "ana@sender.example");
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0]["final-recipient"], "rfc822; nobody@receiver.example");
    assert!(
        !report.content.iter().any(|octet| matches!(octet, 0x1b | 1)),
        "control octets reached the report"
    );
    let log = relay.log_with("550");
    assert!(!log.contains('\u{1b}'), "control octets reached the log");
    sink.assert_clean();
}

/// RFC 6531 §3.2: a next hop without SMTPUTF8 gets nothing, and the sender hears 5.6.7.
#[test]
fn a_message_that_needs_smtputf8_is_returned_when_the_next_hop_has_none() {
    let sink = Sink::start();
    sink.set_extensions(&["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]);
    let relay = Relay::towards(sink.address());
    let mut session = relay.session();
    session.expect("MAIL FROM:<ana@sender.example> SMTPUTF8 BODY=8BITMIME", 250);
    session.expect("RCPT TO:<b\u{f6}@receiver.example>", 250);
    session.expect("DATA", 354);
    session.send(b"X-Letter: utf8\r\n\r\nbody\r\n.\r\n");
    assert_eq!(session.read_reply().code, 250);
    session.quit();
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert!(sink.all().iter().all(|message| message.id().as_deref() != Some("utf8")));
    // The report itself must not need what the next hop lacks: the address in it is written in ASCII (RFC 6533 §3).
    let received = reports(&sink);
    let [report] = received.as_slice() else { panic!("one report: {received:?}") };
    assert!(!report.mail_parameters.contains("SMTPUTF8"), "{}", report.mail_parameters);
    let blocks = check_report(report, "ana@sender.example");
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0]["status"], "5.6.7");
    assert_eq!(blocks[0]["final-recipient"], "utf-8; b\\x{F6}@receiver.example");
    sink.assert_clean();
}

/// A report survives kill -9 just after the refusal: it is stored with the outcome in one step.
#[test]
fn a_report_is_as_safe_as_a_message() {
    let sink = Sink::scripted(|event| match event.stage {
        Stage::Rcpt if event.line.contains("nobody@") => say("550 5.1.1 not here"),
        // The report is not taken before the restart.
        Stage::Rcpt => say("450 4.2.0 not now"),
        _ => Act::Go,
    });
    let mut relay = Relay::towards(sink.address());
    relay.submit("ana@sender.example", &["nobody@receiver.example"], &letter("safe", 300));
    sink.wait_command("RCPT TO:<ana@sender.example>", 1);
    relay.kill();
    sink.set_script(|_| Act::Go);
    relay.restart();
    let report = wait_for("a report", || reports(&sink).pop());
    check_report(&report, "ana@sender.example");
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(reports(&sink).len(), 1, "one report and no second one");
}

/// Sends a letter with parameters of MAIL and of each RCPT.
#[track_caller]
fn submit_with(relay: &Relay, mail: &str, recipients: &[&str], content: &[u8]) {
    let mut session = relay.session();
    session.expect(&format!("MAIL FROM:<ana@sender.example> {mail}"), 250);
    for recipient in recipients {
        session.expect(&format!("RCPT TO:{recipient}"), 250);
    }
    session.expect("DATA", 354);
    session.send(content);
    session.send(b".\r\n");
    assert_eq!(session.read_reply().code, 250);
    session.quit();
}

fn text_of<'a>(block: &'a Value, name: &str) -> &'a str {
    block[name].as_str().unwrap_or_default()
}

/// RFC 3461 §5.2.2: a next hop without DSN tells nobody of success, so the relay says that it was passed on.
#[test]
fn oc_13_oc_14_success_is_reported_as_relayed_where_the_next_hop_has_no_dsn() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let recipients = [
        "<bo@receiver.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2Bname@receiver.example",
        "<quiet@receiver.example> NOTIFY=FAILURE",
        "<never@receiver.example> NOTIFY=NEVER",
        "<usual@receiver.example>",
    ];
    submit_with(&relay, "RET=FULL ENVID=order+2B4711", &recipients, &letter("relayed", 600));
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report_of("relayed", &report, "ana@sender.example");
    assert_eq!(blocks.len(), 1, "{blocks:?}");
    assert_eq!(text_of(&blocks[0], "final-recipient"), "rfc822; bo@receiver.example");
    assert_eq!(text_of(&blocks[0], "original-recipient"), "rfc822; first+name@receiver.example");
    assert!(text_of(&blocks[0], "status").starts_with("2."), "{blocks:?}");
    let value = read(&report);
    assert_eq!(value["status"][0]["original-envelope-id"], "order+4711", "{value}");
    assert_eq!(value["kinds"][2], "text/rfc822-headers", "no content comes back with success");
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(reports(&sink).len(), 1);
    relay.assert_metric("chasqui_dsn_total{action=\"relayed\"}", 1.0);
    sink.assert_clean();
}

/// A next hop with DSN is told all that the sender asked for, and tells the sender itself.
#[test]
fn oc_13_what_is_asked_for_goes_on_to_a_next_hop_with_dsn() {
    let sink = Sink::start();
    sink.set_extensions(&["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"]);
    let relay = Relay::towards(sink.address());
    let recipient =
        "<bo@receiver.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first@receiver.example";
    submit_with(&relay, "RET=HDRS ENVID=order+2B4711", &[recipient], &letter("passed", 600));
    let received = sink.wait_accepted(1);
    assert!(received[0].mail_parameters.contains("RET=HDRS ENVID=order+2B4711"), "{received:?}");
    assert_eq!(sink.count(&format!("RCPT TO:{recipient}")), 1);
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.all().len(), 1, "the relay itself tells nothing");
    sink.assert_clean();
}

/// A failure is reported with the names that the sender gave to the recipient and to the envelope.
#[test]
fn oc_13_a_failure_is_told_with_orcpt_and_envid() {
    let sink = Sink::scripted(refusing("nobody@", "550 5.1.1 not here"));
    let relay = Relay::towards(sink.address());
    let recipient = "<nobody@receiver.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2Bname@receiver.example";
    submit_with(&relay, "ENVID=order+2B4711", &[recipient], &letter("failed", 300));
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report(&report, "ana@sender.example");
    assert_eq!(blocks.len(), 1, "{blocks:?}");
    assert_eq!(text_of(&blocks[0], "final-recipient"), "rfc822; nobody@receiver.example");
    assert_eq!(text_of(&blocks[0], "original-recipient"), "rfc822; first+name@receiver.example");
    assert_eq!(text_of(&blocks[0], "status"), "5.1.1");
    let value = read(&report);
    assert_eq!(value["status"][0]["original-envelope-id"], "order+4711", "{value}");
}

/// NOTIFY=NEVER and a NOTIFY without FAILURE keep the relay silent; the log says why.
#[test]
fn oc_14_a_sender_that_wants_no_report_gets_none() {
    let sink = Sink::scripted(refusing("nobody@", "550 5.1.1 not here"));
    sink.set_extensions(&["PIPELINING", "ENHANCEDSTATUSCODES", "DSN"]);
    let relay = Relay::towards(sink.address());
    let recipients =
        ["<1.nobody@receiver.example> NOTIFY=NEVER", "<2.nobody@receiver.example> NOTIFY=SUCCESS"];
    submit_with(&relay, "", &recipients, &letter("silent", 300));
    relay.log_with("no report, the sender wants none");
    // A later message overtakes nothing: a report would have been sent before it.
    let recipients = ["<3.nobody@receiver.example> NOTIFY=FAILURE"];
    submit_with(&relay, "RET=HDRS", &recipients, &letter("later", 300));
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report(&report, "ana@sender.example");
    assert_eq!(text_of(&blocks[0], "final-recipient"), "rfc822; 3.nobody@receiver.example");
    assert_eq!(read(&report)["kinds"][2], "text/rfc822-headers", "only headers were asked for");
    assert_eq!(
        sink.count("RCPT TO:<ana@sender.example> NOTIFY=NEVER"),
        1,
        "of a report nobody hears"
    );
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.all().len(), 1);
    sink.assert_clean();
}

/// A delay is told once: neither further tries nor kill -9 make a second report of it.
#[test]
fn a_delay_is_reported_once_even_over_kill_9() {
    let sink = Sink::scripted(|event| match event.stage {
        Stage::Rcpt => say("450 4.2.0 not now"),
        _ => Act::Go,
    });
    let settings = Settings::towards(sink.address()).set("queue.delay_report_after", "300ms");
    let mut relay = Relay::start(settings);
    relay.submit("ana@sender.example", &["bo@slow.example"], &letter("late", 600));
    // The report is stored, and not taken before the restart.
    sink.wait_command("RCPT TO:<ana@sender.example>", 1);
    relay.kill();
    sink.set_script(refusing("@slow.example", "450 4.2.0 not now"));
    relay.restart();
    let report = wait_for("a report", || reports(&sink).pop());
    let blocks = check_report_of("delayed", &report, "ana@sender.example");
    assert_eq!(text_of(&blocks[0], "status"), "4.2.0");
    for name in ["will-retry-until", "last-attempt-date"] {
        assert!(blocks[0][name].is_string(), "{name} is missing: {blocks:?}");
    }
    assert!(read(&report)["text"].as_str().is_some_and(|text| text.contains("is tried on")));
    let tries = sink.count("RCPT TO:<bo@slow.example>");
    sink.wait_command("RCPT TO:<bo@slow.example>", tries + 3);
    assert_eq!(reports(&sink).len(), 1, "one report and no second one");
    sink.set_script(|_| Act::Go);
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.accepted().len(), 2, "the report and the message");
}

/// A report comes from nobody, so it finds no way where each connector asks for a From, and that is said.
#[test]
fn a_report_that_no_from_filter_fits_waits_and_says_why() {
    let sink = Sink::scripted(refusing("bo@", "550 5.1.1 no such user"));
    let settings = Settings::towards(sink.address())
        .set("outbound.0.from_filter", vec!["own.example".to_owned()]);
    let relay = Relay::start(settings);
    relay.submit(
        "ana@own.example",
        &["bo@receiver.example"],
        b"From: ana@own.example\r\n\r\nx\r\n",
    );
    let listed = || relay.cli_json(&["queue", "list"])["messages"].take();
    let is_report = |it: &Value| it["sender"] == "" && it["last_reply"].is_string();
    wait_until("the report", || listed().as_array().unwrap().iter().any(is_report));
    let reply = "451 4.4.4 no outbound connector takes this mail for this recipient's domain";
    assert_eq!(listed()[0]["last_reply"], reply);
    let id = listed()[0]["id"].as_str().unwrap().to_owned();
    let why = "no outbound connector takes mail for own.example; `next-hop` takes only mail whose From is in its from_filter";
    assert_eq!(relay.cli_json(&["queue", "show", &id])["recipients"][0]["no_route"], why);
    let text = relay.cli(&["queue", "show", &id]).succeeded();
    assert!(text.contains(&format!("no route   {why}")), "{text}");
}
