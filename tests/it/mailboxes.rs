//! Dovecot behind the relay: by LMTP, and as the one who knows the logins of a Postfix.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::dovecot::{Dovecot, PASSWORD, USER};
use crate::harness::letter::letter;
use crate::harness::postfix::Postfix;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::tls::Certificate;
use crate::harness::wait::{wait_for, wait_until};

/// One message, four recipients, three answers of their own: by TCP and by a Unix socket.
#[test]
fn each_mailbox_has_its_own_outcome_by_lmtp() {
    let (sink, dovecot) = (Sink::start(), Dovecot::start());
    let lmtp = |name: &str, host: &str| {
        format!(
            "name = \"{name}\"\nprotocol = \"lmtp\"\nrecipient_domains = [\"{name}.example\"]\nsmart_hosts = [{host}]"
        )
    };
    let by_tcp = format!("{{ host = \"127.0.0.1\", port = {} }}", dovecot.address().port());
    let by_socket = format!("{{ host = \"unix:{}\" }}", dovecot.socket().display());
    let settings = Settings::towards(sink.address())
        .push("outbound", &lmtp("tcp", &by_tcp))
        .push("outbound", &lmtp("socket", &by_socket));
    let relay = Relay::start(settings);
    for domain in ["tcp.example", "socket.example"] {
        let recipients = ["ana", "full", "nobody", "bo"].map(|user| format!("{user}@{domain}"));
        let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
        relay.submit("ana@sender.example", &recipients, &letter(domain, 3000));
    }
    wait_until("both messages in both mailboxes", || {
        dovecot.mailbox("ana").len() == 2 && dovecot.mailbox("bo").len() == 2
    });
    assert!(dovecot.mailbox("full").is_empty());
    // The report names who did not get it, and only them.
    let reports = wait_for("a report for each message", || {
        Some(sink.accepted()).filter(|received| received.len() == 2)
    });
    for report in reports {
        let text = String::from_utf8_lossy(&report.content).into_owned();
        assert!(text.contains("full@") && text.contains("5.2.2"), "{text}");
        assert!(text.contains("nobody@") && text.contains("5.1.1"), "{text}");
        for served in ["ana@tcp.", "bo@tcp.", "ana@socket.", "bo@socket."] {
            assert!(!text.contains(served), "{text}");
        }
    }
}

/// Each mechanism by a connector of its own; the last one takes the strongest that is offered.
#[test]
fn postfix_lets_in_who_logs_in() {
    let (sink, dovecot) = (Sink::start(), Dovecot::start());
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let lines = format!(
        "smtpd_relay_restrictions = permit_sasl_authenticated, reject\nsmtpd_sasl_auth_enable = yes\n\
         smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\nsmtpd_tls_auth_only = yes\nsmtpd_tls_security_level = may\n\
         smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}",
        dovecot.logins().display(),
        certificate.certificate.display(),
        certificate.key.display()
    );
    let next_hop = Postfix::with(sink.address(), "next-hop.test", &lines);
    let secret = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("a mode");
        file
    };
    let (right, wrong) = (secret("right", PASSWORD), secret("wrong", "close-sesame"));
    let mut settings = Settings::towards(sink.address());
    let cases = [
        ("plain", "\"PLAIN\"", "PLAIN"),
        ("login", "\"LOGIN\"", "LOGIN"),
        ("scram-1", "\"SCRAM-SHA-1\"", "SCRAM-SHA-1"),
        ("scram-256", "\"SCRAM-SHA-256\"", "SCRAM-SHA-256"),
        ("any", "", "SCRAM-SHA-256"),
        ("wrong", "", "none"),
    ];
    for (name, mechanisms, _) in cases {
        let file = if name == "wrong" { &wrong } else { &right };
        settings = settings.push(
            "outbound",
            &format!(
                "name = \"{name}\"\ntls = \"encrypt\"\nrecipient_domains = [\"{name}.example\"]\n\
                 smart_hosts = [{{ host = \"127.0.0.1\", port = {} }}]\n\
                 login = {{ user = \"{USER}\", password_file = {file:?}, mechanisms = [{mechanisms}] }}",
                next_hop.address().port()
            ),
        );
    }
    let relay = Relay::start(settings);
    for (name, ..) in cases {
        let recipient = format!("bo@{name}.example");
        relay.submit("ana@sender.example", &[&recipient], &letter(name, 300));
    }
    let received = wait_for("all messages but one", || {
        Some(sink.accepted()).filter(|received| received.len() == cases.len() - 1)
    });
    assert!(received.iter().all(|message| message.id().as_deref() != Some("wrong")));
    let log = wait_for("Postfix's log", || {
        let log = next_hop.log();
        (log.matches("sasl_method=").count() >= cases.len() - 1).then_some(log)
    });
    for (_, _, method) in cases {
        let used = format!("sasl_method={method}, sasl_username={USER}");
        assert_eq!(log.contains(&used), method != "none", "{used}\n{log}");
    }
    assert_eq!(log.matches("sasl_method=SCRAM-SHA-256,").count(), 2);
    let log = relay.log_with("login as relay by SCRAM-SHA-256 refused by");
    assert!(!log.contains(PASSWORD) && !log.contains("close-sesame"));
    assert!(!relay.cli(&["config", "show"]).succeeded().contains("sesame"));
}
