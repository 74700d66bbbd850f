//! What the program says of settings and messages without a relay that runs.

use std::process::Command;

use serde_json::Value;

use crate::harness::accounts::Accounts;
use crate::harness::process::run;
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::Smtp;

fn offline() -> Settings {
    Settings::towards(([127, 0, 0, 1], 9).into())
}

/// A relay that does not run, with its settings in place.
pub(crate) fn at_rest(settings: &Settings) -> Relay {
    let relay = Relay::stopped(settings.clone());
    let text = settings.text(relay.folder());
    std::fs::write(relay.settings_path(), text).expect("settings that can be written");
    relay
}

fn names(list: &Value) -> Vec<(&str, &str)> {
    let list = list.as_array().expect("a list").iter();
    list.map(|it| (it["connector"].as_str().unwrap(), it["why"].as_str().unwrap())).collect()
}

/// A connector that is disabled gets nothing, though its domain is the most specific, and `route` says so.
#[test]
fn ee_11_no_mail_goes_to_a_disabled_connector_and_route_says_so() {
    let (any, off) = (Sink::start(), Sink::start());
    let address = off.address();
    let hosts =
        format!("smart_hosts = [{{ host = \"{}\", port = {} }}]", address.ip(), address.port());
    let own = "recipient_domains = [\"x.example\"]\ntls = \"none\"";
    let connector = format!("name = \"off\"\nenabled = false\n{own}\n{hosts}");
    let settings = Settings::towards(any.address())
        .set("outbound.0.source_addresses", vec!["127.0.0.1".to_owned()])
        .set("outbound.0.daily_messages_max", 1000)
        .set("outbound.0.rate_max", "600/1h");
    let relay = Relay::start(settings.push("outbound", &connector));
    let said = relay.asked(&["route", "--from", "a@own.example", "--to", "b@x.example"]);
    let way = &said["recipients"][0];
    assert_eq!(way["connector"], "next-hop", "{said}");
    assert_eq!(names(&way["others"]), [("off", "it is disabled")]);
    let limits = (&way["daily_messages_max"], &way["rate_max"], &way["source_addresses"][0]);
    assert_eq!(limits, (&1000.into(), &"600/1h".into(), &"127.0.0.1".into()));
    assert_eq!(way["next_hops"][0], format!("127.0.0.1 port {}", any.address().port()));
    relay.submit("a@own.example", &["b@x.example"], b"From: a@own.example\r\n\r\nBody.\r\n");
    any.wait_accepted(1);
    assert_eq!(off.connections(), 0);
    let text = relay.cli(&["route", "--from", "a@own.example", "--to", "b@x.example"]).succeeded();
    assert!(text.contains("b@x.example goes by `next-hop`"), "{text}");
    assert!(text.contains("not `off`: it is disabled"), "{text}");
}

/// What rules do is told rule by rule, and the From that they make decides.
#[test]
fn route_tells_what_each_rule_does() {
    let settings = offline()
        .push("outbound", "name = \"bulk\"\nis_transport_rule_scoped = true")
        .push("rule", "name = \"mark\"\nwhen = { subject_contains = [\"offer\"] }\nthen = { route = \"bulk\", set_class = \"bulk\" }")
        .push("rule", "name = \"stop\"\nwhen = { sender = [\"evil@own.example\"] }\nthen = { reject = { text = \"no\" } }");
    let relay = at_rest(&settings);
    let ask = |from: &str, subject: &str| {
        let words = ["route", "--from", from, "--to", "b@x.example", "--ip", "127.0.0.1"];
        relay.asked(&[&words[..], &["--subject", subject]].concat())
    };
    let said = ask("a@own.example", "An offer");
    let rules: Vec<_> = said["rules"].as_array().unwrap().iter().collect();
    assert_eq!((&rules[0]["name"], &rules[0]["ending"]), (&"mark".into(), &"applied".into()));
    assert_eq!((&rules[1]["name"], &rules[1]["ending"]), (&"stop".into(), &"passed".into()));
    assert_eq!((&said["class"], &said["inbound"]["connector"]), (&"bulk".into(), &"tests".into()));
    let way = &said["recipients"][0];
    assert_eq!(
        (&way["connector"], &way["why"]),
        (&"bulk".into(), &"a rule or its X-Chasqui-Connector field sends it there".into())
    );
    assert_eq!(way["next_hops"][0], "the MX of x.example port 25");
    assert_eq!(ask("a@own.example", "Other")["recipients"][0]["connector"], "next-hop");
    let said = ask("evil@own.example", "Other");
    assert_eq!(said["refused_by"], "stop", "{said}");
}

