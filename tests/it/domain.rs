//! Domains: their keys, and what their owners must publish.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::connectors::private;
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
