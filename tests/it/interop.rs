//! Other people's software on both sides: Postfix, swaks, Python's smtplib, curl, smtp-source.

use std::process::Command;

use tempfile::TempDir;

use crate::harness::letter::{
    assert_same, behind_all_traces, behind_trace, letter, split_first_field,
};
use crate::harness::postfix::Postfix;
use crate::harness::process::{Process, run, tied};
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::tls::Certificate;
use crate::harness::wait::wait_for;

/// A relay with a plain, a STARTTLS and an implicit TLS listener.
fn relay_with_tls(sink: &Sink) -> (TempDir, Certificate, Relay) {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let tls = |name: &str, kind: &str| {
        format!(
            "name = \"{name}\"\naddress = \"127.0.0.1:0\"\ntls = \"{kind}\"\ncertificate = {:?}\nkey = {:?}",
            certificate.certificate, certificate.key
        )
    };
    let settings = Settings::towards(sink.address())
        .push("listener", &tls("submission", "starttls"))
        .push("listener", &tls("submissions", "implicit"));
    let relay = Relay::start(settings);
    (folder, certificate, relay)
}

#[test]
fn postfix_hands_in_and_postfix_takes_over() {
    let sink = Sink::start();
    let next_hop = Postfix::towards(sink.address(), "next-hop.test");
    let relay = Relay::towards(next_hop.address());
    let upstream = Postfix::towards(relay.smtp(), "upstream.test");
    let letters = [
        ("small", letter("small", 300)),
        ("middle", letter("middle", 70_000)),
        ("large", letter("large", 2_000_000)),
        (
            "eight-bit",
            [letter("eight-bit", 300), b"na\xc3\xafve \xe4\r\n.\r\n..\r\n".to_vec()].concat(),
        ),
    ];
    let mut session = crate::harness::smtp::Smtp::open(upstream.address());
    for (name, content) in &letters {
        let first = format!("{name}@receiver.example");
        let second = format!("{name}@other.example");
        let reply = session.deliver("ana@sender.example", &[&first, &second], content);
        assert_eq!(reply.code, 250, "{reply:?}");
    }
    session.quit();
    let received = wait_for("both recipients of each message", || {
        let received = sink.accepted();
        let recipients: usize = received.iter().map(|message| message.recipients.len()).sum();
        (recipients == 2 * letters.len()).then_some(received)
    });
    for message in &received {
        let id = message.id().expect("an id");
        let (_, content) = letters.iter().find(|(name, _)| *name == id).expect("a known letter");
        let (traces, rest) = behind_all_traces(&message.content);
        assert_eq!(traces, 3);
        assert_same(&id, rest, content);
        assert_eq!(message.sender, "ana@sender.example");
    }
}

/// Postfix refuses what is not clean SMTP, so its log must be free of complaints about us.
#[test]
fn postfix_has_no_complaint_about_the_relay() {
    let sink = Sink::start();
    let next_hop = Postfix::with(
        sink.address(),
        "next-hop.test",
        "smtpd_forbid_bare_newline = yes\nstrict_rfc821_envelopes = yes\nsmtpd_helo_required = yes",
    );
    let relay = Relay::towards(next_hop.address());
    let mut session = relay.session();
    for number in 0..20 {
        let content = letter(&number.to_string(), 3000 * number);
        let reply = session.deliver("ana@sender.example", &["bo@receiver.example"], &content);
        assert_eq!(reply.code, 250);
    }
    session.quit();
    sink.wait_accepted(20);
    let log = next_hop.log();
    for word in ["improper", "error", "warning: non-SMTP", "lost connection", "syntax"] {
        let line = log.lines().find(|line| line.contains("smtpd") && line.contains(word));
        assert_eq!(line, None, "{word}");
    }
}

#[test]
fn tls_to_postfix_is_used_as_the_connector_says() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let lines = certificate.for_postfix();
    let next_hop = Postfix::with(sink.address(), "next-hop.test", &lines);
    for (level, arrives_by_tls) in [("encrypt", true), ("opportunistic", true), ("none", false)] {
        let relay =
            Relay::start(Settings::towards(next_hop.address()).set("outbound.0.tls", level));
        relay.submit(
            "ana@sender.example",
            &[&format!("{level}@receiver.example")],
            &letter(level, 300),
        );
        let message = wait_for(level, || {
            sink.accepted().into_iter().find(|message| message.id().as_deref() == Some(level))
        });
        let (field, _) = split_first_field(&message.content);
        let field = String::from_utf8_lossy(field).into_owned();
        assert_eq!(field.contains("using TLSv1.3"), arrives_by_tls, "{level}: {field}");
    }
}

