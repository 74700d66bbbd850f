//! Smart hosts and clients that know each other by certificates, and what the trace field says of it.

use std::fs;
use std::process::Command;

use rcgen::{BasicConstraints, IsCa, Issuer, KeyPair};
use serde_json::Value;

use crate::client_tls::{Authority, Case, Client, params};
use crate::harness::letter::split_first_field;
use crate::harness::process::run;
use crate::harness::relay::PROGRAM;

/// A smart host's name is in a certificate whose chain leads to a root that the client trusts, as with a public authority.
#[test]
fn ee_01_starttls_is_offered_with_a_certificate_for_the_listeners_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Authority::new("Public Root");
    let key = KeyPair::generate().expect("a key");
    let mut middle = params("Public Middle");
    middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = middle.signed_by(&key, &root.issuer).expect("a certificate").pem();
    let middle = Authority { pem, issuer: Issuer::new(middle, key) };
    let own = middle.issue((folder.path(), "own"), &["smart.host.example"], |_| {});
    let leaf = fs::read_to_string(&own.certificate).expect("a file");
    fs::write(&own.certificate, leaf + &middle.pem).expect("a file");
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, &root.pem).expect("a file");
    let case = Case::start("no", &[], |it| {
        it.set("listener.0.certificate", own.certificate.display().to_string())
            .set("listener.0.key", own.key.display().to_string())
    });
    let offer = case.relay.session().expect("EHLO outlook.test", 250);
    assert!(offer.lines.iter().any(|line| line == "STARTTLS"), "{offer:?}");
    let trusted = trusted.display().to_string();
    for (name, is_good) in [("smart.host.example", true), ("other.host.example", false)] {
        let words = ["-CAfile", &trusted, "-servername", name, "-verify_hostname", name];
        let output = case.talk(None, &[&words[..], &["-verify_return_error"]].concat());
        assert_eq!(output.stdout.contains("Verify return code: 0 (ok)"), is_good, "{output:?}");
        assert_eq!(output.stdout.contains("250 2.1.0"), is_good, "{output:?}");
    }
}

/// As .NET's `SmtpClient` does it: STARTTLS with a client certificate, no login, one command at a time.
const SMTPLIB: &str = r#"
import smtplib, ssl, sys
port, source, trusted = sys.argv[1:4]
trust = ssl.create_default_context(cafile=trusted)
if len(sys.argv) > 4:
    trust.load_cert_chain(*sys.argv[4:])
with smtplib.SMTP("127.0.0.1", int(port), "client.test", source_address=(source, 0)) as server:
    server.starttls(context=trust)
    to = ["bo@receiver.example", "cy@receiver.example"]
    try:
        assert server.sendmail("ana@sender.example", to, b"Subject: x\r\n\r\nbody\r\n") == {}
        print("sent")
    except smtplib.SMTPRecipientsRefused as refused:
        print(refused.recipients["bo@receiver.example"])
"#;

/// A session of Python's client from `source`; gives what became of its message.
fn send_from(case: &Case, source: &str, client: Option<&Client>) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", SMTPLIB, &case.relay.smtp().port().to_string(), source]);
    command.arg(&case.server.certificate);
    if let Some(client) = client {
        command.arg(&client.certificate).arg(&client.key);
    }
    run(command, b"").succeeded().trim().to_owned()
}

#[test]
fn oc_15_a_certificate_without_a_login_sends_to_two_recipients() {
    let case = Case::start("ask", &["mail.partner.example"], |it| it);
    let client = case.issue("good", &["mail.partner.example"]);
    assert_eq!(send_from(&case, "127.0.0.1", Some(&client)), "sent");
    let received = case.sink.wait_accepted(1).remove(0);
    assert_eq!(received.recipients, ["bo@receiver.example", "cy@receiver.example"]);
    assert_eq!(received.sender, "ana@sender.example");
}

