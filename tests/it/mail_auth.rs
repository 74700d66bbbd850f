//! Who a message may come from: SPF at MAIL, and what mail authentication says of it at its end.

use crate::corpus::{corpus_folder, read_message};
use crate::dkim::verify;
use crate::harness::dns::{Dns, Record};
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::Smtp;

const LOCAL: &str = "v=spf1 ip4:127.0.0.1 -all";

fn txt(text: &str) -> Record {
    Record::Txt(text.to_owned())
}

fn settings(sink: &Sink, dns: &Dns, connector: &str) -> Settings {
    Settings::towards(sink.address())
        .set("inbound", Vec::<toml::Value>::new())
        .set("resolver.servers", vec![dns.address().to_string()])
        .push("inbound", connector)
}

/// A connector that lets nobody in but by SPF.
fn spf_relay(sink: &Sink, dns: &Dns, auth: &str) -> Relay {
    let senders = "registered_senders = [\"own.example\", \"fail.example\", \"soft.example\", \
        \"neutral.example\", \"none.example\", \"broken.example\", \"twice.example\"]";
    let connector = format!("name = \"cloud\"\n{senders}\n{auth}");
    Relay::start(settings(sink, dns, &connector))
}

fn zone() -> Dns {
    Dns::start(&[
        ("own.example", txt(LOCAL)),
        ("fail.example", txt("v=spf1 ip4:192.0.2.1 -all")),
        ("soft.example", txt("v=spf1 ip4:192.0.2.1 ~all")),
        ("neutral.example", txt("v=spf1 ?all")),
        ("broken.example", Record::Failure),
        ("twice.example", txt(LOCAL)),
        ("twice.example", txt("v=spf1 -all")),
    ])
}

fn mail(session: &mut Smtp, sender: &str) -> String {
    let reply = session.command(&format!("MAIL FROM:<{sender}>"));
    session.command("RSET");
    format!("{} {}", reply.code, reply.text())
}

fn content(from: &str) -> Vec<u8> {
    format!("From: {from}\r\nSubject: x\r\n\r\nBody\r\n").into_bytes()
}

#[test]
fn ee_04_whom_the_senders_domain_names_may_relay() {
    let (sink, dns) = (Sink::start(), zone());
    let relay = spf_relay(&sink, &dns, "auth = \"spf\"");
    relay.submit("bob@own.example", &["a@x.example"], &content("bob@own.example"));
    assert_eq!(sink.wait_accepted(1).len(), 1);
    // It is attributed to the connector.
    let accepted = relay.log_with("message accepted");
    assert!(accepted.contains("cloud"), "{accepted}");
    // Who is not registered is a stranger, whatever its own domain says, and is not worth a look-up.
    let mut session = relay.session();
    session.expect("EHLO client.test", 250);
    session.expect("MAIL FROM:<eve@else.example>", 250);
    let reply = session.command("RCPT TO:<a@x.example>");
    assert_eq!(reply.code, 550, "{reply:?}");
    assert!(!reply.text().contains("SPF"), "{reply:?}");
}

#[test]
fn ee_05_ee_06_any_other_result_is_refused_by_its_name() {
    let (sink, dns) = (Sink::start(), zone());
    let relay = spf_relay(&sink, &dns, "auth = \"spf\"");
    let mut session = relay.session();
    session.expect("EHLO client.test", 250);
    for (domain, want) in [
        ("fail.example", "550 5.7.23 SPF fail for fail.example"),
        ("soft.example", "550 5.7.23 SPF softfail for soft.example"),
        ("neutral.example", "550 5.7.23 SPF neutral for neutral.example"),
        ("none.example", "550 5.7.23 SPF none for none.example"),
        ("twice.example", "550 5.7.24 SPF permerror for twice.example"),
        ("broken.example", "451 4.4.3 SPF temperror for broken.example"),
    ] {
        let reply = mail(&mut session, &format!("a@{domain}"));
        assert!(reply.starts_with(want), "{reply}");
    }
    relay.log_with("connector cloud lets in by SPF, which is temperror for broken.example");
    assert_eq!(relay.cli_json(&["status"])["spool"]["messages"], 0);
}

#[test]
fn ee_07_spf_lets_nobody_in_before_it_is_enabled_and_one_command_enables_it() {
    let (sink, dns) = (Sink::start(), zone());
    let relay = spf_relay(&sink, &dns, "");
    let mut session = relay.session();
    session.expect("EHLO client.test", 250);
    session.expect("MAIL FROM:<bob@own.example>", 250);
    let reply = session.command("RCPT TO:<a@x.example>");
    assert_eq!(reply.code, 550);
    assert!(reply.text().contains("relaying by SPF is not enabled"), "{reply:?}");
    relay.log_with("chasqui connector set cloud auth=spf");
    relay.cli(&["connector", "set", "cloud", "auth=spf", "--yes"]).succeeded();
    relay.submit("bob@own.example", &["a@x.example"], &content("bob@own.example"));
    assert_eq!(sink.wait_accepted(1).len(), 1);
}

