//! DANE: what the DNS says of a host's certificate decides over TLS (RFC 7672).

use std::net::{Ipv4Addr, SocketAddr};

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::dns::{Dns, Record};
use crate::harness::letter::letter;
use crate::harness::postfix::Postfix;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::tls::Certificate;
use crate::harness::wait::wait_for;

const HERE: Record = Record::A(Ipv4Addr::LOCALHOST);
const MX: Record = Record::Mx(10, "mx.receiver.example");

/// A record that no certificate matches.
fn wrong() -> Record {
    Record::Tlsa(3, 0, 1, vec![0; 32])
}

/// A server with STARTTLS that hands all it gets to a sink.
struct Host {
    sink: Sink,
    certificate: Certificate,
    server: Relay,
    _folder: TempDir,
}

impl Host {
    fn start() -> Self {
        let (sink, folder) = (Sink::start(), tempfile::tempdir().expect("a folder"));
        let certificate = Certificate::write(folder.path());
        let listener = format!(
            "name = \"mx\"\naddress = \"127.0.0.1:0\"\ntls = \"starttls\"\ncertificate = {:?}\nkey = {:?}",
            certificate.certificate, certificate.key
        );
        let server = Relay::start(Settings::towards(sink.address()).push("listener", &listener));
        Self { sink, certificate, server, _folder: folder }
    }

    fn address(&self) -> SocketAddr {
        self.server.listener("mx")
    }
}

/// The record that names the certificate itself.
fn right(certificate: &Certificate) -> Record {
    let der = CertificateDer::from_pem_file(&certificate.certificate).expect("a certificate");
    Record::Tlsa(3, 0, 1, digest(&SHA256, &der).as_ref().to_vec())
}

/// `receiver.example` with one exchanger, all of it secure, and what `records` says of its port.
fn zone(port: u16, records: &[Record]) -> Dns {
    let dns = Dns::start(&[]);
    dns.set("receiver.example", &[MX, Record::Secure]);
    dns.set("mx.receiver.example", &[HERE, Record::Secure]);
    if !records.is_empty() {
        dns.set(&format!("_{port}._tcp.mx.receiver.example"), records);
    }
    dns
}

/// A relay that sends by MX to `port`.
fn settings(dns: &Dns, port: u16) -> Settings {
    let servers = toml::Value::Array(vec![dns.address().to_string().into()]);
    Settings::towards(([127, 0, 0, 1], port).into())
        .set("resolver.servers", servers)
        .set("resolver.trusts_dnssec", true)
        .set("outbound.0.smart_hosts", toml::Value::Array(Vec::new()))
        .set("outbound.0.port", i64::from(port))
        .set("outbound.0.tls", "dane")
}

/// Why the only message waits, after a second try.
#[track_caller]
fn reason(relay: &Relay) -> String {
    wait_for("a second try", || {
        let list = relay.cli_json(&["queue", "list"]);
        let entry = list["messages"][0].clone();
        let words = entry["last_reply"].as_str().map(str::to_owned);
        words.filter(|_| entry["tries"].as_u64() >= Some(2))
    })
}

fn submit(relay: &Relay, id: &str) {
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter(id, 300));
}

fn tried(relay: &Relay) -> Value {
    let words = [
        "connector",
        "test",
        "next-hop",
        "--from",
        "ana@sender.example",
        "--to",
        "bo@receiver.example",
        "--json",
    ];
    let output = relay.cli(&words);
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[track_caller]
fn step<'a>(tried: &'a Value, name: &str) -> &'a Value {
    let steps = tried["steps"].as_array().expect("steps");
    steps.iter().rfind(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {tried}"))
}

#[track_caller]
fn assert_step(tried: &Value, name: &str, verdict: &str, words: &str) {
    let step = step(tried, name);
    assert_eq!(step["verdict"], verdict, "{tried}");
    assert!(step["text"].as_str().expect("words").contains(words), "{tried}");
}

