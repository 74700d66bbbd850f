//! Domains: their keys, and what their owners must publish.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::connectors::private;
use crate::harness::dns::{Dns, Record};
use crate::harness::http::Answer;
use crate::harness::letter::letter;
use crate::harness::process::{Output, run};
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

/// Puts other settings in the place of those of a relay.
fn rewrite(relay: &Relay, settings: &Settings) {
    fs::write(relay.settings_path(), settings.text(relay.folder())).expect("settings");
}

fn reload(relay: &Relay) -> Answer {
    private(relay, "POST /v1/reload", &Value::Null)
}

/// The program with these words, to its end.
fn program(words: &[&str]) -> Output {
    let mut command = std::process::Command::new(PROGRAM);
    command.args(words);
    run(command, b"")
}

fn write_key(file: &std::path::Path, text: &str, mode: u32) {
    fs::write(file, text).expect("a key file");
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("its mode");
}

/// `config check` and the start say the same of key files that cannot be used.
#[test]
fn da_21_a_key_file_that_is_none_is_named() {
    let sink = Sink::start();
    let relay = Relay::stopped(Settings::towards(sink.address()));
    let file = relay.folder().join("ed.pem");
    let words = format!(
        "domain = \"sender.example\"\nselector = \"ed\"\nkey_file = \"{}\"",
        file.display()
    );
    rewrite(&relay, &Settings::towards(sink.address()).push("dkim", &words));
    let settings = relay.settings_path().display().to_string();
    let says = |want: &str| {
        for words in [["config", "check"].as_slice(), &["serve"]] {
            let said = program(&[words, &["--config", &settings]].concat());
            assert_eq!(said.status.code(), Some(78), "{}", said.stderr);
            assert!(said.stderr.contains("dkim.key_file: "), "{}", said.stderr);
            assert!(said.stderr.contains(want), "{}", said.stderr);
        }
    };
    says("cannot be read");
    write_key(&file, "no key", 0o600);
    says("no private key for DKIM");
    write_key(&file, KEY, 0o644);
    says("open to everybody (mode 644)");
    write_key(&file, KEY, 0o600);
    program(&["config", "check", "--config", &settings]).succeeded();
}

/// A reload takes new keys and lets old ones go; a bad one changes nothing.
#[test]
fn a_reload_reads_keys_anew() {
    let sink = Sink::start();
    let relay = Relay::start(Settings::towards(sink.address()));
    let send = |relay: &Relay, count: usize| {
        relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("keys", 900));
        let message = sink.wait_accepted(count).remove(count - 1);
        String::from_utf8_lossy(&message.content).contains("DKIM-Signature:")
    };
    assert!(!send(&relay, 1));
    let file = relay.folder().join("ed.pem");
    write_key(&file, KEY, 0o600);
    let key = |state: &str| {
        let words = format!(
            "domain = \"sender.example\"\nselector = \"ed\"\nkey_file = \"{}\"\nstate = \"{state}\"\ncheck_dns = false",
            file.display()
        );
        Settings::towards(sink.address()).push("dkim", &words)
    };
    rewrite(&relay, &key("active"));
    assert_eq!(reload(&relay).body, r#"{"needs_restart":[]}"#);
    assert!(send(&relay, 2));
    write_key(&file, "no key", 0o600);
    rewrite(&relay, &key("retired"));
    let refused = reload(&relay);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("ed.pem is no private key for DKIM"), "{refused:?}");
    assert!(send(&relay, 3));
    write_key(&file, KEY, 0o600);
    assert_eq!(reload(&relay).status, 200);
    assert!(!send(&relay, 4));
}

/// Free-mail domains as senders of our own are warned of, at `config check` and at the start.
#[test]
fn da_23_free_mail_senders_are_warned_of() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .push("domain", "name = \"example.com\"")
        .push("domain", "name = \"AOL.com\"")
        .set("inbound.0.registered_senders", vec!["*.example.com", "ana@yahoo.com"])
        .set("outbound.0.from_filter", vec!["gmail.com"])
        .set("rewrite.default_from", "news")
        .set("rewrite.alias_domain", "ymail.com");
    let relay = Relay::start(settings);
    relay.log_with("settings are odd");
    let said = relay.cli(&["config", "check"]);
    assert_eq!(said.status.code(), Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("is good"), "{}", said.stdout);
    let warnings: Vec<_> = said.stderr.lines().collect();
    assert_eq!(warnings.len(), 4, "{}", said.stderr);
    for (key, domain) in [
        ("domain.name", "AOL.com"),
        ("inbound.registered_senders", "ana@yahoo.com"),
        ("outbound.from_filter", "gmail.com"),
        ("rewrite.alias_domain", "ymail.com"),
    ] {
        let is_it = |line: &&&str| line.contains(key) && line.contains(domain);
        let line = warnings.iter().find(is_it).unwrap_or_else(|| panic!("{key}: {warnings:?}"));
        assert!(line.starts_with("warning: ") && line.contains("Reply-To"), "{line}");
    }
    let json = relay.cli_json(&["config", "check"]);
    assert_eq!(json["ok"], true);
    assert_eq!(json["warnings"].as_array().map(Vec::len), Some(4));
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(0));
}