/// Who comes from another address each time is known by its certificate, and not by its address.
#[test]
fn oc_20_an_address_may_change_where_the_certificate_stays() {
    let case = Case::start("ask", &["mail.partner.example"], |settings| {
        settings.push("inbound", "name = \"office\"\nsender_ip_addresses = [\"127.0.0.5\"]")
    });
    let client = case.issue("good", &["mail.partner.example"]);
    for source in ["127.0.0.5", "127.0.0.6", "127.0.0.7"] {
        assert_eq!(send_from(&case, source, Some(&client)), "sent", "{source}");
    }
    assert_eq!(send_from(&case, "127.0.0.5", None), "sent");
    let refused = send_from(&case, "127.0.0.6", None);
    assert!(refused.contains("550") && refused.contains("denied for 127.0.0.6"), "{refused}");
    case.relay.log_with("nearest is connector office, with another address");
    assert_eq!(case.sink.wait_accepted(4).len(), 4);
}

/// A certificate of the right name lets its holder in only if the right authority has issued it.
#[test]
fn oc_17_a_certificate_from_another_issuer_is_named_so() {
    for (issuer, is_let_in) in [("private authority", true), ("CN=Other Authority", false)] {
        let case = Case::start("ask", &["mail.partner.example"], |settings| {
            settings.set("inbound.0.tls_sender_certificate_issuers", vec![issuer.to_owned()])
        });
        let client = case.issue("good", &["mail.partner.example"]);
        let said = send_from(&case, "127.0.0.1", Some(&client));
        assert_eq!(said == "sent", is_let_in, "{said}");
        if !is_let_in {
            assert!(said.contains("550"), "{said}");
            case.relay.log_with(
                "nearest is connector tests, with a certificate of that name from another issuer",
            );
        }
        let words = ["explain-connection", "--cert", "mail.partner.example"];
        let words = [&words[..], &["--cert-issuer", "O=X, CN=Private Authority"]].concat();
        let explained = case.relay.asked(&words);
        assert_eq!(explained["connector"].is_string(), is_let_in, "{explained}");
    }
}

/// What the trace field says is there to be read, by people and by `trace-headers`.
#[test]
fn oc_19_the_trace_field_says_whence_how_by_which_connector_and_as_what() {
    let case = Case::start("ask", &["mail.partner.example"], |it| it);
    let client = case.issue("good", &["mail.partner.example"]);
    let output = case.talk(Some(&client), &["-tls1_3"]);
    let (_, id) = output.stdout.split_once("queued as ").expect("an id");
    let id = id.split_ascii_whitespace().next().expect("an id");
    let one = case.sink.wait_accepted(1).remove(0);
    let field = |content: &[u8]| {
        let (field, _) = split_first_field(content);
        String::from_utf8(field.to_vec()).expect("ASCII").replace("\r\n\t", " ")
    };
    let said = field(&one.content);
    let start = "Received: from client.test ([127.0.0.1]) by relay.test with ESMTPS (TLSv1.3 TLS_";
    assert!(said.starts_with(start), "{said}");
    let end = format!(") id {id} (connector tests) for <bo@receiver.example>; ");
    assert!(said.contains(&end), "{said}");
    let file = case.folder.path().join("message");
    fs::write(&file, &one.content).expect("a file");
    let mut command = Command::new(PROGRAM);
    command.args(["trace-headers", "--json"]).arg(&file);
    let shown: Value = serde_json::from_str(&run(command, b"").succeeded()).expect("JSON");
    assert_eq!(
        (&shown["hops"][0]["id"], &shown["hops"][0]["with"]),
        (&id.into(), &"ESMTPS".into())
    );
    assert_eq!(send_from(&case, "127.0.0.1", Some(&client)), "sent");
    let two = case.sink.wait_accepted(2).remove(1);
    let said = field(&two.content);
    assert!(said.contains("(connector tests);") && !said.contains("receiver.example"), "{said}");
}