/// Postfix shows a certificate that nobody trusts and that is for another name; the DNS vouches for it.
#[test]
fn a_host_whose_certificate_matches_gets_the_mail_and_the_log_says_dane() {
    let (sink, folder) = (Sink::start(), tempfile::tempdir().expect("a folder"));
    let certificate = Certificate::write(folder.path());
    let lines = certificate.for_postfix();
    let next_hop = Postfix::with(sink.address(), "next-hop.test", &lines);
    let port = next_hop.address().port();
    let dns = zone(port, &[wrong(), right(&certificate), Record::Secure]);
    for level in ["dane", "dane-only"] {
        let relay = Relay::start(settings(&dns, port).set("outbound.0.tls", level));
        submit(&relay, level);
        let log = relay.log_with("\"outcome\"");
        let outcome = log.lines().find(|line| line.contains("\"outcome\"")).expect("an outcome");
        assert!(outcome.contains("delivered") && outcome.contains(" (dane)"), "{outcome}");
        let tried = tried(&relay);
        assert_step(
            &tried,
            "tlsa",
            "pass",
            "DNSSEC vouches for TLSA records 3 0 1 0000000000000000",
        );
        assert_step(&tried, "tls", "pass", "the certificate matches TLSA record 3 0 1 ");
    }
    for message in sink.wait_accepted(2) {
        assert!(String::from_utf8_lossy(&message.content).contains("using TLSv1.3"));
    }
}

#[test]
fn a_certificate_that_does_not_match_defers_and_nothing_goes_in_clear_text() {
    let host = Host::start();
    let port = host.address().port();
    let dns = zone(port, &[wrong(), Record::Secure]);
    let relay = Relay::start(settings(&dns, port));
    submit(&relay, "kept");
    let words = reason(&relay);
    let want = "the certificate does not match TLSA record 3 0 1 0000000000000000... of mx.receiver.example";
    assert!(words.contains(want), "{words}");
    let tried = tried(&relay);
    assert_step(&tried, "tls", "fail", want);
    assert!(step(&tried, "tls")["advice"].as_str().unwrap().contains("TLSA records"), "{tried}");
    assert!(host.sink.all().is_empty());
    assert!(!host.server.log().contains("message accepted"), "{}", host.server.log());
}

/// RFC 7672 §2.2: any certificate will do, but no clear text.
#[test]
fn records_that_cannot_be_used_still_ask_for_tls() {
    let host = Host::start();
    let port = host.address().port();
    let dns = zone(port, &[Record::Tlsa(0, 0, 1, vec![0; 32]), Record::Secure]);
    let relay = Relay::start(settings(&dns, port));
    submit(&relay, "encrypted");
    host.sink.wait_accepted(1);
    let log = relay.log_with("\"outcome\"");
    assert!(log.contains("TLSv1.3 TLS_") && !log.contains("(dane)"), "{log}");

    let plain = Sink::start();
    let dns = zone(plain.address().port(), &[Record::Tlsa(0, 0, 1, vec![0; 32]), Record::Secure]);
    let relay = Relay::start(settings(&dns, plain.address().port()));
    submit(&relay, "kept");
    let words = reason(&relay);
    assert!(words.contains("does not offer STARTTLS, but it has TLSA records"), "{words}");
    assert_eq!(plain.count("MAIL"), 0);
}

/// As when somebody in between takes it out of the reply to EHLO.
#[test]
fn a_host_with_records_that_offers_no_starttls_gets_nothing() {
    let plain = Sink::start();
    let port = plain.address().port();
    let dns = zone(port, &[wrong(), Record::Secure]);
    let relay = Relay::start(settings(&dns, port));
    submit(&relay, "kept");
    let words = reason(&relay);
    assert!(words.contains("does not offer STARTTLS, but it has TLSA records"), "{words}");
    assert_eq!((plain.count("MAIL"), plain.count("DATA")), (0, 0));
}

