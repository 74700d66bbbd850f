//! Clients that are known by their certificates, and how listeners choose and refuse in handshakes; asked by OpenSSL.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::harness::process::{Output, run};
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::Smtp;
use crate::harness::tls::Certificate;
use crate::harness::wait::wait_until;

/// A message inside TLS. Lower-case verbs: OpenSSL takes a line that begins with Q or R for an order to itself.
const SESSION: &[u8] = b"ehlo client.test\r\nmail from:<ana@sender.example>\r\nrcpt to:<bo@receiver.example>\r\ndata\r\nSubject: test\r\n\r\ntext\r\n.\r\nquit\r\n";
const HANDSHAKES: &str = "chasqui_reception_tls_handshakes_total";

/// A private authority, as a company has one.
pub(crate) struct Authority {
    pub(crate) pem: String,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

/// A client's files.
pub(crate) struct Client {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `names` in files of `folder`.
    pub(crate) fn issue(
        &self,
        (folder, file): (&Path, &str),
        names: &[&str],
        turn: impl FnOnce(&mut CertificateParams),
    ) -> Client {
        let key = KeyPair::generate().expect("a key");
        let mut params = params("mail.common.example");
        let names = names.iter().map(|name| (*name).try_into().expect("a name"));
        params.subject_alt_names = names.map(rcgen::SanType::DnsName).collect();
        turn(&mut params);
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        let client = Client {
            certificate: folder.join(format!("{file}.pem")),
            key: folder.join(format!("{file}.key")),
        };
        fs::write(&client.certificate, made.pem()).expect("a file");
        fs::write(&client.key, key.serialize_pem()).expect("a file");
        client
    }
}

/// A relay with one TLS listener, where no address relays.
pub(crate) struct Case {
    pub(crate) relay: Relay,
    pub(crate) sink: Sink,
    pub(crate) server: Certificate,
    authority: Authority,
    pub(crate) folder: tempfile::TempDir,
}

impl Case {
    pub(crate) fn start(
        asked: &str,
        names: &[&str],
        turn: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let sink = Sink::start();
        let folder = tempfile::tempdir().expect("a folder");
        let server = Certificate::write(folder.path());
        let authority = Authority::new("Private Authority");
        fs::write(folder.path().join("roots.pem"), &authority.pem).expect("a file");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let settings = Settings::towards(sink.address())
            .set("listener.0.tls", "starttls")
            .set("listener.0.certificate", path("certificate.pem"))
            .set("listener.0.key", path("key.pem"))
            .set("listener.0.client_certificates", asked)
            .set("listener.0.client_authorities", path("roots.pem"))
            .set("inbound.0.sender_ip_addresses", vec!["192.0.2.0/28"])
            .set("inbound.0.tls_sender_certificate_names", names);
        Self { relay: Relay::start(turn(settings)), sink, server, authority, folder }
    }

