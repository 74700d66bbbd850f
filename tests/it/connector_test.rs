//! `connector test`: an outbound connector is tried step by step, and nothing is sent.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::harness::http::try_ask;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Event, Sink, Stage, say};
use crate::harness::wait::PATIENCE;

const TEST: [&str; 7] =
    ["connector", "test", "next-hop", "--from", "ana@sender.example", "--to", "bo@x.example"];

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

/// What a trial says, whether it went well or not.
#[track_caller]
fn tried(relay: &Relay, more: &[&str]) -> Value {
    let output = relay.cli(&[&TEST[..], more, &["--json"]].concat());
    let value: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(output.status.success(), value["verdict"] != "fail", "{output:?}");
    value
}

/// One step of it.
#[track_caller]
fn step<'a>(tried: &'a Value, name: &str) -> &'a Value {
    let steps = tried["steps"].as_array().expect("steps");
    steps.iter().rfind(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {tried}"))
}

#[track_caller]
fn verdicts(tried: &Value) -> Vec<String> {
    let steps = tried["steps"].as_array().expect("steps").iter();
    let words = |key: &str, step: &Value| step[key].as_str().expect("a word").to_owned();
    steps.map(|step| format!("{} {}", words("step", step), words("verdict", step))).collect()
}

fn refuses(stage: Stage, reply: &'static str) -> impl Fn(&Event) -> Act + Send + Sync {
    move |event| if event.stage == stage { say(reply) } else { Act::Go }
}

/// `DA_12`: every step with what the host said, and the host got neither content nor a transaction that stays.
#[test]
fn da_12_a_good_connector_passes_and_nothing_is_sent() {
    let sink = Sink::start();
    let mut relay = Relay::towards(sink.address());
    let good = tried(&relay, &[]);
    let want = [
        "dns pass",
        "tcp pass",
        "greeting pass",
        "tls skipped",
        "ehlo pass",
        "mail pass",
        "rcpt pass",
        "reset pass",
    ];
    assert_eq!(
        (verdicts(&good), &good["verdict"]),
        (want.map(str::to_owned).to_vec(), &json!("pass"))
    );
    assert_eq!(step(&good, "greeting")["text"], "220 sink.test ESMTP");
    assert!(step(&good, "ehlo")["text"].as_str().unwrap().contains("8BITMIME"), "{good}");
    let host = format!("127.0.0.1[127.0.0.1]:{}", sink.address().port());
    assert_eq!(step(&good, "rcpt")["host"], host.as_str());
    let text = relay.cli(&TEST).succeeded();
    assert!(text.contains("rcpt     pass"), "{text}");
    assert!(text.contains("outbound connector next-hop: pass after "), "{text}");
    // While no relay runs the settings' files say enough.
    relay.terminate();
    assert_eq!(verdicts(&tried(&relay, &[])), want);
    sink.wait_command("QUIT", 3);
    for (command, count) in [
        ("MAIL FROM:<ana@sender.example>", 3),
        ("RCPT TO:<bo@x.example>", 3),
        ("RSET", 3),
        ("DATA", 0),
        ("BDAT", 0),
    ] {
        assert_eq!(sink.count(command), count, "{command}");
    }
    sink.assert_clean();
}