/// Without records, and with some that do not count since DNSSEC does not vouch for each link of the chain, mail goes as
/// with `opportunistic`; with `dane-only` it waits.
#[test]
fn without_secure_records_tls_is_opportunistic() {
    let plain = Sink::start();
    let port = plain.address().port();
    let none = zone(port, &[]);
    let insecure_records = zone(port, &[wrong()]);
    let insecure_address = zone(port, &[wrong(), Record::Secure]);
    insecure_address.set("mx.receiver.example", &[HERE]);
    let insecure_mx = zone(port, &[wrong(), Record::Secure]);
    insecure_mx.set("receiver.example", &[MX]);
    let cases = [
        ("none", none, "has no TLSA records"),
        ("insecure-records", insecure_records, "has no TLSA records"),
        ("insecure-address", insecure_address, "does not vouch for its address"),
        ("insecure-mx", insecure_mx, "does not vouch for its MX record"),
    ];
    for (number, (name, dns, words)) in cases.iter().enumerate() {
        let relay = Relay::start(settings(dns, port));
        submit(&relay, name);
        assert_eq!(plain.wait_accepted(number + 1)[number].id().as_deref(), Some(*name));
        assert_step(&tried(&relay), "tlsa", "skipped", words);
        let relay = Relay::start(settings(dns, port).set("outbound.0.tls", "dane-only"));
        submit(&relay, "kept");
        let reason = reason(&relay);
        assert!(reason.contains("4.7.5") && reason.contains(words), "{reason}");
        assert_step(&tried(&relay), "tlsa", "fail", words);
    }
    assert_eq!(plain.accepted().len(), cases.len());
    // Nor do they count if nobody is trusted to say what is secure.
    let dns = zone(port, &[wrong(), Record::Secure]);
    let relay = Relay::start(settings(&dns, port).set("resolver.trusts_dnssec", false));
    submit(&relay, "untrusted");
    plain.wait_accepted(cases.len() + 1);
    assert_step(&tried(&relay), "tlsa", "warn", "does not vouch for its MX record");
}

/// RFC 7672 §2.1.2: that the look-up fails is no sign that there are no records. Another exchanger may serve.
#[test]
fn a_host_whose_records_cannot_be_looked_up_is_passed_over() {
    let plain = Sink::start();
    let port = plain.address().port();
    let dns = zone(port, &[Record::Failure]);
    let relay = Relay::start(settings(&dns, port));
    submit(&relay, "kept");
    let words = reason(&relay);
    assert!(words.contains("look-up of TLSA for _") && words.contains("failed"), "{words}");
    assert_step(&tried(&relay), "tlsa", "fail", "look-up of TLSA for _");
    assert_eq!(plain.connections(), 0);
    let exchangers = [Record::Mx(5, "mx.receiver.example"), Record::Mx(20, "b.receiver.example")];
    dns.set("other.receiver.example", &[&exchangers[..], &[Record::Secure]].concat());
    dns.set("b.receiver.example", &[HERE, Record::Secure]);
    relay.submit("ana@sender.example", &["bo@other.receiver.example"], &letter("second", 300));
    assert_eq!(plain.wait_accepted(1)[0].id().as_deref(), Some("second"));
}

/// Smart hosts that are named in the settings have records at their own ports.
#[test]
fn a_smart_host_is_looked_up_at_its_port() {
    let host = Host::start();
    let port = host.address().port();
    let dns = zone(port, &[right(&host.certificate), Record::Secure]);
    let hosts = format!("smart_hosts = [{{ host = \"mx.receiver.example\", port = {port} }}]");
    let hosts: toml::Table = hosts.parse().expect("a list");
    let relay = Relay::start(
        settings(&dns, port)
            .set("outbound.0.smart_hosts", hosts["smart_hosts"].clone())
            .set("outbound.0.tls", "dane-only"),
    );
    submit(&relay, "smart");
    host.sink.wait_accepted(1);
    assert!(relay.log_with("\"outcome\"").contains("(dane)"));
}

/// `route` names the level; `config check` says what is missing for it.
#[test]
fn dane_without_a_trusted_resolver_is_warned_of() {
    let sink = Sink::start();
    let dns = zone(sink.address().port(), &[]);
    for (level, words) in [("dane", "TLS is only opportunistic"), ("dane-only", "all mail waits")] {
        let settings = settings(&dns, sink.address().port()).set("outbound.0.tls", level);
        let relay = Relay::start(settings.set("resolver.trusts_dnssec", false));
        let said = relay.cli(&["config", "check"]);
        assert_eq!(said.status.code(), Some(0), "{}", said.stderr);
        assert!(said.stderr.contains("outbound.tls") && said.stderr.contains(words), "{said:?}");
        assert!(said.stderr.contains("trusts_dnssec"), "{said:?}");
        let route =
            relay.cli(&["route", "--from", "ana@sender.example", "--to", "bo@receiver.example"]);
        let route = route.succeeded();
        assert!(route.contains(&format!("TLS: {level}")), "{route}");
    }
    let good = Relay::start(settings(&dns, sink.address().port()));
    assert_eq!(good.cli(&["config", "check"]).stderr, "");
}