    /// A session of OpenSSL's client; it may show a certificate.
    pub(crate) fn talk(&self, client: Option<&Client>, words: &[&str]) -> Output {
        let mut command = Command::new("openssl");
        let server = self.relay.smtp().to_string();
        command.args(["s_client", "-connect", &server, "-starttls", "smtp", "-ign_eof"]);
        command.args(["-CAfile"]).arg(&self.server.certificate).args(words);
        if let Some(client) = client {
            command.arg("-cert").arg(&client.certificate).arg("-key").arg(&client.key);
        }
        run(command, SESSION)
    }

    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> Client {
        self.authority.issue((self.folder.path(), file), names, |_| {})
    }
}

/// The reply to RCPT in what OpenSSL printed.
#[track_caller]
fn rcpt(output: &Output) -> &str {
    let mut lines = output.stdout.lines();
    lines.find(|line| line.starts_with("250 2.1.0")).expect("a reply to MAIL");
    lines.next().expect("a reply to RCPT")
}

/// `OC_06`: a name of the certificate, exact or one label under a pattern, lets its holder relay; another is refused with
/// the names that were seen.
#[test]
fn oc_06_a_certificate_name_lets_its_holder_relay() {
    let case = Case::start("ask", &["mail.partner.example", "*.group.example"], |it| it);
    for (file, names) in [("exact", "Mail.Partner.Example"), ("below", "a.group.example")] {
        let output = case.talk(Some(&case.issue(file, &["other.example", names])), &[]);
        assert!(rcpt(&output).starts_with("250 2.1.5"), "{output:?}");
        assert!(output.stdout.contains("250 2.0.0 OK queued as "), "{output:?}");
    }
    assert_eq!(case.sink.wait_accepted(2).len(), 2);
    let log = case.relay.log_with("message accepted");
    assert!(log.contains("CN=mail.common.example"), "{log}");
    for (file, names) in [
        ("other", &["mail.other.example", "x.y.z"][..]),
        ("deep", &["a.b.group.example"]),
        ("parent", &["group.example"]),
    ] {
        let output = case.talk(Some(&case.issue(file, names)), &[]);
        let reply = rcpt(&output);
        let seen = format!("its certificate is for {}, which is not known here", names.join(", "));
        assert!(reply.starts_with("550 5.7.1") && reply.contains(&seen), "{reply}");
    }
    // Nothing shown is no fault, and lets nobody in.
    let output = case.talk(None, &[]);
    let reply = rcpt(&output);
    assert!(reply.starts_with("550 5.7.1") && !reply.contains("certificate is"), "{reply}");
}

/// `OC_07`: what another authority, or nobody, has issued does not count; the private authority that is named does.
#[test]
fn oc_07_only_the_authority_that_is_named_counts() {
    let case = Case::start("ask", &["mail.partner.example"], |it| it);
    let names = &["mail.partner.example"];
    let stranger = Authority::new("Private Authority");
    let foreign = stranger.issue((case.folder.path(), "foreign"), names, |_| {});
    let own = {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["mail.partner.example".to_owned()];
        let made = CertificateParams::new(names).expect("a name").self_signed(&key);
        let files = case.issue("own", &[]);
        fs::write(&files.certificate, made.expect("a certificate").pem()).expect("a file");
        fs::write(&files.key, key.serialize_pem()).expect("a file");
        files
    };
    for (client, words) in [(foreign, "is not signed by it"), (own, "self-signed")] {
        let output = case.talk(Some(&client), &[]);
        let reply = rcpt(&output);
        assert!(reply.starts_with("550 5.7.1") && reply.contains(words), "{reply}");
        assert!(reply.contains("does not count"), "{reply}");
    }
    let output = case.talk(Some(&case.issue("good", names)), &[]);
    assert!(rcpt(&output).starts_with("250 2.1.5"), "{output:?}");
}

/// `OC_08`: a client that leaves its intermediate out is told that its chain is incomplete.
#[test]
fn oc_08_an_incomplete_chain_is_named() {
    let case = Case::start("ask", &["mail.partner.example"], |it| it);
    let key = KeyPair::generate().expect("a key");
    let mut middle = params("Middle");
    middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let signed = middle.signed_by(&key, &case.authority.issuer).expect("a certificate").pem();
    let middle = Authority { pem: signed, issuer: Issuer::new(middle, key) };
    let client = middle.issue((case.folder.path(), "leaf"), &["mail.partner.example"], |_| {});
    let output = case.talk(Some(&client), &[]);
    let reply = rcpt(&output);
    assert!(reply.contains("incomplete chain") && reply.contains("CN=Middle"), "{reply}");
    let chain = case.folder.path().join("chain.pem");
    fs::write(&chain, &middle.pem).expect("a file");
    let chain = chain.display().to_string();
    let output = case.talk(Some(&client), &["-cert_chain", &chain]);
    assert!(rcpt(&output).starts_with("250 2.1.5"), "{output:?}");
}

/// `OC_17`: an expired certificate, one with another name, or another address: the reply names what does not match, and
/// the log the nearest connector, which is nobody else's business.
#[test]
fn oc_17_what_stopped_matching_is_named() {
    let case = Case::start("ask", &["mail.partner.example"], |settings| {
        settings.push("inbound", "name = \"office\"\nsender_ip_addresses = [\"127.0.0.7\"]")
    });
    let expired = case.authority.issue(
        (case.folder.path(), "expired"),
        &["mail.partner.example"],
        |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1),
    );
    let output = case.talk(Some(&expired), &[]);
    let reply = rcpt(&output);
    assert!(reply.contains("does not count: the certificate has expired"), "{reply}");
    assert!(!reply.contains("connector"), "{reply}");
    // A name that nobody vouches for is near to nothing.
    let nearest = "has expired; nearest is connector office, with another address";
    case.relay.log_with(nearest);
    let output = case.talk(Some(&case.issue("renamed", &["mx2.partner.example"])), &[]);
    let reply = rcpt(&output);
    let nearest = "nearest is connector tests, with another certificate name";
    assert!(reply.contains("is for mx2.partner.example"), "{reply}");
    case.relay.log_with(nearest);
    let output = case.talk(None, &[]);
    let reply = rcpt(&output);
    assert!(reply.ends_with("Relay access denied for 127.0.0.1"), "{reply}");
    case.relay.log_with("inbound connector; nearest is connector office, with another address");
    case.relay.log_with("the certificate has expired");
}