/// `DA_12`: the failing step, what the host said, and what to do.
#[test]
fn da_12_a_bad_connector_names_the_failing_step() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let cases = [
        (Stage::Greeting, "554 5.7.1 not you", "greeting"),
        (Stage::Ehlo, "550 5.7.1 what a name", "ehlo"),
        (Stage::Mail, "550 5.7.1 no such sender here", "mail"),
        (Stage::Rcpt, "550 5.1.1 no such person", "rcpt"),
    ];
    for (stage, reply, name) in cases {
        sink.set_script(refuses(stage, reply));
        let bad = tried(&relay, &[]);
        let step = step(&bad, name);
        assert_eq!((&bad["verdict"], &step["verdict"]), (&json!("fail"), &json!("fail")), "{bad}");
        assert!(step["text"].as_str().unwrap().contains(reply), "{bad}");
        assert!(step["advice"].is_string(), "{bad}");
    }
    let bad = relay.cli(&TEST);
    assert!(bad.stdout.contains("550 5.1.1 no such person"), "{bad:?}");
    assert!(bad.stderr.contains("mail does not go by the outbound connector"), "{bad:?}");
    assert_eq!(sink.count("DATA") + sink.count("BDAT"), 0);

    let relay = Relay::towards(NOBODY.parse().unwrap());
    let bad = tried(&relay, &[]);
    assert_eq!(verdicts(&bad)[..3], ["dns pass", "tcp fail", "greeting skipped"]);
    assert!(step(&bad, "tcp")["text"].as_str().unwrap().contains("connection refused"), "{bad}");
}

/// Each command has the time that deliveries give it, as far as an operator waits.
#[test]
fn a_host_that_says_nothing_is_waited_for_as_long_as_the_step_says() {
    for (stage, name) in [(Stage::Mail, "mail"), (Stage::Rcpt, "rcpt")] {
        let sink =
            Sink::scripted(move |event| if event.stage == stage { Act::Stall } else { Act::Go });
        let settings = Settings::towards(sink.address());
        let relay = Relay::start(settings.set(&format!("outbound.0.timeouts.{name}"), "300ms"));
        let bad = tried(&relay, &[]);
        let text = step(&bad, name)["text"].as_str().expect("words");
        assert!(text.contains("said nothing for 300ms"), "{bad}");
    }
}

/// A host that is down is a warning as long as the next one serves.
#[test]
fn a_dead_host_before_a_good_one_is_a_warning() {
    let nobody = NOBODY.parse().unwrap();
    let sink = Sink::start();
    let host = |address: SocketAddr, order| {
        format!("{{ host = \"127.0.0.1\", port = {}, order = {order} }}", address.port())
    };
    let hosts = format!("smart_hosts = [{}, {}]", host(nobody, 1), host(sink.address(), 2));
    let hosts: toml::Table = hosts.parse().unwrap();
    let relay = Relay::start(
        Settings::towards(nobody).set("outbound.0.smart_hosts", hosts["smart_hosts"].clone()),
    );
    let good = tried(&relay, &[]);
    assert_eq!(good["verdict"], "warn", "{good}");
    assert_eq!(verdicts(&good)[..4], ["dns pass", "tcp warn", "dns pass", "tcp pass"]);
    assert_eq!(step(&good, "rcpt")["verdict"], "pass");
}