/// A certificate that nobody vouches for is not good enough for `verify`: the mail waits.
#[test]
fn an_untrusted_certificate_is_never_given_mail_that_wants_verification() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let lines = certificate.for_postfix();
    let next_hop = Postfix::with(sink.address(), "next-hop.test", &lines);
    let relay = Relay::start(Settings::towards(next_hop.address()).set("outbound.0.tls", "verify"));
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("secret", 300));
    let entry = wait_for("a second try", || {
        let list = relay.cli_json(&["queue", "list"]);
        let entry = list["messages"][0].clone();
        (entry["tries"].as_u64() >= Some(2)).then_some(entry)
    });
    let words = entry["last_reply"].as_str().expect("a reason").to_lowercase();
    assert!(words.contains("tls") || words.contains("certificate"), "{words}");
    assert!(sink.all().is_empty() && !next_hop.log().contains("client="), "{}", next_hop.log());
}

/// The load generator of Postfix: many sessions at once, each message once.
#[test]
fn smtp_source_gets_everything_through() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let mut command = Command::new("smtp-source");
    command.args(["-s", "8", "-m", "300", "-l", "4000", "-f", "ana@sender.example"]);
    command.args(["-t", "bo@receiver.example", &relay.smtp().to_string()]);
    run(command, b"").succeeded();
    let received = sink.wait_accepted(300);
    assert_eq!(received.len(), 300);
    sink.assert_clean();
}