/// `OC_09`: a certificate goes before an address.
#[test]
fn oc_09_a_certificate_goes_before_an_address() {
    let case = Case::start("ask", &["mail.partner.example"], |settings| {
        settings.push("inbound", "name = \"office\"\nsender_ip_addresses = [\"127.0.0.1\"]")
    });
    let output = case.talk(None, &[]);
    assert!(rcpt(&output).starts_with("250 2.1.5"), "{output:?}");
    case.relay.log_with("\"connector\":\"office\"");
    let output = case.talk(Some(&case.issue("good", &["mail.partner.example"])), &[]);
    assert!(rcpt(&output).starts_with("250 2.1.5"), "{output:?}");
    case.relay.log_with("\"connector\":\"tests\"");
}

#[test]
fn a_certificate_that_is_required_is_required() {
    let case = Case::start("require", &["mail.partner.example"], |it| it);
    let good = case.issue("good", &["mail.partner.example"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let output = case.talk(Some(&good), &[version]);
        assert!(rcpt(&output).starts_with("250 2.1.5"), "{output:?}");
        let output = case.talk(None, &[version]);
        assert!(!output.stdout.contains("250 2.1.0"), "{output:?}");
    }
    case.relay.log_with("the client shows no certificate");
    let failed = format!("{HANDSHAKES}{{listener=\"smtp\",result=\"failed\"}}");
    wait_until("both counted", || (case.relay.metric(&failed) - 2.0).abs() < 0.5);
}

#[test]
fn an_expired_certificate_that_is_required_is_refused_in_words() {
    let case = Case::start("require", &["mail.partner.example"], |it| it);
    let expired = case.authority.issue(
        (case.folder.path(), "expired"),
        &["mail.partner.example"],
        |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1),
    );
    let output = case.talk(Some(&expired), &[]);
    assert!(!output.stdout.contains("250 2.1.0"), "{output:?}");
    let log = case.relay.log_with("no tls with a client");
    assert!(log.contains("the certificate has expired"), "{log}");
}

