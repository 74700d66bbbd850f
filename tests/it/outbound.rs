//! Outbound connectors: TLS of each kind, logins, source addresses, fail-over.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::harness::accounts::{Accounts, PASSWORD, write_secret};
use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Event, Sink, Stage};
use crate::harness::wait::{wait_for, wait_until};

/// A trial of the connector `next-hop` from Ana to Bo.
fn tried(relay: &Relay) -> Value {
    let words =
        ["connector", "test", "next-hop", "--from", "ana@sender.example", "--to", "bo@x.example"];
    let output = relay.cli(&[&words[..], &["--json"]].concat());
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[track_caller]
fn text<'a>(tried: &'a Value, step: &str) -> &'a str {
    let steps = tried["steps"].as_array().expect("steps");
    let found = steps.iter().rfind(|one| one["step"] == step);
    found.and_then(|one| one["text"].as_str()).unwrap_or_else(|| panic!("no {step}: {tried}"))
}

/// A submission server with logins, and settings of a relay that logs in there as Ana.
struct Case {
    accounts: Accounts,
    sink: Sink,
    server: Relay,
}

impl Case {
    fn start() -> Self {
        let (accounts, sink) = (Accounts::new(), Sink::start());
        let server = Relay::start(accounts.settings(&sink));
        write_secret(&accounts.folder.path().join("password"), &format!("{PASSWORD}\n"));
        Self { accounts, sink, server }
    }

    fn settings(&self, listener: &str, tls: &str) -> Settings {
        let path = |name: &str| self.accounts.folder.path().join(name).display().to_string();
        let settings = Settings::towards(self.server.listener(listener))
            .set("outbound.0.tls", tls)
            .set("outbound.0.login.user", "ana@sender.example")
            .set("outbound.0.login.password_file", path("password"));
        if tls != "verify" {
            return settings;
        }
        let authority = &self.accounts.certificate.certificate;
        settings.set("outbound.0.ca_file", authority.display().to_string())
    }
}

/// `DA_10`, `DA_11`: no TLS, STARTTLS and TLS from the beginning, each with a login.
#[test]
fn da_10_da_11_each_kind_of_tls_carries_a_login() {
    let case = Case::start();
    let cases = [
        ("clear", "none", "login_without_tls"),
        ("submission", "encrypt", ""),
        ("submission", "verify", ""),
        ("submissions", "encrypt", "implicit_tls"),
        ("submissions", "verify", "implicit_tls"),
    ];
    for (number, (listener, tls, more)) in cases.into_iter().enumerate() {
        let mut settings = case.settings(listener, tls);
        settings = match more {
            "login_without_tls" => settings.set("outbound.0.login.login_without_tls", true),
            "implicit_tls" => settings.set("outbound.0.implicit_tls", true),
            _ => settings,
        };
        let relay = Relay::start(settings);
        let name = format!("{listener}-{tls}");
        let tried = tried(&relay);
        assert_ne!(tried["verdict"], "fail", "{name}: {tried}");
        assert!(text(&tried, "auth").contains("login as ana@sender.example by SCRAM"), "{tried}");
        if tls != "none" {
            assert!(text(&tried, "tls").contains("TLSv1.3 TLS_"), "{name}: {tried}");
        }
        relay.submit("ana@sender.example", &["bo@x.example"], &letter(&name, 100));
        let arrived = case.sink.wait_accepted(number + 1);
        assert_eq!(arrived[number].id().as_deref(), Some(name.as_str()));
    }
}