fn swaks(words: &[&str]) -> String {
    let mut command = Command::new("swaks");
    command.args(["--from", "ana@sender.example", "--to", "bo@receiver.example"]).args(words);
    let output = run(command, b"");
    let text = format!("{}{}", output.stdout, output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn swaks_sends_plainly_pipelined_and_by_tls() {
    let sink = Sink::start();
    let (_folder, _certificate, relay) = relay_with_tls(&sink);
    let plain = relay.listener("smtp").to_string();
    let starttls = relay.listener("submission").to_string();
    let implicit = relay.listener("submissions").to_string();
    swaks(&["--server", &plain, "--header", "X-Letter: plain"]);
    swaks(&["--server", &plain, "--pipeline", "--header", "X-Letter: pipelined"]);
    let text = swaks(&["--server", &starttls, "--tls", "--header", "X-Letter: starttls"]);
    assert!(text.contains("TLS started"), "{text}");
    swaks(&["--server", &implicit, "--tls-on-connect", "--header", "X-Letter: implicit"]);
    let received = sink.wait_accepted(4);
    for (id, with) in
        [("plain", "ESMTP"), ("pipelined", "ESMTP"), ("starttls", "ESMTPS"), ("implicit", "ESMTPS")]
    {
        let message =
            received.iter().find(|message| message.id().as_deref() == Some(id)).expect(id);
        let (field, _) = split_first_field(&message.content);
        let field = String::from_utf8_lossy(field).into_owned();
        assert!(field.contains(&format!("with {with}\r\n")), "{id}: {field}");
        assert_eq!(field.contains("TLSv1."), with == "ESMTPS", "{id}: {field}");
    }
}

const SMTPLIB: &str = r#"
import smtplib, ssl, sys
from email.message import EmailMessage

plain, starttls, implicit, certificate = sys.argv[1:]
def at(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)
trust = ssl.create_default_context(cafile=certificate)
body = sys.stdin.buffer.read()

# 8BITMIME, octets as they are.
with smtplib.SMTP(*at(plain)) as server:
    server.ehlo("python.test")
    for word in ("pipelining", "8bitmime", "smtputf8", "size", "enhancedstatuscodes", "chunking"):
        assert server.has_extn(word), word
    assert not server.has_extn("starttls")
    refused = server.sendmail("ana@sender.example", ["bo@receiver.example"], body, mail_options=["BODY=8BITMIME"])
    assert refused == {}, refused
    # A second message in the same session, with SMTPUTF8.
    message = EmailMessage()
    message["From"] = "Ana <an\u00e4@sender.example>"
    message["To"] = "Bo <b\u00f6@receiver.example>"
    message["Subject"] = "gr\u00fc\u00dfe"
    message["X-Letter"] = "utf8"
    message.set_content("\u4f60\u597d\n")
    assert server.send_message(message) == {}

# A whole transaction in one packet; the replies must come in order.
with smtplib.SMTP(*at(plain)) as server:
    server.ehlo("python.test")
    server.send(b"MAIL FROM:<ana@sender.example>\r\nRCPT TO:<one@receiver.example>\r\n"
                b"RCPT TO:<not an address>\r\nRCPT TO:<two@receiver.example>\r\nDATA\r\n")
    codes = [server.getreply()[0] for _ in range(5)]
    assert codes == [250, 250, 501, 250, 354] or codes == [250, 250, 553, 250, 354], codes
    server.send(b"X-Letter: pipelined\r\n\r\nbody\r\n.\r\nNOOP\r\nQUIT\r\n")
    codes = [server.getreply()[0] for _ in range(3)]
    assert codes == [250, 250, 221], codes
    server.close()

with smtplib.SMTP(*at(starttls)) as server:
    server.starttls(context=trust)
    assert not server.has_extn("starttls") or server.ehlo()[0] == 250
    assert not server.has_extn("starttls"), "STARTTLS offered inside TLS"
    server.sendmail("ana@sender.example", ["bo@receiver.example"], b"X-Letter: starttls\r\n\r\nbody\r\n")

with smtplib.SMTP_SSL(*at(implicit), context=trust) as server:
    server.sendmail("ana@sender.example", ["bo@receiver.example"], b"X-Letter: implicit\r\n\r\nbody\r\n")
print("done")
"#;

#[test]
fn python_smtplib_sends_all_it_knows() {
    let sink = Sink::start();
    let (_folder, certificate, relay) = relay_with_tls(&sink);
    let content = [letter("eight-bit", 600), b"\xff\xfe\x80 \xe4\r\n".to_vec()].concat();
    let mut command = Command::new("python3");
    command.args(["-c", SMTPLIB]);
    command
        .args(["smtp", "submission", "submissions"].map(|name| relay.listener(name).to_string()));
    command.arg(&certificate.certificate);
    assert_eq!(run(command, &content).succeeded(), "done\n");
    let received = sink.wait_accepted(5);
    let find = |id: &str| {
        received.iter().find(|message| message.id().as_deref() == Some(id)).expect("a letter")
    };
    assert_same("eight-bit", behind_trace(&find("eight-bit").content), &content);
    assert!(find("eight-bit").mail_parameters.contains("BODY=8BITMIME"));
    let utf8 = find("utf8");
    assert_eq!(
        (utf8.sender.as_str(), utf8.recipients[0].as_str()),
        ("anä@sender.example", "bö@receiver.example")
    );
    assert!(utf8.mail_parameters.contains("SMTPUTF8"), "{}", utf8.mail_parameters);
    assert!(String::from_utf8_lossy(split_first_field(&utf8.content).0).contains("with UTF8SMTP"));
    assert_eq!(find("pipelined").recipients, ["one@receiver.example", "two@receiver.example"]);
    assert!(String::from_utf8_lossy(&find("implicit").content).contains("with ESMTPS"));
    sink.assert_clean();
}

#[test]
fn curl_sends_plainly_and_by_tls() {
    let sink = Sink::start();
    let (_folder, certificate, relay) = relay_with_tls(&sink);
    let curl = |scheme: &str, listener: &str, id: &str, words: &[&str]| {
        let url = format!("{scheme}://{}/curl.test", relay.listener(listener));
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--url", &url, "--upload-file", "-"]);
        command.args(["--mail-from", "ana@sender.example", "--mail-rcpt", "bo@receiver.example"]);
        command.arg("--cacert").arg(&certificate.certificate).args(words);
        run(command, &letter(id, 20_000)).succeeded();
    };
    curl("smtp", "smtp", "plain", &[]);
    curl("smtp", "submission", "starttls", &["--ssl-reqd"]);
    curl("smtps", "submissions", "implicit", &[]);
    for message in sink.wait_accepted(3) {
        let id = message.id().expect("an id");
        assert_same(&id, behind_trace(&message.content), &letter(&id, 20_000));
    }
}

/// The program's own client and its own sink, with the relay between them.
#[test]
fn send_and_sink_of_the_program_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ready, store) = (folder.path().join("ready.json"), folder.path().join("store"));
    let mut command = tied(PROGRAM);
    command.args(["sink", "--listen", "127.0.0.1:0", "--json", "--ready-file"]).arg(&ready);
    command.arg("--store").arg(&store);
    let log = folder.path().join("sink.log");
    let _sink = Process::start(command, &log);
    let address = wait_for("the sink", || {
        let text = std::fs::read_to_string(&ready).ok()?;
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let address = value["listeners"][0]["address"].as_str()?;
        Some(address.parse().expect("an address"))
    });
    let relay = Relay::towards(address);
    let content = letter("own", 5000);
    let mut command = Command::new(PROGRAM);
    command.args(["send", "--server", &relay.smtp().to_string(), "--from", "ana@sender.example"]);
    command.args(["--to", "bo@receiver.example", "--to", "cy@receiver.example", "-"]);
    run(command, &content).succeeded();
    let stored = wait_for("a stored message", || {
        let mut entries = std::fs::read_dir(&store).ok()?;
        let path = entries.find_map(|entry| {
            let path = entry.ok()?.path();
            path.extension().is_some_and(|end| end == "eml").then_some(path)
        })?;
        let line = std::fs::read_to_string(&log)
            .ok()?
            .lines()
            .find(|line| line.starts_with('{'))?
            .to_owned();
        Some((std::fs::read(path).ok()?, line))
    });
    assert_same("own", behind_all_traces(&stored.0).1, &content);
    let line: serde_json::Value = serde_json::from_str(&stored.1).expect("JSON");
    assert!(line.to_string().contains("bo@receiver.example"), "{line}");
}