#[test]
fn a_listener_may_speak_tls_1_3_only() {
    let case = Case::start("no", &[], |it| it.set("listener.0.tls_min", "1.3"));
    let output = case.talk(None, &["-tls1_3"]);
    assert!(output.stdout.contains("New, TLSv1.3, Cipher is"), "{output:?}");
    let output = case.talk(None, &["-tls1_2"]);
    assert!(!output.status.success(), "{output:?}");
    assert!(!output.stdout.contains("250 2.1.0"), "{output:?}");
    let log = case.relay.log_with("no tls with a client");
    assert!(log.contains("only 1.3 is spoken here"), "{log}");
}

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("Second Authority");
    let second = authority.issue((folder.path(), "second"), &["*.second.example"], |_| {});
    let mut entry = toml::Table::new();
    for (key, file) in [("certificate", &second.certificate), ("key", &second.key)] {
        entry.insert(key.to_owned(), file.display().to_string().into());
    }
    let case = Case::start("no", &[], |it| {
        it.set("listener.0.certificates", vec![toml::Value::Table(entry)])
    });
    for (name, issuer) in [
        ("a.second.example", "issuer=CN = Second Authority"),
        ("a.b.second.example", "issuer=CN = rcgen self signed cert"),
        ("localhost", "issuer=CN = rcgen self signed cert"),
    ] {
        let output = case.talk(None, &["-servername", name]);
        let plain = |text: &str| text.replace(" = ", "=");
        assert!(plain(&output.stdout).contains(&plain(issuer)), "{name}: {output:?}");
    }
}

/// A second session is resumed, and still knows its client.
#[test]
fn a_session_is_resumed() {
    let case = Case::start("ask", &["mail.partner.example"], |it| it);
    let good = case.issue("good", &["mail.partner.example"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let kept = case.folder.path().join(version).display().to_string();
        let output = case.talk(Some(&good), &[version, "-sess_out", &kept]);
        assert!(output.stdout.contains("New, TLSv1."), "{output:?}");
        let output = case.talk(None, &[version, "-sess_in", &kept]);
        assert!(output.stdout.contains("Reused, TLSv1."), "{output:?}");
        assert!(rcpt(&output).starts_with("250 2.1.5"), "{output:?}");
    }
}

/// A client of TLS 1.2 that wants to negotiate again gets no second handshake: to the relay it is idle.
#[test]
fn renegotiation_is_refused() {
    let case = Case::start("no", &[], |settings| {
        settings
            .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1"])
            .set("listener.0.idle_wait_max", "1s")
    });
    let mut command = Command::new("openssl");
    let server = case.relay.smtp().to_string();
    command.args(["s_client", "-connect", &server, "-starttls", "smtp", "-tls1_2"]);
    command.arg("-CAfile").arg(&case.server.certificate);
    let output = run(command, b"R\n");
    assert!(output.stderr.contains("RENEGOTIATING"), "{output:?}");
    assert!(!output.stdout.contains("250 2.1.0"), "{output:?}");
    let output = case.talk(None, &[]);
    assert!(rcpt(&output).starts_with("250 2.1.5"), "{output:?}");
    let done = format!("{HANDSHAKES}{{listener=\"smtp\",result=\"done\"}}");
    case.relay.assert_metric(&done, 2.0);
}

/// Handshakes that stop half-way are closed in time, and only so many go on at once.
#[test]
fn half_open_handshakes_are_closed() {
    let case = Case::start("no", &[], |settings| {
        settings
            .set("listener.0.tls", "implicit")
            .set("listener.0.handshakes_max", 2)
            .set("listener.0.handshake_wait_max", "300ms")
    });
    // The start of a ClientHello.
    let stalled: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(case.relay.smtp()).expect("a connection");
            std::io::Write::write_all(&mut stream, b"\x16\x03\x01\x02\x00\x01").expect("octets");
            stream
        })
        .collect();
    for stream in stalled {
        assert!(Smtp::over(stream).expect("a socket").is_closed());
    }
    let timed_out = format!("{HANDSHAKES}{{listener=\"smtp\",result=\"timed_out\"}}");
    let shed = "chasqui_load_shed_total{listener=\"smtp\",cause=\"handshakes\"}";
    wait_until("all counted", || {
        case.relay.metric(&timed_out) + case.relay.metric(shed) > 3.5
            && case.relay.metric("chasqui_reception_connections{listener=\"smtp\"}") < 0.5
    });
    // Of a flood the log tells the first, which may have had its turn or not.
    case.relay.log_with("no tls with a client");
}