/// `DA_10`, `DA_11`: a host that does not speak TLS as it is asked to gets nothing, in clear text least of all; a wrong
/// password is named by the step.
#[test]
fn da_10_da_11_what_is_asked_for_is_not_given_up() {
    let case = Case::start();
    // TLS from the beginning where the host waits for EHLO, and the other way round.
    for (listener, implicit, want) in
        [("submission", true, "tls"), ("submissions", false, "greeting")]
    {
        let settings = case.settings(listener, "encrypt");
        let settings = settings.set("outbound.0.timeouts.greeting", "1s");
        let relay = Relay::start(settings.set("outbound.0.implicit_tls", implicit));
        let tried = tried(&relay);
        assert_eq!(tried["verdict"], "fail");
        let steps = tried["steps"].as_array().expect("steps");
        let failed = steps.iter().find(|step| step["verdict"] == "fail").expect("a failure");
        assert_eq!(failed["step"], want, "{tried}");
        assert!(failed["advice"].as_str().unwrap().contains("`implicit_tls`"), "{tried}");
    }
    // STARTTLS is demanded and not offered.
    let plain = Sink::start();
    let relay = Relay::start(Settings::towards(plain.address()).set("outbound.0.tls", "encrypt"));
    relay.submit("ana@sender.example", &["bo@x.example"], &letter("kept", 100));
    let waits = wait_for("a deferred message", || {
        let list = relay.cli_json(&["queue", "list"]);
        list["messages"][0]["last_reply"].as_str().map(str::to_owned)
    });
    assert!(waits.contains("does not offer STARTTLS"), "{waits}");
    assert_eq!((plain.count("MAIL"), plain.count("DATA")), (0, 0));
    assert!(text(&tried(&relay), "tls").contains("does not offer STARTTLS"));

    write_secret(&case.accounts.folder.path().join("password"), "wrong\n");
    let relay = Relay::start(case.settings("submission", "verify"));
    let tried = tried(&relay);
    assert!(text(&tried, "auth").contains("535 5.7.8"), "{tried}");
    assert_eq!(case.sink.accepted().len(), 0);
}

/// `EE_15`: a certificate that nobody trusts, or for another name, defers the message with the reason.
#[test]
fn ee_15_an_untrusted_or_wrong_certificate_defers_the_message() {
    let case = Case::start();
    for (settings, want) in [
        (
            // Trusts the system's authorities only.
            Settings::towards(case.server.listener("submission")).set("outbound.0.tls", "verify"),
            "trusted",
        ),
        (
            case.settings("submission", "verify").set("outbound.0.tls_domain", "mx.other.example"),
            "mx.other.example",
        ),
    ] {
        let relay = Relay::start(settings);
        relay.submit("ana@sender.example", &["bo@x.example"], &letter("kept", 100));
        let waits = wait_for("a deferred message", || {
            let list = relay.cli_json(&["queue", "list"]);
            list["messages"][0]["last_reply"].as_str().map(str::to_owned)
        });
        assert!(waits.contains("4.7.5") && waits.contains(want), "{waits}");
        let tried = tried(&relay);
        assert!(text(&tried, "tls").contains(want), "{tried}");
    }
    assert_eq!(case.sink.accepted().len(), 0);
}

/// `DA_11`: a service that only takes what is From the account wants a From filter.
#[test]
fn da_11_an_account_of_outlook_needs_a_from_filter() {
    let host = "{ host = \"smtp.office365.com\", port = 587 }";
    let settings = |more: &str| {
        Settings::towards("127.0.0.1:25".parse().unwrap()).push(
            "outbound",
            &format!("name = \"mailbox\"\nsmart_hosts = [{host}]\ntls = \"verify\"\n{more}"),
        )
    };
    let check = |settings: Settings| {
        let relay = Relay::stopped(settings.clone());
        std::fs::write(relay.settings_path(), settings.text(relay.folder())).unwrap();
        relay.cli(&["config", "check"])
    };
    let refused = check(settings(""));
    let words = "outbound.from_filter: is empty, but smtp.office365.com refuses mail";
    assert!(refused.stderr.contains(words), "{refused:?}");
    check(settings("from_filter = [\"sales@own.example\"]")).succeeded();
}