/// A relay that is known as `relay.test` at 192.0.2.1 and asks `dns`.
fn known_relay(dns: &Dns) -> Settings {
    dns.set("relay.test", &[Record::A([192, 0, 2, 1].into())]);
    dns.set("1.2.0.192.in-addr.arpa", &[Record::Ptr("relay.test")]);
    Settings::towards("127.0.0.1:9".parse().expect("an address"))
        .set("resolver.servers", vec![dns.address().to_string()])
        .set("resolver.families", "ipv4")
}

fn txt(text: &str) -> Record {
    Record::Txt(text.to_owned())
}

/// The check of this name in a report.
fn one<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

/// `domain check --json` with its exit code.
fn examined(relay: &Relay, domain: &str) -> (Value, Option<i32>) {
    let said = relay.cli(&["domain", "check", domain, "--json"]);
    let report = serde_json::from_str(&said.stdout);
    (report.unwrap_or_else(|error| panic!("{error}: {said:?}")), said.status.code())
}

/// The settings of a relay that is not started.
fn written(settings: Settings) -> Relay {
    let relay = Relay::stopped(settings);
    rewrite(&relay, relay.settings());
    relay
}

/// No SPF record: the one to add; one: the merged one, its `all` kept; two: permerror and one in place of both.
#[test]
fn da_19_spf_is_merged() {
    let dns = Dns::start(&[
        ("none.test", txt("hello")),
        ("one.test", txt("v=spf1 mx include:other.test -all")),
        ("one.test", Record::Mx(10, "mx.one.test")),
        ("mx.one.test", Record::A([192, 0, 2, 9].into())),
        ("other.test", txt("v=spf1 ip4:198.51.100.0/24 -all")),
        ("two.test", txt("v=spf1 a ~all")),
        ("two.test", txt("v=spf1 ip4:192.0.2.7 -all")),
        ("good.test", txt("v=spf1 ip4:192.0.2.1 -all")),
    ]);
    let relay = written(known_relay(&dns));
    let spf = |domain: &str| {
        let (report, code) = examined(&relay, domain);
        assert_eq!(code, Some(1), "{report}");
        one(&report, "SPF").clone()
    };
    let none = spf("none.test");
    assert_eq!(none["grade"], "fail");
    assert_eq!(none["advice"]["record"]["line"], "none.test. IN TXT \"v=spf1 ip4:192.0.2.1 ~all\"");
    let single = spf("one.test");
    assert_eq!(single["grade"], "fail");
    let merged = "v=spf1 mx include:other.test ip4:192.0.2.1 -all";
    assert_eq!(single["advice"]["record"]["value"], merged);
    let words = single["advice"]["words"].as_str().expect("words");
    assert!(words.contains("in place of the one that is there"), "{words}");
    let double = spf("two.test");
    assert_eq!(double["grade"], "fail");
    assert!(double["found"].as_str().expect("words").contains("permerror"), "{double}");
    let record = double["advice"]["record"]["value"].as_str().expect("a record");
    assert_eq!(record.matches("v=spf1").count(), 1, "{record}");
    for term in [" a ", "ip4:192.0.2.7", "ip4:192.0.2.1"] {
        assert!(record.contains(term), "{term}: {record}");
    }
    assert_eq!(spf("good.test")["grade"], "pass");
    let settings = known_relay(&dns)
        .set("outbound.0.smart_hosts", toml::value::Array::new())
        .set("outbound.0.source_addresses", vec!["10.0.0.1", "192.0.2.5"]);
    let (report, _) = examined(&written(settings), "none.test");
    let record = &one(&report, "SPF")["advice"]["record"]["value"];
    assert_eq!(record, "v=spf1 ip4:192.0.2.5 ~all");
    let relay = written(known_relay(&dns).set("mail_auth.domains.spf_include", "spf.relay.test"));
    let (report, _) = examined(&relay, "one.test");
    let merged = "v=spf1 mx include:other.test include:spf.relay.test -all";
    assert_eq!(one(&report, "SPF")["advice"]["record"]["value"], merged);
}

