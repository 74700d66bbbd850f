//! Logins by other people's programs: Python's smtplib, curl, swaks, msmtp.

use std::process::Command;

use crate::harness::accounts::{Accounts, PASSWORD, write_secret};
use crate::harness::letter::split_first_field;
use crate::harness::process::{Output, run};
use crate::harness::relay::Relay;
use crate::harness::sink::Sink;

const NAME: &str = "ana@sender.example";
const LETTER: &[u8] =
    b"From: ana@sender.example\r\nTo: bo@receiver.example\r\nSubject: x\r\n\r\nbody\r\n";

fn port(relay: &Relay, listener: &str) -> String {
    relay.listener(listener).port().to_string()
}

/// Each message came through a login, and the `Received` field says so.
fn assert_traces(sink: &Sink, count: usize) {
    for message in sink.wait_accepted(count) {
        let (field, _) = split_first_field(&message.content);
        let field = String::from_utf8_lossy(field).into_owned();
        assert!(field.contains("with ESMTPSA\r\n") && !field.contains(NAME), "{field}");
    }
    sink.assert_clean();
}

const SMTPLIB: &str = r#"
import smtplib, ssl, sys
starttls, implicit, certificate, name, password = sys.argv[1:]
trust = ssl.create_default_context(cafile=certificate)

def sends(server):
    assert server.sendmail(name, ["bo@receiver.example"], b"Subject: x\r\n\r\nbody\r\n") == {}

for mechanism in ("plain", "login"):
    for with_first in (True, False):
        with smtplib.SMTP("127.0.0.1", int(starttls)) as server:
            server.ehlo("python.test")
            assert "PLAIN" not in server.esmtp_features.get("auth", ""), server.esmtp_features
            server.starttls(context=trust)
            server.ehlo("python.test")
            offered = server.esmtp_features["auth"].split()
            assert "PLAIN" in offered and "CRAM-MD5" not in offered, offered
            code, words = server.docmd("MAIL FROM:<%s>" % name)
            assert code == 530, words
            server.user, server.password = name, password
            code, words = server.auth(mechanism.upper(), getattr(server, "auth_" + mechanism), initial_response_ok=with_first)
            assert code == 235, words
            sends(server)

with smtplib.SMTP_SSL("127.0.0.1", int(implicit), context=trust) as server:
    server.login(name, password)
    sends(server)
    sends(server)
    try:
        server.sendmail("ana@other.example", ["bo@receiver.example"], b"x")
        raise SystemExit("a foreign sender was taken")
    except smtplib.SMTPSenderRefused as refused:
        assert refused.smtp_code == 553, refused

with smtplib.SMTP_SSL("127.0.0.1", int(implicit), context=trust) as server:
    try:
        server.login(name, "wrong")
        raise SystemExit("a wrong password was taken")
    except smtplib.SMTPAuthenticationError as refused:
        assert refused.smtp_code == 535, refused
print("done")
"#;

#[test]
fn ee_03_python_smtplib_logs_in_and_sends_as_its_senders() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let relay = Relay::start(accounts.settings(&sink));
    let mut command = Command::new("python3");
    command.args(["-c", SMTPLIB, &port(&relay, "submission"), &port(&relay, "submissions")]);
    command.arg(&accounts.certificate.certificate).args([NAME, PASSWORD]);
    assert_eq!(run(command, b"").succeeded().trim(), "done");
    assert_traces(&sink, 6);
}

#[test]
fn curl_and_swaks_log_in() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let relay = Relay::start(accounts.settings(&sink));
    let mut sent = 0;
    for (scheme, listener) in [("smtp", "submission"), ("smtps", "submissions")] {
        for mechanism in ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"] {
            let is_token = mechanism.len() > 6;
            let curl = |secret: &str| {
                let mut command = Command::new("curl");
                let url = format!("{scheme}://localhost:{}/curl.test", port(&relay, listener));
                let options = format!("AUTH={mechanism}");
                command.args(["-sS", "--ssl-reqd", "--url", &url, "--login-options", &options]);
                command.arg("--cacert").arg(&accounts.certificate.certificate);
                command.args(["--mail-from", NAME, "--mail-rcpt", "bo@receiver.example"]);
                if is_token {
                    command.args(["--user", NAME, "--oauth2-bearer", secret]);
                } else {
                    command.args(["--user", &format!("{NAME}:{secret}")]);
                }
                command.args(["-T", "-"]);
                run(command, LETTER)
            };
            let (right, wrong) = if is_token {
                (accounts.token("4711"), accounts.token("4712"))
            } else {
                (PASSWORD.to_owned(), "wrong".to_owned())
            };
            curl(&right).succeeded();
            sent += 1;
            let refused = curl(&wrong);
            assert!(!refused.status.success(), "{mechanism}: {refused:?}");
        }
    }
    for mechanism in ["PLAIN", "LOGIN"] {
        let mut command = Command::new("swaks");
        let server = relay.listener("submission").to_string();
        command.args(["--server", &server, "--tls", "--from", NAME, "--to", "bo@receiver.example"]);
        command.args(["--auth", mechanism, "--auth-user", NAME, "--auth-password", PASSWORD]);
        run(command, b"").succeeded();
        sent += 1;
    }
    assert_traces(&sink, sent);
}

fn msmtp(accounts: &Accounts, words: &str) -> Output {
    let file = accounts.folder.path().join("msmtprc");
    let trust = accounts.certificate.certificate.display();
    write_secret(
        &file,
        &format!(
            "account default\nhost localhost\nfrom {NAME}\nuser {NAME}\ntls_trust_file {trust}\n{words}\n"
        ),
    );
    let mut command = Command::new("msmtp");
    command.arg("-C").arg(&file).arg("bo@receiver.example");
    run(command, LETTER)
}

#[test]
fn msmtp_logs_in_by_all_that_it_knows() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let relay = Relay::start(accounts.settings(&sink));
    let mut sent = 0;
    let (password, token) = (format!("passwordeval echo {PASSWORD}"), accounts.token("4711"));
    let token = format!("passwordeval echo {token}");
    for (mechanism, secret) in [
        ("plain", &password),
        ("login", &password),
        ("scram-sha-1", &password),
        ("scram-sha-256", &password),
        ("xoauth2", &token),
        ("oauthbearer", &token),
        // The strongest that both know.
        ("on", &password),
    ] {
        for (listener, tls) in
            [("submission", "tls on\ntls_starttls on"), ("submissions", "tls on\ntls_starttls off")]
        {
            let port = port(&relay, listener);
            let words = format!("port {port}\nauth {mechanism}\n{secret}\n{tls}");
            let output = msmtp(&accounts, &words);
            assert!(output.status.success(), "{mechanism}: {output:?}\n{}", relay.log_tail());
            sent += 1;
        }
    }
    let wrong = format!(
        "port {}\nauth scram-sha-256\npasswordeval echo wrong\ntls on\ntls_starttls on",
        port(&relay, "submission")
    );
    let output = msmtp(&accounts, &wrong);
    assert!(!output.status.success() && output.stderr.contains("535"), "{output:?}");
    assert_traces(&sink, sent);
    // A SCRAM shows nothing to who listens: it is taken without TLS too.
    let clear = format!("port {}\nauth scram-sha-256\n{password}\ntls off", port(&relay, "smtp"));
    let output = msmtp(&accounts, &clear);
    assert!(output.status.success(), "{output:?}");
    sink.wait_accepted(sent + 1);
}
