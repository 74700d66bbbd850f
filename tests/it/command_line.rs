//! The command line as an operator uses it.

use std::process::Command;

use serde_json::Value;

use crate::harness::letter::letter;
use crate::harness::process::{Output, run};
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Event, Sink, Stage, say};
use crate::harness::wait::{wait_for, wait_until};

fn refused(event: &Event) -> Act {
    if event.stage == Stage::Rcpt { say("450 4.2.0 come back later") } else { Act::Go }
}

/// A relay whose next hop wants nothing now, with rests so long that only an operator ends them.
fn relay_with_a_queue(sink: &Sink, ids: &[&str]) -> Relay {
    let settings = Settings::towards(sink.address())
        .set("queue.retry_reply.first", "1h")
        .set("queue.retry_reply.max", "1h")
        .set("queue.retry_connect.first", "1h")
        .set("queue.retry_connect.max", "1h");
    let relay = Relay::start(settings);
    for (number, id) in ids.iter().enumerate() {
        relay.submit(&format!("{id}@sender.example"), &["bo@receiver.example"], &letter(id, 300));
        sink.wait_command("RCPT", number + 1);
    }
    wait_until("all to rest", || {
        let list = relay.cli_json(&["queue", "list"]);
        let messages = list["messages"].as_array().expect("messages");
        messages.len() == ids.len() && messages.iter().all(|entry| entry["state"] == "resting")
    });
    relay
}

fn program(words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(words);
    run(command, b"")
}

#[test]
fn status_tells_how_the_relay_is() {
    let sink = Sink::scripted(refused);
    let relay = relay_with_a_queue(&sink, &["one", "two"]);
    let status = relay.cli_json(&["status"]);
    assert_eq!(status["hostname"], "relay.test");
    assert_eq!(status["pid"], relay.process().id());
    assert_eq!(status["health"]["ready"], true);
    assert_eq!(status["listeners"][0]["address"], relay.smtp().to_string());
    assert_eq!(status["spool"]["messages"], 2);
    assert!(
        ["io-uring", "threads"].contains(&status["spool"]["body_io"].as_str().unwrap_or_default()),
        "{status}"
    );
    assert_eq!(status["queue"]["messages"], 2);
    let text = relay.cli(&["status"]).succeeded();
    assert!(text.contains("relay.test") && text.contains("takes mail"), "{text}");
}

#[test]
fn the_queue_is_listed_and_shown() {
    let sink = Sink::scripted(refused);
    let relay = relay_with_a_queue(&sink, &["one", "two", "three"]);
    let list = relay.cli_json(&["queue", "list"]);
    let messages = list["messages"].as_array().expect("messages");
    let senders: Vec<&str> = messages.iter().filter_map(|entry| entry["sender"].as_str()).collect();
    assert_eq!(
        senders,
        ["one@sender.example", "two@sender.example", "three@sender.example"],
        "oldest first"
    );
    assert_eq!(messages[0]["tries"], 1);
    assert!(
        messages[0]["last_reply"].as_str().is_some_and(|reply| reply.contains("come back later"))
    );
    let id = messages[1]["id"].as_str().expect("an id");
    let message = relay.cli_json(&["queue", "show", id]);
    assert_eq!(message["sender"], "two@sender.example");
    assert_eq!(message["recipients"][0]["address"], "bo@receiver.example");
    assert_eq!(message["origin"]["listener"], "smtp");
    assert!(relay.cli(&["queue", "show", id]).succeeded().contains("bo@receiver.example"));
    assert!(relay.cli(&["queue", "list"]).succeeded().contains(id));
    let text = relay.cli(&["queue", "list"]).succeeded();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    for (filter, ids) in [
        (["--sender", "ONE@"], 1),
        (["--sender", "@sender.example"], 3),
        (["--sender", "@example"], 0),
        (["--recipient", "bo@receiver"], 3),
        (["--recipient", "@sender.example"], 0),
    ] {
        let list = relay.cli_json(&["queue", "list", filter[0], filter[1]]);
        assert_eq!(list["messages"].as_array().map(Vec::len), Some(ids), "{filter:?} {list}");
        assert_eq!(list["more"], false, "{list}");
    }
    let limited = relay.cli_json(&["queue", "list", "--recipient", "bo", "--limit", "2"]);
    assert_eq!(
        (limited["messages"].as_array().map(Vec::len), &limited["more"]),
        (Some(2), &true.into())
    );
    for words in
        [["retry", "--destination", "x/y.example"], ["cancel", "--destination", "x/y.example"]]
    {
        let output = relay.cli(&[&["queue"][..], &words].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stderr.contains("for the destination x/y.example"), "{output:?}");
    }
    let limited = relay.cli_json(&["queue", "list", "--limit", "2"]);
    assert_eq!(
        (limited["messages"].as_array().map(Vec::len), &limited["more"]),
        (Some(2), &Value::Bool(true))
    );
    // The id is the one in the trace header and in the log.
    relay.log_with(id);
}

