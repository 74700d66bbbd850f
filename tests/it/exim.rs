//! Exim on both sides: it takes over what the relay sends, and hands in what the relay takes.

use crate::harness::accounts::{Accounts, PASSWORD};
use crate::harness::exim::Exim;
use crate::harness::letter::{assert_same, behind_all_traces, letter, split_first_field};
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Received, Sink};
use crate::harness::smtp::Smtp;
use crate::harness::tls::Certificate;
use crate::harness::wait::{wait_for, wait_until};

fn field(message: &Received) -> String {
    String::from_utf8_lossy(split_first_field(&message.content).0).into_owned()
}

/// STARTTLS, PIPELINING, CHUNKING, 8BITMIME, SMTPUTF8 and DSN: what Exim offers is used, and what it gets is whole.
#[test]
fn exim_takes_over_by_all_that_it_offers() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let sink = Sink::start();
    sink.set_extensions(&["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 0"]);
    let exim = Exim::towards(sink.address(), &certificate, "  hosts_avoid_tls = *", "");
    let relay = Relay::start(Settings::towards(exim.address()).set("outbound.0.tls", "encrypt"));
    let letters = [
        ("small", letter("small", 300)),
        ("large", letter("large", 2_000_000)),
        (
            "eight-bit",
            [letter("eight-bit", 300), b"na\xc3\xafve \xe4\r\n.\r\n..\r\n".to_vec()].concat(),
        ),
    ];
    let mut session = relay.session();
    for (name, content) in &letters {
        let recipients = [format!("{name}@receiver.example"), format!("{name}@other.example")];
        let recipients = recipients.each_ref().map(String::as_str);
        assert_eq!(session.deliver("ana@sender.example", &recipients, content).code, 250);
    }
    session.expect("MAIL FROM:<an\u{e4}@sender.example> SMTPUTF8", 250);
    session.expect("RCPT TO:<b\u{f6}@receiver.example>", 250);
    session.expect("DATA", 354);
    session.send(b"X-Letter: utf8\r\n\r\nbody\r\n.\r\n");
    assert_eq!(session.read_reply().code, 250);
    session.expect("MAIL FROM:<ana@sender.example> RET=HDRS ENVID=QQ+2B314", 250);
    let orcpt = "ORCPT=rfc822;first@receiver.example";
    session.expect(&format!("RCPT TO:<dsn@receiver.example> NOTIFY=FAILURE,DELAY {orcpt}"), 250);
    session.expect("DATA", 354);
    session.send(b"X-Letter: dsn\r\n\r\nbody\r\n.\r\n");
    assert_eq!(session.read_reply().code, 250);
    session.quit();

    let received = wait_for("all recipients of all messages", || {
        let received = sink.accepted();
        let recipients: usize = received.iter().map(|message| message.recipients.len()).sum();
        (recipients == 2 * letters.len() + 2).then_some(received)
    });
    for message in &received {
        let id = message.id().expect("an id");
        assert!(field(message).contains("by exim.test with"), "{}", field(message));
        assert!(field(message).contains("(TLS1.3"), "{}", field(message));
        if let Some((_, content)) = letters.iter().find(|(name, _)| *name == id) {
            assert_same(&id, behind_all_traces(&message.content).1, content);
        }
    }
    let find = |id: &str| {
        received.iter().find(|message| message.id().as_deref() == Some(id)).expect("a letter")
    };
    assert_eq!(find("utf8").recipients, ["b\u{f6}@receiver.example"]);
    // Exim says to the sink what the relay has said to it.
    let dsn = &find("dsn").mail_parameters;
    assert!(dsn.contains("RET=HDRS ENVID=QQ+2B314"), "{dsn}");
    let parameters = format!("NOTIFY=FAILURE,DELAY {orcpt}");
    assert_eq!(sink.count(&format!("RCPT TO:<dsn@receiver.example> {parameters}")), 1);
    let log = exim.log();
    let taken: Vec<_> = log.lines().filter(|line| line.contains(" <= ")).collect();
    assert_eq!(taken.len(), letters.len() + 2);
    for line in taken {
        // TLS, pipelined, in chunks.
        assert!(line.contains("P=esmtps L. X=TLS1.3") || line.contains("P=utf8esmtps L. X=TLS1.3"));
        assert!(line.contains(" K "), "{line}");
    }
    for word in ["synchronization error", "syntax", "rejected", "unexpected"] {
        assert!(!log.contains(word), "{word}");
    }
}

/// Exim's limit is told by SIZE: what is larger is reported, and never sent.
#[test]
fn what_exim_finds_too_large_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let sink = Sink::start();
    let exim = Exim::towards(sink.address(), &certificate, "  hosts_avoid_tls = *", "");
    let relay = Relay::towards(exim.address());
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("huge", 4_000_000));
    let report = sink.wait_accepted(1).remove(0);
    let text = String::from_utf8_lossy(&report.content).into_owned();
    assert_eq!((report.sender.as_str(), report.recipients[0].as_str()), ("", "ana@sender.example"));
    assert!(text.contains("Status: 5.3.4"), "{text}");
    assert!(!exim.log().contains("message too big"), "{}", exim.log());
}

/// Exim as a client with a login, by STARTTLS and by TLS from the start.
#[test]
fn exim_logs_in_and_hands_in() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let relay = Relay::start(accounts.settings(&sink));
    let name = "ana@sender.example";
    let mut sent = 0;
    for (mechanism, secret) in
        [("PLAIN", format!("^{name}^{PASSWORD}")), ("LOGIN", format!(": {name} : {PASSWORD}"))]
    {
        for (listener, protocol) in [("submission", "smtp"), ("submissions", "smtps")] {
            let exim = Exim::towards(
                relay.listener(listener),
                &accounts.certificate,
                &format!(
                    "  protocol = {protocol}\n  hosts_require_tls = *\n  hosts_require_auth = *"
                ),
                &format!(
                    "login:\n  driver = plaintext\n  public_name = {mechanism}\n  client_send = {secret}"
                ),
            );
            let content = letter(&format!("{mechanism}-{protocol}"), 100_000);
            let mut session = Smtp::open(exim.address());
            let recipients = ["bo@receiver.example", "cy@receiver.example"];
            assert_eq!(session.deliver(name, &recipients, &content).code, 250);
            session.quit();
            sent += 1;
            let message = sink.wait_accepted(sent).remove(sent - 1);
            assert_eq!(message.recipients, recipients);
            assert!(field(&message).contains("with ESMTPSA\r\n"), "{}", field(&message));
            assert_same(mechanism, behind_all_traces(&message.content).1, &content);
            wait_until("Exim to note the delivery", || exim.log().contains(" Completed"));
            let log = exim.log();
            assert!(log.contains("A=login") && !log.contains("SMTP error"), "{log}");
            // That it was in chunks and pipelined, as the relay offers.
            assert!(log.contains(" K "), "{log}");
        }
    }
    sink.assert_clean();
}