/// More than ten look-ups after the merge are told with their number.
#[test]
fn da_20_look_ups_of_spf_are_counted() {
    let dns = Dns::start(&[]);
    let mut record = "v=spf1 ip4:192.0.2.1".to_owned();
    for number in 0..11 {
        let name = format!("s{number}.test");
        record.extend([" include:", &name]);
        dns.set(&name, &[txt("v=spf1 ip4:198.51.100.1 -all")]);
    }
    record.push_str(" -all");
    dns.set("many.test", &[txt(&record)]);
    let relay = written(known_relay(&dns));
    let said = relay.cli(&["domain", "check", "many.test"]);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let (report, _) = examined(&relay, "many.test");
    let spf = one(&report, "SPF");
    assert_ne!(spf["grade"], "pass");
    let found = spf["found"].as_str().expect("words");
    assert!(found.contains("11 look-ups where verifiers stop at 10"), "{found}");
}

/// A policy of DMARC is explained.
#[test]
fn da_23_dmarc_is_explained() {
    let dns = Dns::start(&[
        ("x.test", txt("hello")),
        (
            "_dmarc.x.test",
            txt(
                "v=DMARC1; p=quarantine; sp=reject; pct=50; aspf=s; rua=mailto:agg@x.test; ruf=mailto:fail@x.test",
            ),
        ),
    ]);
    let relay = written(known_relay(&dns));
    let (report, _) = examined(&relay, "x.test");
    let dmarc = one(&report, "DMARC");
    assert_eq!(dmarc["grade"], "pass", "{dmarc}");
    let found = dmarc["found"].as_str().expect("words");
    for want in [
        "treated as suspicious",
        "p=quarantine",
        "sp=reject",
        "pct=50",
        "DKIM must be of the same organization",
        "SPF exactly the same",
        "reports go to agg@x.test",
        "failures to fail@x.test",
    ] {
        assert!(found.contains(want), "{want}: {found}");
    }
}