#[test]
fn retry_tries_at_once_and_cancel_takes_out() {
    let sink = Sink::scripted(refused);
    let relay = relay_with_a_queue(&sink, &["one", "two", "three", "four"]);
    let list = relay.cli_json(&["queue", "list"]);
    let id = |number: usize| list["messages"][number]["id"].as_str().expect("an id");
    assert_eq!(relay.cli_json(&["queue", "cancel", id(0)])["messages"], 1);
    sink.set_script(|_| Act::Go);
    assert_eq!(relay.cli_json(&["queue", "retry", id(1)])["messages"], 1);
    assert_eq!(sink.wait_accepted(1)[0].id().as_deref(), Some("two"));
    assert_eq!(relay.cli_json(&["queue", "retry", "--all"])["messages"], 2);
    sink.wait_accepted(3);
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert!(
        sink.all().iter().all(|message| message.id().as_deref() != Some("one")),
        "cancelled, yet sent"
    );
    assert_eq!(sink.accepted().len(), 3, "nobody is told of a cancelled message");
    relay.log_with("cancel by an operator");
    assert!(relay.cli(&["queue", "list"]).succeeded().contains("empty"));
}

/// What was cancelled stays so after kill -9.
#[test]
fn a_cancelled_message_does_not_come_back() {
    let sink = Sink::scripted(refused);
    let mut relay = relay_with_a_queue(&sink, &["one", "two"]);
    let list = relay.cli_json(&["queue", "list"]);
    let id = list["messages"][0]["id"].as_str().expect("an id");
    relay.cli(&["queue", "cancel", id]).succeeded();
    relay.kill();
    sink.set_script(|_| Act::Go);
    relay.restart();
    relay.cli(&["queue", "retry", "--all"]).succeeded();
    assert_eq!(sink.wait_accepted(1)[0].id().as_deref(), Some("two"));
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.accepted().len(), 1);
}

#[test]
fn what_is_not_there_is_said_so() {
    let sink = Sink::start();
    let mut relay = Relay::towards(sink.address());
    for words in [["queue", "show", "nonsense"], ["queue", "show", "00000000000000000000000000"]] {
        let output = relay.cli(&words);
        assert!(
            !output.status.success() && output.stdout.is_empty() && !output.stderr.is_empty(),
            "{output:?}"
        );
    }
    relay.kill();
    let output = relay.cli(&["status"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(output.stderr.contains("admin.sock"), "{output:?}");
}

/// The socket gives full control, so nobody else may open it.
#[test]
fn the_control_socket_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let path = relay.folder().join("admin.sock");
    let mode = std::fs::metadata(&path).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--fail", "--unix-socket"])
        .arg(&path)
        .arg("http://relay/v1/status");
    let status: Value = serde_json::from_str(&run(command, b"").succeeded()).expect("JSON");
    assert_eq!(status["hostname"], "relay.test");
    let mut command = Command::new(PROGRAM);
    command.args(["status", "--json", "--socket"]).arg(&path);
    run(command, b"").succeeded();
}

#[test]
fn good_settings_are_called_good() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    assert!(relay.cli(&["config", "check"]).succeeded().contains("good"));
    assert_eq!(relay.cli_json(&["config", "check"])["ok"], true);
    let shown = relay.cli_json(&["config", "show"]);
    assert_eq!(shown["hostname"], "relay.test");
    // What is shown is complete and can be used as it is.
    let text = relay.cli(&["config", "show"]).succeeded();
    let path = relay.folder().join("shown.toml");
    std::fs::write(&path, text).expect("a file");
    program(&["config", "check", "--config", &path.display().to_string()]).succeeded();
}

