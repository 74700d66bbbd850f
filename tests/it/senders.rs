//! Whose mail inbound connectors take, by the sender in MAIL.

use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::Smtp;

fn relay(sink: &Sink, connector: &str) -> Relay {
    let settings = Settings::towards(sink.address());
    let settings = settings.set("inbound", Vec::<toml::Value>::new());
    let connector = format!("name = \"erp\"\nsender_ip_addresses = [\"127.0.0.1\"]\n{connector}");
    Relay::start(settings.push("inbound", &connector))
}

fn mail(session: &mut Smtp, sender: &str) -> String {
    let reply = session.command(&format!("MAIL FROM:<{sender}>"));
    session.command("RSET");
    format!("{} {}", reply.code, reply.text())
}

#[test]
fn ee_02_oc_05_a_connector_that_requires_tls_takes_nothing_without() {
    let sink = Sink::start();
    let relay = relay(&sink, "require_tls = true");
    let mut session = relay.session();
    session.expect("EHLO client.test", 250);
    assert_eq!(
        mail(&mut session, "a@own.example"),
        "530 5.7.0 Must issue a STARTTLS command first"
    );
    relay.log_with("connector erp requires TLS");
    assert_eq!(relay.cli_json(&["status"])["spool"]["messages"], 0);
}

/// The envelope decides, not the header.
#[test]
fn ee_08_the_registered_sender_is_that_of_the_envelope() {
    let sink = Sink::start();
    let relay = relay(&sink, "registered_senders = [\"sales@own.example\", \"two.example\"]");
    let header = "From: sales@own.example\r\n";
    let content = |from: &str| format!("{from}Subject: x\r\n\r\nBody\r\n").into_bytes();
    let mut session = relay.session();
    let reply = session.deliver("other@own.example", &["a@x.example"], &content(header));
    assert_eq!(
        reply.text(),
        "5.7.1 Sender address rejected: <other@own.example> is not registered"
    );
    relay.submit("Sales@own.example", &["a@x.example"], &content("From: z@else.example\r\n"));
    relay.submit("any@two.example", &["a@x.example"], &letter("two", 10));
    assert_eq!(sink.wait_accepted(2).len(), 2);
}

#[test]
fn ee_09_the_null_sender_is_refused_where_senders_are_asked_for() {
    let sink = Sink::start();
    let strict = relay(&sink, "registered_senders = [\"own.example\"]");
    let mut session = strict.session();
    session.expect("EHLO client.test", 250);
    assert!(mail(&mut session, "").starts_with("550 5.7.1 Null sender rejected"));
    let kind = relay(&sink, "registered_senders = [\"own.example\"]\ntakes_null_sender = true");
    let mut session = kind.session();
    session.expect("EHLO client.test", 250);
    assert!(mail(&mut session, "").starts_with("250"));
}

/// The transport is good and the sender is not: that is told apart from a fault.
#[test]
fn ee_10_a_validation_probe_is_told_apart_from_a_fault() {
    let sink = Sink::start();
    let relay = relay(&sink, "registered_senders = [\"own.example\"]");
    let mut session = relay.session();
    session.expect("EHLO outlook.test", 250);
    assert!(
        mail(&mut session, "O365ConnectorValidation@elsewhere.example").starts_with("550 5.7.1")
    );
    relay.log_with("transport ok, sender not registered");
}

#[test]
fn oc_02_oc_03_oc_04_domains_are_taken_from_their_addresses_only() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("inbound", Vec::<toml::Value>::new())
        .push("domain", "name = \"own.example\"\nverified = true")
        .push("domain", "name = \"other.example\"\nverified = true")
        .push(
            "inbound",
            "name = \"server\"\nsender_ip_addresses = [\"127.0.0.1\"]\nsender_domains = [\"own.example\"]\n\
             restrict_domains_to_ip_addresses = true",
        )
        .push(
            "inbound",
            "name = \"others\"\nsender_ip_addresses = [\"127.0.0.0/8\"]\nsender_domains = [\"*\"]",
        );
    let relay = Relay::start(settings);
    let open = |client: &str| {
        let client = client.parse().expect("an address");
        let mut session = Smtp::connect_from(client, relay.smtp()).expect("a connection");
        session.read_reply();
        session.expect("EHLO client.test", 250);
        session
    };
    let mut own = open("127.0.0.1");
    let mut foreign = open("127.0.0.2");
    assert!(mail(&mut own, "a@own.example").starts_with("250"));
    assert!(mail(&mut own, "a@other.example").starts_with("250"));
    assert!(mail(&mut own, "a@stranger.example").starts_with("550 5.7.1"));
    assert!(mail(&mut foreign, "a@own.example").starts_with("550 5.7.1 Relay access denied"));
    assert!(mail(&mut foreign, "a@other.example").starts_with("250"));
    relay.log_with("connector server keeps this sender's domain for its own clients");
}

#[test]
fn oc_04_a_domain_that_is_not_verified_is_a_fault_of_the_settings() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .push("domain", "name = \"own.example\"\nverified = true")
        .set("inbound.0.sender_domains", vec!["stranger.example"]);
    let relay = Relay::stopped(settings.clone());
    std::fs::write(relay.settings_path(), settings.text(relay.folder())).expect("a file");
    let checked = relay.cli(&["config", "check"]);
    let said = format!("{}{}", checked.stderr, checked.stdout);
    assert!(!checked.status.success(), "{said}");
    assert!(said.contains("`stranger.example` is not one of the verified domains"), "{said}");
}
