//! Logins that are tied to the TLS session: SCRAM-SHA-256-PLUS by both bindings, and EXTERNAL. One relay logs in to
//! another, and Python does what the relay as a client does not.

use std::path::PathBuf;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::harness::accounts::{Accounts, PASSWORD, account, write_secret};
use crate::harness::letter::{letter, split_first_field};
use crate::harness::process::run;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::Smtp;

const NAME: &str = "ana@sender.example";

/// A relay that sends everything to the `submission` listener of `server`, and logs in as `login` says.
fn client(server: &Relay, lines: &str) -> Relay {
    let next_hop = server.listener("submission");
    let outbound = format!(
        "name = \"office\"\ntls = \"encrypt\"\nrecipient_domains = [\"receiver.example\"]\n\
         smart_hosts = [{{ host = \"127.0.0.1\", port = {} }}]\n{lines}",
        next_hop.port()
    );
    let settings = Settings::towards(next_hop)
        .set("outbound", toml::Value::Array(vec![]))
        .push("outbound", &outbound);
    Relay::start(settings)
}

/// One message through both relays, by this mechanism.
#[track_caller]
fn assert_passes(client: &Relay, server: &Relay, sink: &Sink, mechanism: &str) {
    client.submit(NAME, &["bo@receiver.example"], &letter("bound", 300));
    let message = &sink.wait_accepted(1)[0];
    let (field, _) = split_first_field(&message.content);
    assert!(String::from_utf8_lossy(field).contains("with ESMTPSA\r\n"));
    let log = server.log_with("client logged in");
    let line = log.lines().find(|line| line.contains("client logged in")).expect("a line");
    assert!(line.contains(&format!("\"mechanism\":\"{mechanism}\"")), "{line}");
    assert!(line.contains(&format!("\"login\":\"{NAME}\"")), "{line}");
}

#[test]
fn a_relay_binds_its_login_to_the_session() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let server = Relay::start(accounts.settings(&sink));
    let secret = accounts.folder.path().join("secret");
    write_secret(&secret, PASSWORD);
    // The strongest that both know, without being told.
    let login = format!("login = {{ user = \"{NAME}\", password_file = {secret:?} }}");
    let client = client(&server, &login);
    assert_passes(&client, &server, &sink, "SCRAM-SHA-256-PLUS");
}

#[test]
fn a_relay_logs_in_by_its_certificate() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let path = |name: &str| accounts.folder.path().join(name);
    let write = |name: &str, text: String| -> PathBuf {
        let path = path(name);
        write_secret(&path, &text);
        path
    };
    let root_key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::new(vec![]).expect("no names");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let roots = write("roots.pem", root.self_signed(&root_key).expect("a root").pem());
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["app.client.example".to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).expect("a certificate");
    let certificate = write("app.pem", leaf.pem());
    let key = write("app.key", key.serialize_pem());
    let ana = account(NAME, PASSWORD, &["sender.example"]);
    accounts.write(&format!("{ana}certificates = [\"app.client.example\"]\n"));
    let settings = accounts
        .settings(&sink)
        .set("listener.2.client_certificates", "ask")
        .set("listener.2.client_authorities", roots.display().to_string());
    let server = Relay::start(settings);
    let client = client(
        &server,
        &format!(
            "login = {{ mechanisms = [\"EXTERNAL\"] }}\n\
             client_certificate = {{ certificate = {certificate:?}, key = {key:?} }}"
        ),
    );
    assert_passes(&client, &server, &sink, "EXTERNAL");
    // Without the certificate it is not even offered.
    let mut session = Smtp::open(server.listener("submission"));
    session.expect("AUTH EXTERNAL =", 504);
}

const SCRAM: &str = r#"
import base64, hashlib, hmac, smtplib, ssl, sys
port, trust, name, password = sys.argv[1:]
b64 = lambda octets: base64.b64encode(octets).decode()
context = ssl.create_default_context(cafile=trust)
for version, twist in (("1.3", 0), ("1.3", 1), ("1.2", 0)):
    if version == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    with smtplib.SMTP("localhost", int(port)) as server:
        server.starttls(context=context)
        server.ehlo("python.test")
        offered = server.esmtp_features["auth"].split()
        assert ("SCRAM-SHA-256-PLUS" in offered) == (version == "1.3"), (version, offered)
        if version == "1.2":
            continue
        seen = bytearray(hashlib.sha256(server.sock.getpeercert(True)).digest())
        seen[0] ^= twist
        gs2 = b"p=tls-server-end-point,,"
        bare = b"n=" + name.encode() + b",r=abcdefgh"
        code, words = server.docmd("AUTH", "SCRAM-SHA-256-PLUS " + b64(gs2 + bare))
        assert code == 334, (code, words)
        first = base64.b64decode(words)
        parts = dict(part.split(b"=", 1) for part in first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts[b"s"]), int(parts[b"i"]))
        sign = lambda key, text: hmac.new(key, text, hashlib.sha256).digest()
        client_key = sign(salted, b"Client Key")
        last = b"c=" + b64(gs2 + bytes(seen)).encode() + b",r=" + parts[b"r"]
        proof = sign(hashlib.sha256(client_key).digest(), bare + b"," + first + b"," + last)
        proof = bytes(a ^ b for a, b in zip(client_key, proof))
        code, words = server.docmd(b64(last + b",p=" + b64(proof).encode()))
        if code == 334:
            code, words = server.docmd("")
        print(code)
"#;

/// The hash of the certificate that the relay showed binds too; another certificate, as one in between would have, does
/// not. Before TLS 1.3 nothing is bound, since clients would do it by `tls-unique`.
#[test]
fn a_login_may_be_bound_to_the_certificate() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let relay = Relay::start(accounts.settings(&sink));
    let mut command = Command::new("python3");
    command.args(["-c", SCRAM, &relay.listener("submission").port().to_string()]);
    command.arg(&accounts.certificate.certificate).args([NAME, PASSWORD]);
    let printed = run(command, b"").succeeded();
    assert_eq!(printed.lines().collect::<Vec<_>>(), ["235", "535"]);
    relay.log_with("\"mechanism\":\"SCRAM-SHA-256-PLUS\"");
}