/// Whoever had to wait in line and got no turn is not held to have misbehaved.
#[test]
fn a_full_line_of_handshakes_bans_nobody() {
    let case = Case::start("no", &[], |settings| {
        settings
            .set("listener.0.tls", "implicit")
            .set("listener.0.handshakes_max", 1)
            .set("listener.0.handshake_wait_max", "500ms")
            .set("listener.0.defence.ban_after", "1/1h")
    });
    let connect = |last| {
        let client = std::net::Ipv4Addr::new(127, 0, 0, last).into();
        Smtp::connect_from(client, case.relay.smtp()).expect("a connection")
    };
    let mut all = vec![connect(2)];
    let open = "chasqui_reception_connections{listener=\"smtp\"}";
    wait_until("the first has its turn", || case.relay.metric(open) > 0.5);
    all.extend((0..4).map(|_| connect(3)));
    assert!(all.iter_mut().all(Smtp::is_closed));
    let shed = "chasqui_load_shed_total{listener=\"smtp\",cause=\"handshakes\"}";
    wait_until("all counted", || case.relay.metric(shed) > 2.5 && case.relay.metric(open) < 0.5);
    case.relay.assert_metric("chasqui_reception_bans_total{listener=\"smtp\"}", 0.0);
    case.relay.log_with("no tls with a client");
}

const PROXY: &str = r#"
import smtplib, ssl, sys
port, trust, certificate, key = sys.argv[1:]
context = ssl.create_default_context(cafile=trust)
context.load_cert_chain(certificate, key)
for told in (True, False):
    with smtplib.SMTP("127.0.0.1", int(port)) as server:
        server.ehlo("proxy.test")
        if told:
            assert server.docmd("XCLIENT ADDR=203.0.113.7")[0] == 220
            server.ehlo("proxy.test")
        server.starttls(context=context)
        server.ehlo("proxy.test")
        assert server.docmd("MAIL FROM:<ana@sender.example>")[0] == 250
        code, words = server.docmd("RCPT TO:<bo@receiver.example>")
        print(code, words.decode())
"#;

/// The proxy's certificate lets the proxy in, and not the client whose session it passes on.
#[test]
fn a_proxy_shows_its_certificate_for_itself_only() {
    let case = Case::start("ask", &["mail.partner.example"], |settings| {
        settings.set("listener.0.xclient_networks", vec!["127.0.0.1"])
    });
    let client = case.issue("proxy", &["mail.partner.example"]);
    let mut command = Command::new("python3");
    command.args(["-c", PROXY, &case.relay.smtp().port().to_string()]);
    command.args([&case.server.certificate, &client.certificate, &client.key]);
    let printed = run(command, b"").succeeded();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines, ["550 5.7.1 Relay access denied for 203.0.113.7", "250 2.1.5 recipient OK"]);
}

/// A certificate of X.509 version 1, as old devices have: it proves nothing, and does not end the session either.
#[test]
fn a_certificate_of_version_1_counts_as_none() {
    let case = Case::start("ask", &["mail.partner.example"], |it| it);
    let path = |name: &str| case.folder.path().join(name);
    let openssl = |words: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(words).current_dir(case.folder.path());
        run(command, b"").succeeded()
    };
    let subject = "/CN=mail.partner.example";
    let new = ["-newkey", "rsa:2048", "-nodes", "-keyout", "old.key", "-out", "old.csr"];
    openssl(&[&["req", "-new", "-subj", subject], &new[..]].concat());
    openssl(&["x509", "-req", "-in", "old.csr", "-signkey", "old.key", "-out", "old.pem"]);
    let text = openssl(&["x509", "-in", "old.pem", "-noout", "-text"]);
    assert!(text.contains("Version: 1 (0x0)"), "{text}");
    let old = Client { certificate: path("old.pem"), key: path("old.key") };
    for version in ["-tls1_2", "-tls1_3"] {
        let output = case.talk(Some(&old), &[version]);
        let reply = rcpt(&output);
        let words = "does not count: the certificate is of an old version of X.509";
        assert!(reply.starts_with("550 5.7.1") && reply.contains(words), "{version}: {reply}");
    }
    case.relay.log_with("is of an old version of X.509");
}