/// A login goes before a certificate, and that before an address; who is not let in hears what was near.
#[test]
fn oc_09_explain_connection_says_what_lets_a_client_in() {
    let (accounts, sink) = (Accounts::new(), Sink::start());
    let networks = vec!["127.0.0.0/8".to_owned()];
    let settings = accounts
        .settings(&sink)
        .set("listener.2.client_certificates", "ask")
        .set("inbound.0.sender_ip_addresses", networks)
        .set("inbound.0.logins", toml::Value::Array(Vec::new()))
        .push(
            "inbound",
            "name = \"holder\"\ntls_sender_certificate_names = [\"mail.partner.example\"]",
        )
        .push(
            "inbound",
            "name = \"off\"\nenabled = false\nsender_ip_addresses = [\"192.0.2.0/24\"]",
        )
        .push("inbound", "name = \"people\"\nlogins = [\"*@own.example\"]");
    let relay = at_rest(&settings);
    let ask = |words: &[&str]| relay.asked(&[&["explain-connection"], words].concat());
    let (ip, cert) = (["--ip", "127.0.0.1"], ["--cert", "mail.partner.example"]);
    let said = ask(&[&ip[..], &cert, &["--account", "bo@own.example"]].concat());
    assert_eq!((&said["connector"], &said["by"]), (&"people".into(), &"login".into()));
    assert_eq!(said["others"][0]["connector"], "holder");
    assert_eq!(said["others"][1]["connector"], "tests");
    let said = ask(&[&ip[..], &cert, &["--account", "bo@other.example"]].concat());
    assert_eq!((&said["connector"], &said["by"]), (&"holder".into(), &"certificate".into()));
    let said = ask(&ip);
    assert_eq!((&said["connector"], &said["by"]), (&"tests".into(), &"address".into()));
    let said = ask(&["--ip", "192.0.2.7"]);
    assert_eq!(said["connector"], Value::Null);
    assert_eq!(said["nearest"]["connector"], "off");
    assert_eq!(said["nearest"]["missed"], "that connector enabled");
    let said = ask(&["--ip", "198.51.100.7", "--cert", "mx2.partner.example"]);
    assert_eq!(said["nearest"]["connector"], "holder");
    let unknown = relay.cli(&["explain-connection", "--ip", "127.0.0.1", "--listener", "other"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}

/// What connectors ask of senders is asked here too, also of connectors in files of their own.
#[test]
fn what_is_asked_of_senders_is_explained() {
    let own = "name = \"own\"\nsender_ip_addresses = [\"192.0.2.0/24\"]\nrequire_tls = true\n\
        sender_domains = [\"own.example\"]\nrestrict_domains_to_ip_addresses = true";
    let relay = at_rest(&offline());
    let folder = relay.settings_path().parent().unwrap().join("connectors.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("own.toml"), format!("[[inbound]]\n{own}\n")).unwrap();
    let explain = |words: &[&str]| relay.asked(&[&["explain-connection"], words].concat());
    for (words, refusal, reason) in [
        (["--ip", "192.0.2.1", "--from", "a@own.example"], "530 5.7.0", "own"),
        (["--ip", "127.0.0.1", "--from", "a@own.example"], "550 5.7.1", "connector own keeps"),
        (["--ip", "203.0.113.9", "--from", "a@else.example"], "550 5.7.1", ""),
    ] {
        let said = explain(&words);
        assert_eq!(said["connector"], Value::Null, "{words:?} {said}");
        assert!(said["refusal"].as_str().unwrap().starts_with(refusal), "{words:?} {said}");
        assert!(said["reason"].as_str().unwrap_or_default().contains(reason), "{words:?} {said}");
    }
    let said = explain(&["--ip", "192.0.2.1", "--tls", "--from", "a@own.example"]);
    assert_eq!((&said["connector"], &said["refusal"]), (&"own".into(), &Value::Null), "{said}");
    let from = ["route", "--from", "a@own.example", "--to", "b@x.example"];
    let said = relay.asked(&[&from[..], &["--ip", "127.0.0.1"]].concat());
    assert!(said["refusal"].as_str().unwrap().starts_with("550 5.7.1"), "{said}");
}

/// The hops stand in the order in which the message went, with what each says and how long it took.
#[test]
fn oc_18_trace_headers_shows_the_way_in_order() {
    let message = b"Received: from relay.own.example (relay.own.example [198.51.100.7])\r\n\
        \tby mx.partner.example (Postfix) with ESMTPS id 4F00\r\n\
        \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\
        \tfor <b@partner.example>; Sat, 21 Nov 2020 11:00:02 +0100 (CET)\r\n\
        Received: from app.own.example ([192.0.2.9]) by relay.own.example with ESMTP id R1;\r\n\
        \tSat, 21 Nov 2020 10:00:05 +0000\r\n\
        Received: from localhost by app.own.example with SMTP id A1;\r\n\
        \tSat, 21 Nov 2020 10:00:00 +0000\r\n\
        Subject: one\r\n\r\nReceived: from body by body; Sat, 21 Nov 2020 09:00:00 +0000\r\n";
    let trace = |words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("trace-headers").args(words);
        run(command, message).succeeded()
    };
    let said: Value = serde_json::from_str(&trace(&["--json"])).unwrap();
    let hops = said["hops"].as_array().unwrap();
    let by: Vec<_> = hops.iter().map(|hop| hop["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["app.own.example", "relay.own.example", "mx.partner.example"], "{said}");
    assert_eq!(hops[1]["address"], "192.0.2.9");
    assert_eq!((&hops[0]["with"], &hops[2]["with"]), (&"SMTP".into(), &"ESMTPS".into()));
    assert!(hops[2]["tls"].as_str().unwrap().starts_with("TLSv1.3"), "{said}");
    assert_eq!((&hops[1]["id"], &hops[2]["id"]), (&"R1".into(), &"4F00".into()));
    let delays: Vec<_> = hops.iter().map(|hop| hop["delay_seconds"].as_i64()).collect();
    assert_eq!((delays, &said["seconds"]), (vec![None, Some(5), Some(-3)], &2.into()));
    let warnings = said["warnings"].as_array().unwrap();
    assert_eq!(warnings, &["hop 3 is 3s before the one before: clocks differ"]);
    let text = trace(&["-"]);
    let places = ["app.own.example", "R1", "4F00", "warning: hop 3"].map(|it| text.find(it));
    assert!(places.is_sorted() && places[0].is_some(), "{text}");
}

/// Settings by which mail goes another way than expected are refused, with the place.
#[test]
fn an_expectation_that_is_not_met_is_refused() {
    let expect = |to: &str, connector: &str| {
        let from = "from = \"a@own.example\"";
        let element = format!("{from}\nto = \"{to}\"\nconnector = \"{connector}\"");
        at_rest(
            &offline()
                .push("outbound", "name = \"second\"\nrecipient_domains = [\"x.example\"]")
                .push("expect", &element),
        )
    };
    for (to, connector) in [("b@x.example", "second"), ("b@y.example", "next-hop")] {
        expect(to, connector).cli(&["config", "check"]).succeeded();
    }
    for (to, connector, want) in [
        (
            "b@x.example",
            "next-hop",
            "expect.connector: mail from a@own.example to b@x.example goes by `second`",
        ),
        ("b@y.example", "gone", "expect.connector: there is no outbound connector `gone`"),
        ("b b", "second", "expect.to: `b b` is not an address"),
    ] {
        let relay = expect(to, connector);
        let checked = relay.cli(&["config", "check"]);
        assert_eq!(checked.status.code(), Some(78), "{checked:?}");
        assert!(checked.stderr.contains(want), "{checked:?}");
        let mut started = Command::new(PROGRAM);
        started.arg("serve").arg("--config").arg(relay.settings_path());
        let started = run(started, b"");
        assert_eq!(started.status.code(), Some(78), "{started:?}");
        assert!(started.stderr.contains(want), "{started:?}");
    }
}

#[test]
fn config_check_warns_of_a_rule_that_never_applies() {
    let rule = |name: &str| {
        format!("name = \"{name}\"\nstop_processing = true\nthen = {{ set_class = \"a\" }}")
    };
    let relay = at_rest(&offline().push("rule", &rule("one")).push("rule", &rule("two")));
    let checked = relay.cli(&["config", "check"]);
    let is_told =
        checked.stderr.lines().any(|it| it.starts_with("warning: ") && it.contains("rule.name"));
    assert!(is_told, "{checked:?}");
    assert!(checked.succeeded().contains("is good"));
    let said = relay.cli_json(&["config", "check"]);
    assert_eq!((&said["ok"], said["warnings"].as_array().map(Vec::len)), (&true.into(), Some(1)));
}

/// Who is named under the suffix for certified mail is shown as who gets it, and who cannot be is refused; the null
/// sender may be written as in SMTP.
#[test]
fn ee_17_route_knows_the_suffix_for_certified_mail() {
    let relay = at_rest(&offline().set("inbound.0.certified_suffix", "evidence.example"));
    let words = |to| ["route", "--from", "<>", "--ip", "127.0.0.1", "--to", to];
    let said = relay.asked(&words("bo@dest.example.evidence.example"));
    assert_eq!(said["certified"], true, "{said}");
    assert_eq!(said["recipients"][0]["address"], "bo@dest.example");
    let said = relay.asked(&words("bo@dest.example"));
    assert_eq!(said["certified"], false, "{said}");
    let said = relay.asked(&words("bo@evidence.example"));
    let refusal = said["recipients"][0]["refusal"].as_str().unwrap();
    assert!(refusal.starts_with("550 5.1.2 no recipient domain"), "{refusal}");
}

/// The words are those that the client would hear, and each connector is named once.
#[test]
fn explain_connection_says_what_the_client_hears() {
    let (accounts, sink) = (Accounts::new(), Sink::start());
    let registered = "name = \"spf\"\nregistered_senders = [\"ana@own.example\"]";
    let tls = "name = \"strict\"\nsender_ip_addresses = [\"127.0.0.9\"]\nrequire_tls = true";
    let settings = accounts
        .settings(&sink)
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.7".to_owned()])
        .push("inbound", registered)
        .push("inbound", tls);
    let relay = Relay::start(settings);
    for (client, sender) in [("127.0.0.1", "ana@own.example"), ("127.0.0.2", "bo@own.example")] {
        let mut session = Smtp::connect_from(client.parse().unwrap(), relay.smtp()).unwrap();
        session.read_reply();
        session.expect("EHLO stranger.test", 250);
        session.expect(&format!("MAIL FROM:<{sender}>"), 250);
        let heard = session.command("RCPT TO:<b@receiver.example>");
        let said = relay.asked(&["explain-connection", "--ip", client, "--from", sender]);
        assert_eq!(said["refusal"], format!("{} {}", heard.code, heard.text()), "{said}");
    }
    let words = ["explain-connection", "--ip", "127.0.0.9", "--from", "ana@own.example"];
    let text = relay.cli(&words).stdout;
    assert!(text.contains("refused: connector strict requires TLS"), "{text}");
    assert_eq!(text.matches("strict").count(), 1, "{text}");
    let text = relay.cli(&["explain-connection", "--cert", "mx.x.example"]).stdout;
    assert!(text.contains("Relay access denied; its certificate is for mx.x.example"), "{text}");
}

#[test]
fn a_listener_that_is_not_there_is_answered_with_those_that_are() {
    let relay = at_rest(&offline());
    let words = ["explain-connection", "--ip", "127.0.0.1", "--listener", "submission"];
    let output = relay.cli(&words);
    assert!(output.stderr.contains("no listener `submission`; there are: smtp"), "{output:?}");
}