/// Connections come from the source addresses in turn; one that this machine has not got is passed over.
#[test]
fn source_addresses_take_turns() {
    let sink = Sink::start();
    let sources = ["127.0.0.5", "127.0.0.6", "192.0.2.77"].map(str::to_owned).to_vec();
    let settings = Settings::towards(sink.address())
        .set("outbound.0.source_addresses", sources)
        .set("outbound.0.limits.messages_per_connection_max", 1);
    let relay = Relay::start(settings);
    for number in 0..6 {
        relay.submit("ana@sender.example", &["bo@x.example"], &letter(&format!("{number}"), 100));
        sink.wait_accepted(number + 1);
    }
    let from = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        sink.peers().into_iter().filter(|peer| *peer == address).count()
    };
    // The third one's turns go to the first.
    assert_eq!((from("127.0.0.5"), from("127.0.0.6"), sink.peers().len()), (4, 2, 6));
    let tried = tried(&relay);
    assert!(text(&tried, "source").contains("192.0.2.77: cannot assign"), "{tried}");
    assert_eq!(text(&tried, "tcp"), "connected from 127.0.0.5");
    assert_eq!(tried["verdict"], "warn", "{tried}");
}

/// Source addresses of which none can reach a host are refused with the settings.
#[test]
fn source_addresses_of_no_use_are_refused() {
    let settings = Settings::towards("127.0.0.1:25".parse().unwrap())
        .set("outbound.0.source_addresses", vec!["::1".to_owned()]);
    let relay = Relay::stopped(settings.clone());
    std::fs::write(relay.settings_path(), settings.text(relay.folder())).unwrap();
    let refused = relay.cli(&["config", "check"]);
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("is of the family of its host 127.0.0.1"), "{refused:?}");
}

fn host(address: SocketAddr, order: u16, weight: u16) -> toml::Value {
    let text = format!(
        "one = {{ host = \"127.0.0.1\", port = {}, order = {order}, weight = {weight} }}",
        address.port()
    );
    text.parse::<toml::Table>().unwrap()["one"].clone()
}

/// Smart hosts: the best order serves, the next takes over while it is down, and the best serves again afterwards.
#[test]
fn smart_hosts_fail_over_and_return() {
    let is_down = |event: &Event| match event.stage {
        Stage::Greeting => Act::SayAndClose("421 4.3.2 going down".to_owned()),
        _ => Act::Go,
    };
    let (best, backup) = (Sink::scripted(is_down), Sink::start());
    let hosts = vec![host(best.address(), 1, 1), host(backup.address(), 2, 1)];
    let settings = Settings::towards(best.address())
        .set("outbound.0.smart_hosts", hosts)
        .set("outbound.0.limits.messages_per_connection_max", 1)
        .set("delivery.host_rest", "200ms");
    let relay = Relay::start(settings);
    relay.submit("ana@sender.example", &["bo@x.example"], &letter("one", 100));
    backup.wait_accepted(1);
    best.set_script(|_| Act::Go);
    let mut number = 0;
    wait_until("the best host to serve again", || {
        number += 1;
        relay.submit("ana@sender.example", &["bo@x.example"], &letter(&format!("m{number}"), 100));
        !best.accepted().is_empty()
    });
    relay.log_with("host can be used again");
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(best.accepted().len() + backup.accepted().len(), number + 1);
}

/// Hosts of one order share the mail by their weights; one of weight 0 only waits.
#[test]
fn smart_hosts_share_by_weight() {
    let sinks = [Sink::start(), Sink::start(), Sink::start()];
    let weights = [3, 1, 0];
    let hosts: Vec<_> =
        sinks.iter().zip(weights).map(|(sink, weight)| host(sink.address(), 1, weight)).collect();
    let settings = Settings::towards(sinks[0].address())
        .set("outbound.0.smart_hosts", hosts)
        .set("outbound.0.limits.messages_per_connection_max", 1);
    let relay = Relay::start(settings);
    for number in 0..80 {
        relay.submit("ana@sender.example", &["bo@x.example"], &letter(&format!("{number}"), 100));
    }
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    let counts = sinks.each_ref().map(|sink| sink.accepted().len());
    assert_eq!(counts.iter().sum::<usize>(), 80);
    assert_eq!(counts[2], 0, "{counts:?}");
    // Of 80 three quarters: chance leaves these bounds less than once in a million.
    assert!((40..=78).contains(&counts[0]), "{counts:?}");
}