/// A mistake in the file is named with file, line, key and a suggestion.
#[test]
fn wrong_settings_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrong.toml");
    let name = path.display().to_string();
    let check = |text: &str| {
        std::fs::write(&path, text).expect("a file");
        let output = program(&["config", "check", "--config", &name]);
        assert_eq!(output.status.code(), Some(78), "{text}: {output:?}");
        let json = program(&["config", "check", "--json", "--config", &name]);
        assert_eq!(serde_json::from_str::<Value>(&json.stdout).expect("JSON")["ok"], false);
        output.stderr
    };
    let said = check("hostname = \"relay.test\"\n\n[queue]\nexpire_aftr = \"5d\"\n");
    assert!(
        said.contains(&format!("{name}:4"))
            && said.contains("expire_aftr")
            && said.contains("expire_after"),
        "{said}"
    );
    let said =
        check("hostname = \"relay.test\"\n[[listener]]\nname = \"a\"\nadress = \"127.0.0.1:25\"\n");
    assert!(said.contains(&format!("{name}:4")) && said.contains("address"), "{said}");
    let said = check("hostname = \"relay.test\"\n[queue]\nexpire_after = \"5 days\"\n");
    assert!(said.contains(&format!("{name}:3")), "{said}");
    let said = check("hostname = \"relay.test\"\n[queue\n");
    assert!(said.contains(&format!("{name}:2")), "{said}");
    let said = check(
        "hostname = \"relay.test\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\ntls = \"starttls\"\n",
    );
    assert!(said.contains("certificate"), "{said}");
    // The relay does not start with them either.
    let output = program(&["serve", "--config", &name]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

/// A certificate that is not there is a fault of the settings: the relay says where it is named, does not touch its
/// spool, and is not started again.
#[test]
fn a_missing_certificate_is_a_wrong_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrong.toml");
    let name = path.display().to_string();
    let spool = folder.path().join("spool");
    let text = format!(
        "hostname = \"relay.test\"\n[spool]\npath = \"{}\"\n[[outbound]]\nname = \"out\"\n[[listener]]\nname = \"a\"\n\
         address = \"127.0.0.1:0\"\ntls = \"starttls\"\ncertificate = \"/gone.pem\"\nkey = \"/gone.key\"\n",
        spool.display()
    );
    std::fs::write(&path, text).expect("a file");
    for words in [&["serve", "--config", &name][..], &["config", "check", "--config", &name]] {
        let output = program(words);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        for said in [":10:1: listener.certificate: ", ":11:1: listener.key: "] {
            assert!(output.stderr.contains(&format!("{name}{said}")), "{output:?}");
        }
    }
    assert!(!spool.exists(), "the spool was opened");
    let json = program(&["config", "check", "--json", "--config", &name]).stdout;
    let said: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&said["problems"][0]["line"], &said["problems"][1]["line"]),
        (&10.into(), &11.into())
    );
}

#[test]
fn every_command_explains_itself() {
    for words in [
        &["--help"][..],
        &["serve", "--help"],
        &["status", "--help"],
        &["config", "check", "--help"],
        &["queue", "list", "--help"],
        &["queue", "show", "--help"],
        &["queue", "retry", "--help"],
        &["queue", "cancel", "--help"],
        &["send", "--help"],
        &["sink", "--help"],
        &["spool", "check", "--help"],
        &["--version"],
    ] {
        let output = program(words);
        assert!(output.status.success() && !output.stdout.is_empty(), "{words:?}: {output:?}");
    }
    let output = program(&["frobnicate"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// `spool check` reads a spool that no relay uses, and says so when one does.
#[test]
fn a_spool_is_checked_offline() {
    let sink = Sink::scripted(refused);
    let mut relay = relay_with_a_queue(&sink, &["one", "two"]);
    let busy = relay.cli(&["spool", "check"]);
    assert!(!busy.status.success(), "a running relay's spool was checked: {busy:?}");
    relay.kill();
    let findings = relay.cli_json(&["spool", "check"]);
    assert!(findings.to_string().contains('2'), "{findings}");
    relay.restart();
    sink.set_script(|_| Act::Go);
    relay.cli(&["queue", "retry", "--all"]).succeeded();
    sink.wait_accepted(2);
}

/// `send` hands a message in and says what became of it.
#[test]
fn send_reports_what_the_server_said() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let server = relay.smtp().to_string();
    let send = |recipient: &str| {
        let mut command = Command::new(PROGRAM);
        command.args([
            "send",
            "--server",
            &server,
            "--from",
            "ana@sender.example",
            "--to",
            recipient,
            "--json",
        ]);
        run(command, &letter("send", 2000))
    };
    let said: Value = serde_json::from_str(&send("bo@receiver.example").succeeded()).expect("JSON");
    assert!(said.is_object(), "{said}");
    sink.wait_accepted(1);
    assert!(!send("not an address").status.success());
    let gone = wait_for("a refusal", || {
        let mut command = Command::new(PROGRAM);
        command.args([
            "send",
            "--server",
            "127.0.0.1:1",
            "--from",
            "a@b.example",
            "--to",
            "c@d.example",
        ]);
        Some(run(command, b"Subject: x\r\n\r\nx\r\n"))
    });
    assert!(!gone.status.success() && !gone.stderr.is_empty(), "{gone:?}");
}