/// By the API too, recorded; inbound connectors and unknown ones are told apart.
#[test]
fn the_api_tries_connectors_and_records_it() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let ask = |path: &str, body: &Value| {
        let stream = UnixStream::connect(relay.folder().join("admin.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let what = format!("POST /v1/connectors/{path}/test");
        try_ask(stream, &what, "Content-Type: application/json\r\n", &body.to_string()).unwrap()
    };
    let wish = json!({ "from": "", "to": "bo@x.example" });
    let good = ask("outbound/next-hop", &wish);
    assert_eq!(good.status, 200, "{good:?}");
    let good: Value = serde_json::from_str(&good.body).unwrap();
    assert_eq!(good["verdict"], "pass", "{good}");
    assert_eq!(sink.count("MAIL FROM:<>"), 1);
    assert_eq!(ask("outbound/nobody", &wish).status, 404);
    assert_eq!(ask("inbound/tests", &wish).status, 400);
    assert_eq!(ask("outbound/next-hop", &json!({ "from": "", "to": "a b" })).status, 400);
    relay.log_with("POST /v1/connectors/outbound/next-hop/test");
    let refused = relay.cli(&["connector", "test", "tests", "--from", "", "--to", "bo@x.example"]);
    assert!(refused.stderr.contains("is an inbound connector"), "{refused:?}");
}

/// `OC_21`: a probe goes by the connector, and says whether a report was asked for.
#[test]
fn oc_21_a_probe_is_sent_and_asks_for_a_report() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let plain = tried(&relay, &["--probe"]);
    let text = step(&plain, "probe")["text"].as_str().unwrap();
    assert!(text.contains("the host does not offer DSN"), "{text}");
    sink.set_extensions(&["PIPELINING", "DSN", "CHUNKING"]);
    let asked = tried(&relay, &["--probe"]);
    let text = step(&asked, "probe")["text"].as_str().unwrap();
    assert!(text.starts_with("250 ") && text.contains("NOTIFY=SUCCESS"), "{text}");
    assert!(step(&asked, "probe")["milliseconds"].is_u64(), "{asked}");
    let probe = sink.wait_accepted(2).pop().expect("a probe");
    assert_eq!(
        (probe.sender.as_str(), &*probe.recipients),
        ("ana@sender.example", &["bo@x.example".to_owned()][..])
    );
    assert!(probe.mail_parameters.contains("RET=HDRS"), "{probe:?}");
    assert_eq!(sink.count("RCPT TO:<bo@x.example> NOTIFY=SUCCESS,FAILURE"), 1);
    let content = String::from_utf8_lossy(&probe.content);
    assert!(content.contains("Subject: Probe of outbound connector next-hop\r\n"), "{content}");
    sink.set_script(refuses(Stage::Dot, "554 5.6.0 no probes please"));
    let bad = tried(&relay, &["--probe"]);
    assert!(step(&bad, "probe")["text"].as_str().unwrap().contains("no probes please"), "{bad}");
    sink.assert_clean();
}

/// `EE_16`: a new connector is tried before it is saved; one by which no mail goes is saved only if that is confirmed.
#[test]
fn ee_16_a_connector_that_fails_is_saved_only_if_confirmed() {
    let sink = Sink::scripted(refuses(Stage::Rcpt, "550 5.1.1 no such person"));
    let relay = Relay::towards(sink.address());
    let hosts = format!("smart_hosts=[{{host=\"127.0.0.1\",port={}}}]", sink.address().port());
    let add = [
        "connector",
        "add",
        "new",
        "--outbound",
        "--test",
        "--from",
        "ana@sender.example",
        "--to",
        "bo@x.example",
        hosts.as_str(),
        "recipient_domains=[\"x.example\"]",
        "tls=\"none\"",
    ];
    let file = relay.folder().join("connectors.d/outbound-new.toml");
    let refused = relay.cli(&add);
    assert!(refused.stdout.contains("outbound connector new: new"), "{refused:?}");
    for words in ["greeting pass", "rcpt     fail", "550 5.1.1 no such person"] {
        assert!(
            refused
                .stdout
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .contains(&words.split_whitespace().collect::<Vec<_>>().join(" ")),
            "{words}: {refused:?}"
        );
    }
    assert!(refused.stderr.contains("nothing was changed"), "{refused:?}");
    assert!(!refused.status.success() && !file.exists());
    let saved = relay.cli(&[&add[..], &["--yes"]].concat());
    assert!(saved.stderr.contains("saved all the same"), "{saved:?}");
    assert!(saved.status.success() && file.exists(), "{saved:?}");

    // A change is tried as it would be, and what is disabled can be tried.
    sink.set_script(|_| Act::Go);
    let set = ["connector", "set", "new", "--test", "--from", "", "--to", "bo@x.example", "--yes"];
    let changed = relay.cli_json(&[&set[..], &["priority=20", "enabled=false"]].concat());
    assert_eq!((&changed["done"], &changed["trial"]["verdict"]), (&json!(true), &json!("pass")));
    assert_eq!(sink.count("MAIL FROM:<>"), 1);
    let test = ["connector", "test", "new", "--from", "", "--to", "bo@x.example"];
    assert_eq!(relay.cli_json(&test)["verdict"], "pass");
    let inbound = relay.cli(&[&set[..2], &["tests"], &set[3..], &["comment=\"x\""]].concat());
    assert_eq!(inbound.status.code(), Some(2), "{inbound:?}");
}