/// Nobody relays by SPF alone.
#[test]
fn spf_without_a_list_of_senders_is_refused() {
    let (sink, dns) = (Sink::start(), zone());
    let plan = settings(&sink, &dns, "name = \"cloud\"\nauth = \"spf\"");
    let relay = Relay::stopped(plan.clone());
    std::fs::write(relay.settings_path(), plan.text(relay.folder())).unwrap();
    let checked = relay.cli(&["config", "check"]);
    assert_eq!(checked.status.code(), Some(78));
    assert!(checked.stderr.contains("inbound.auth: without a list of senders"), "{checked:?}");
}

/// What is found stands in the header, what others claimed in our name does not, and rules can ask.
#[test]
fn what_is_found_stands_in_the_header_and_rules_can_ask() {
    let dns = Dns::start(&[
        ("own.example", txt(LOCAL)),
        ("_dmarc.own.example", txt("v=DMARC1; p=reject")),
        ("_dmarc.fake.example", txt("v=DMARC1; p=reject")),
    ]);
    let sink = Sink::start();
    let connector = "name = \"mx\"\nsender_ip_addresses = [\"127.0.0.1\"]\nchecks_mail_auth = true";
    let settings = settings(&sink, &dns, connector).push(
        "rule",
        "name = \"dmarc\"\nwhen = { dmarc = [\"fail\"] }\nthen = { reject = { text = \"DMARC says no\" } }",
    );
    let relay = Relay::start(settings);
    let forged = "Authentication-Results: other.example; spf=pass\r\n\
        authentication-results: relay.test; dmarc=pass\r\n";
    let body = format!("{forged}From: bob@own.example\r\nSubject: x\r\n\r\nBody\r\n");
    relay.submit("bob@own.example", &["a@x.example"], body.as_bytes());
    let got = sink.wait_accepted(1).remove(0);
    let text = String::from_utf8_lossy(&got.content).into_owned();
    let hostname = "relay.test";
    assert!(
        text.starts_with(&format!("Authentication-Results: {hostname};\r\n\tspf=pass")),
        "{text}"
    );
    assert!(text.contains("dmarc=pass") && text.contains("header.from=own.example"), "{text}");
    assert!(text.contains("dkim=none"), "{text}");
    assert!(text.contains("Authentication-Results: other.example; spf=pass\r\n"), "{text}");
    assert!(text.ends_with("Body\r\n"), "{text}");
    // The header says another domain than the envelope.
    let mut session = relay.session();
    let reply = session.deliver("bob@own.example", &["a@x.example"], &content("ceo@fake.example"));
    assert!(reply.text().contains("DMARC says no"), "{reply:?}");
    relay.log_with("mail authentication checked");
}

/// A signature is verified over the content as it came, and holds behind what is added (RFC 8463 A.3).
#[test]
fn a_signature_is_verified() {
    let key = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let name = "brisbane._domainkey.football.example.com";
    let dns = Dns::start(&[(name, txt(key)), ("football.example.com", txt(LOCAL))]);
    let sink = Sink::start();
    let connector = "name = \"mx\"\nsender_ip_addresses = [\"127.0.0.1\"]\nchecks_mail_auth = true";
    let relay = Relay::start(settings(&sink, &dns, connector));
    let signed = read_message(&corpus_folder().join("dkimpy/rfc6376.signed.msg"));
    relay.submit("joe@football.example.com", &["a@x.example"], &signed);
    let got = sink.wait_accepted(1).remove(0);
    let text = String::from_utf8_lossy(&got.content).into_owned();
    assert!(text.contains("dkim=pass") && text.contains("header.s=brisbane"), "{text}");
    assert!(verify(&got.content).iter().all(|it| *it), "{text}");
}

/// Fields that speak inside the organisation stay out unless they are to be kept.
#[test]
fn oc_12_internal_fields_are_removed_or_kept() {
    let (sink, dns) = (Sink::start(), zone());
    let internal = "X-MS-Exchange-Organization-SCL: -1\r\nx-ms-exchange-organization-AuthAs: \
        Internal\r\nX-Other: stays\r\nX-MS-Exchange-Organization-SCL : 5\r\n";
    let body = format!(
        "{internal}From: a@own.example\r\nSubject: x\r\n\r\nX-MS-Exchange-Organization-SCL: 1\r\n"
    );
    let cases = [
        ("cloud_services_mail_enabled = false", false),
        ("cloud_services_mail_enabled = true", true),
        ("connector_type = \"partner\"", false),
        ("connector_type = \"on_premises\"", true),
        ("connector_type = \"partner\"\ncloud_services_mail_enabled = true", true),
    ];
    for (before, (setting, kept)) in cases.into_iter().enumerate() {
        let words = "name = \"hybrid\"\nsender_ip_addresses = [\"127.0.0.1\"]";
        let relay = Relay::start(settings(&sink, &dns, &format!("{words}\n{setting}")));
        relay.submit("a@own.example", &["a@x.example"], body.as_bytes());
        let all = sink.wait_accepted(before + 1);
        let text = String::from_utf8_lossy(&all.last().unwrap().content).to_lowercase();
        let (header, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(header.contains("x-ms-exchange-organization"), kept, "{text}");
        assert!(header.contains("x-other: stays") && body.contains("organization-scl: 1"));
    }
}