/// One report covers all; nothing failed is exit code 0; the API says the same.
#[test]
fn da_24_one_report_covers_all() {
    let dns = Dns::start(&[
        ("good.test", Record::Mx(10, "mx.good.test")),
        ("good.test", txt("v=spf1 ip4:192.0.2.1 -all")),
        ("mx.good.test", Record::A([192, 0, 2, 9].into())),
        ("_dmarc.good.test", txt("v=DMARC1; p=reject; rua=mailto:a@good.test")),
        ("_smtp._tls.good.test", txt("v=TLSRPTv1; rua=mailto:a@good.test")),
        ("ed._domainkey.good.test", Record::Cname("ed.keys.relay.test")),
        (
            "ed.keys.relay.test",
            txt("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
        ),
    ]);
    let mut relay = Relay::stopped(known_relay(&dns));
    let file = relay.folder().join("ed.pem");
    write_key(&file, KEY, 0o600);
    let words =
        format!("domain = \"good.test\"\nselector = \"ed\"\nkey_file = \"{}\"", file.display());
    relay.set_settings(known_relay(&dns).push("dkim", &words));
    relay.restart();
    let (report, code) = examined(&relay, "good.test");
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["grade"], "warn");
    for (name, grade) in [
        ("MX", "pass"),
        ("PTR 192.0.2.1", "pass"),
        ("SPF", "pass"),
        ("DKIM ed", "pass"),
        ("DMARC", "pass"),
        ("MTA-STS", "warn"),
        ("TLS-RPT", "pass"),
        ("BIMI", "pass"),
        ("addresses", "warn"),
    ] {
        assert_eq!(one(&report, name)["grade"], grade, "{report}");
    }
    let asked = private(&relay, "GET /v1/domains/good.test", &Value::Null);
    assert_eq!(asked.status, 200, "{asked:?}");
    assert_eq!(serde_json::from_str::<Value>(&asked.body).expect("JSON"), report);
    let table = relay.cli(&["domain", "check", "good.test"]).succeeded();
    assert!(table.contains("MTA-STS, the domain's owner: serve a policy"), "{table}");
    assert!(table.contains("    _mta-sts.good.test. IN TXT \"v=STSv1; id=1\""), "{table}");
    let other = relay.cli(&["domain", "check", "good.test", "--ip", "192.0.2.77", "--json"]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    assert!(other.stderr.contains("2 checks fail for good.test"), "{}", other.stderr);
    let other: Value = serde_json::from_str(&other.stdout).expect("JSON");
    assert_eq!(one(&other, "PTR 192.0.2.77")["grade"], "fail");
    assert_eq!(one(&other, "SPF")["grade"], "fail");
    let helo = ["domain", "check", "good.test", "--ip", "192.0.2.1", "--helo", "other.test"];
    let table = relay.cli(&helo).succeeded();
    assert!(table.contains("set `hostname` to relay.test"), "{table}");
    assert!(table.contains("set `hostname`") && !table.contains("smart hosts"), "{table}");
    let bad = relay.cli(&["domain", "check", "no domain"]);
    assert_eq!(bad.status.code(), Some(1), "{bad:?}");
    assert!(bad.stdout.contains("is no domain"), "{}", bad.stdout);
}

/// Records of a hosted subdomain are the operator's to publish, those of an own domain its owner's.
#[test]
fn da_25_the_report_says_who_publishes() {
    let dns = Dns::start(&[("shop.hosted.test", txt("hello")), ("own.test", txt("hello"))]);
    let settings =
        known_relay(&dns).push("domain", "name = \"hosted.test\"\nverified = true\nhosted = true");
    let relay = written(settings);
    for (domain, party, words) in [
        ("shop.hosted.test", "operator", "SPF, the operator of this relay: publish this record"),
        ("own.test", "owner", "SPF, the domain's owner: publish this record"),
    ] {
        let (report, _) = examined(&relay, domain);
        for name in ["MX", "SPF", "DMARC", "TLS-RPT", "MTA-STS"] {
            assert_eq!(one(&report, name)["advice"]["party"], party, "{name} of {domain}");
        }
        let said = relay.cli(&["domain", "check", domain]);
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        assert!(said.stdout.contains(words), "{}", said.stdout);
    }
}

/// The records that `dkim add --json` prints, by name.
fn made(said: &str) -> Vec<(String, String)> {
    let keys: Value = serde_json::from_str(said).expect("JSON");
    let records = keys.as_array().expect("keys").iter().map(|key| &key["records"][0]["record"]);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    records.map(|record| (text(&record["name"]), text(&record["value"]))).collect()
}

/// A key is made, published, checked, activated and retired while the relay runs; it signs only in between.
#[test]
fn da_21_a_key_signs_from_its_activation_to_its_retirement() {
    let (dns, sink) = (Dns::start(&[("sender.example", txt("hello"))]), Sink::start());
    let settings = Settings::towards(sink.address())
        .set("resolver.servers", vec![dns.address().to_string()])
        .set("resolver.answer_age_max", "0s");
    let relay = Relay::start(settings);
    let signs = |count: usize| {
        relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("rotation", 900));
        let message = sink.wait_accepted(count).remove(count - 1);
        String::from_utf8_lossy(&message.content).matches("DKIM-Signature:").count()
    };
    let dkim = |words: &[&str]| relay.cli(&[&["dkim"], words].concat());
    let add = ["add", "sender.example", "--selector", "s1", "--json"];
    let records = made(&dkim(&add).succeeded());
    assert_eq!(records[0].0, "s1-rsa._domainkey.sender.example");
    assert_eq!(records[1].0, "s1-ed25519._domainkey.sender.example");
    let file = relay.folder().join("dkim/s1-rsa._domainkey.sender.example.pem");
    assert_eq!(fs::metadata(&file).expect("a key").permissions().mode() & 0o777, 0o600);
    let again = dkim(&["add", "sender.example", "--selector", "s1"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(again.stderr.contains("already a key s1-rsa of sender.example"), "{}", again.stderr);
    assert_eq!(signs(1), 0);

    let early = dkim(&["activate", "sender.example", "s1-rsa"]);
    assert_eq!(early.status.code(), Some(1), "{early:?}");
    assert!(early.stderr.contains("s1-rsa._domainkey.sender.example: not published"), "{early:?}");
    let unchecked = dkim(&["check", "sender.example"]);
    assert_eq!(unchecked.status.code(), Some(1), "{unchecked:?}");
    assert!(unchecked.stderr.contains("the DNS lacks 2 of these keys"), "{unchecked:?}");
    assert!(
        unchecked
            .stdout
            .contains("s1-rsa of sender.example (pending): not published\n    s1-rsa._domainkey"),
        "{unchecked:?}"
    );
    assert_eq!(signs(2), 0);

    // A key that is not exactly this one does not count.
    dns.set(&records[0].0, &[txt(&records[0].1.replace("MII", "MIJ"))]);
    dns.set(&records[1].0, &[txt(&records[1].1)]);
    let other = dkim(&["activate", "sender.example", "s1-rsa"]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    assert!(other.stderr.contains("another key is published"), "{other:?}");
    dns.set(&records[0].0, &[txt(&records[0].1)]);
    let checked = dkim(&["check"]).succeeded();
    assert!(checked.contains("s1-ed25519 of sender.example (pending): published"), "{checked}");
    let done = dkim(&["activate", "sender.example", "s1-rsa"]).succeeded();
    assert_eq!(done, "s1-rsa of sender.example signs; in effect\n");
    assert_eq!(signs(3), 1);
    dkim(&["activate", "Sender.Example", "s1-ed25519"]).succeeded();
    assert_eq!(signs(4), 2);

    let retired = dkim(&["retire", "sender.example", "s1-ed25519"]).succeeded();
    assert!(retired.contains("must stay in the DNS"), "{retired}");
    assert_eq!(signs(5), 1);
    let last = dkim(&["retire", "sender.example", "s1-rsa"]);
    assert_eq!(last.status.code(), Some(1), "{last:?}");
    assert!(last.stderr.contains("no other key signs for sender.example"), "{last:?}");
    dkim(&["retire", "sender.example", "s1-rsa", "--force", "--finally"]).succeeded();
    assert_eq!(signs(6), 0);
    let list = relay.cli_json(&["dkim", "list"]);
    assert_eq!((&list[0]["state"], &list[1]["state"]), (&"retired".into(), &"retiring".into()));
    assert_eq!((&list[0]["kind"], &list[1]["kind"]), (&"rsa".into(), &"ed25519".into()));
    let unknown = dkim(&["retire", "sender.example", "s2"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("there is no DKIM key `s2` of sender.example"), "{unknown:?}");
    relay.cli(&["config", "check"]).succeeded();
}

/// What is printed can be pasted into a zone: strings of 255 octets at most, or a CNAME and what it points to.
#[test]
fn da_21_records_are_printed_for_a_zone() {
    let dns = Dns::start(&[]);
    let relay = written(known_relay(&dns));
    let add = ["dkim", "add", "own.test", "--rsa", "--selector", "s1"];
    let said = relay.cli(&add).succeeded();
    assert!(said.contains("in effect at the next start"), "{said}");
    let line = said.lines().find(|line| line.contains(" IN TXT ")).expect("a record");
    let (name, strings) = line.split_once(" IN TXT ").expect("a record");
    assert_eq!(name.trim(), "s1._domainkey.own.test.");
    let strings: Vec<_> = strings.trim().trim_matches('"').split("\" \"").collect();
    assert_eq!(strings.len(), 2, "{line}");
    assert!(strings.iter().all(|string| string.len() <= 255), "{line}");
    assert!(strings.concat().starts_with("v=DKIM1; k=rsa; p=MII"), "{line}");

    let keys = relay.folder().join("elsewhere");
    let add = [
        "dkim",
        "add",
        "own.test",
        "--ed25519",
        "--selector",
        "s2",
        "--cname",
        "dkim.relay.test.",
        "--directory",
        &keys.display().to_string(),
    ];
    let said = relay.cli(&add).succeeded();
    assert!(keys.join("s2._domainkey.own.test.pem").exists());
    let alias = "s2._domainkey.own.test. IN CNAME s2.own.test.dkim.relay.test.";
    assert!(said.contains(&format!("the domain's owner publishes:\n    {alias}\n")), "{said}");
    let record = "the operator of this relay publishes:\n    s2.own.test.dkim.relay.test. IN TXT \"v=DKIM1; k=ed25519; p=";
    assert!(said.contains(record), "{said}");
    // The delegated key counts as published.
    let text = said.split("IN TXT \"").nth(1).and_then(|rest| rest.split('"').next());
    dns.set("s2._domainkey.own.test", &[Record::Cname("s2.own.test.dkim.relay.test")]);
    dns.set("s2.own.test.dkim.relay.test", &[txt(text.expect("a record"))]);
    let done = relay.cli(&["dkim", "activate", "own.test", "s2"]).succeeded();
    assert!(done.contains("s2 of own.test signs; in effect at the next start"), "{done}");

    // Told to, a key signs whatever the DNS says.
    relay.cli(&["dkim", "activate", "own.test", "s1", "--force"]).succeeded();
    let shown = relay.cli_json(&["config", "show"]);
    assert_eq!(shown["dkim"][0]["check_dns"], false);
    assert_eq!(shown["dkim"][1]["check_dns"], true);
    let bad = relay.cli(&["dkim", "add", "no domain"]);
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
    assert!(bad.stderr.contains("`no domain` is no domain"), "{bad:?}");
}
