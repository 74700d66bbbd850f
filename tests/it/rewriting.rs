//! Addresses that stand for others: recipients under a suffix, and return paths of the relay's own.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::accounts::write_secret;
use crate::harness::dns::{Dns, Record};
use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Received, Sink, Stage, say};
use crate::harness::smtp::{Reply, Smtp};
use crate::harness::wait::{wait_for, wait_until};

/// The suffix is taken off, the message is certified, and the sender hears of the recipient by the name it gave.
#[test]
fn ee_17_a_recipient_under_the_suffix_is_certified() {
    let sink = Sink::start();
    sink.set_extensions(&["PIPELINING", "8BITMIME", "DSN"]);
    let settings = Settings::towards(sink.address());
    let relay = Relay::start(settings.set("inbound.0.certified_suffix", "evidence.example"));
    let mut session = relay.session();
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    session.expect("RCPT TO:<Bo.B@dest.example.Evidence.example>", 250);
    session.expect("RCPT TO:<cy@dest.example.evidence.example> ORCPT=rfc822;c@first.example", 250);
    session.expect("RCPT TO:<dan@dest.example>", 250);
    for (recipient, words) in [
        ("bo@evidence.example", "5.1.2 no recipient domain before evidence.example"),
        ("bo@dest.evidence.example", "5.1.2 no recipient domain before evidence.example"),
        ("bo@dest.example.evidence.example.evidence.example", "stands twice"),
    ] {
        let reply = session.expect(&format!("RCPT TO:<{recipient}>"), 550);
        assert!(reply.text().contains(words), "{reply:?}");
    }
    session.expect("DATA", 354);
    session.send(b"X-Letter: certified\r\n\r\nbody\r\n.\r\n");
    assert_eq!(session.read_reply().code, 250);
    session.quit();
    let message = sink.wait_accepted(1).remove(0);
    assert_eq!(message.recipients, ["Bo.B@dest.example", "cy@dest.example", "dan@dest.example"]);
    for (recipient, parameters) in [
        ("Bo.B@dest.example", " ORCPT=rfc822;Bo.B@dest.example.Evidence.example"),
        ("cy@dest.example", " ORCPT=rfc822;c@first.example"),
        ("dan@dest.example", ""),
    ] {
        assert_eq!(sink.count(&format!("RCPT TO:<{recipient}>{parameters}")), 1, "{recipient}");
    }
    assert!(relay.log_with("message accepted").contains(r#""certified":true"#));
}

/// Who names no suffix has no special names, and nothing else is certified.
#[test]
fn without_the_suffix_nothing_is_certified() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address());
    let relay = Relay::start(settings.set("inbound.0.certified_suffix", "evidence.example"));
    relay.submit("ana@sender.example", &["bo@dest.example"], &letter("plain", 300));
    assert!(!relay.log_with("message accepted").contains("certified"));
    let other = Relay::towards(sink.address());
    other.submit("ana@sender.example", &["bo@dest.evidence.example"], &letter("name", 300));
    let received = sink.wait_accepted(2);
    assert!(received.iter().any(|it| it.recipients == ["bo@dest.evidence.example"]));
}

/// A relay that puts return paths of its own below `alias.example` into mail for `dest.example`, which goes to `sink`, as
/// does all else as it is. Only 127.0.0.1 may relay.
fn settings_with_return_paths(folder: &Path, sink: &Sink, return_path: &str) -> Settings {
    let secrets = folder.join("secrets");
    write_secret(&secrets, "a secret that nobody guesses\n");
    let way_out = format!(
        "name = \"dest\"\nrecipient_domains = [\"dest.example\"]\ntls = \"none\"\nreturn_path = {return_path:?}\n\
         smart_hosts = [{{ host = \"127.0.0.1\", port = {} }}]",
        sink.address().port()
    );
    Settings::towards(sink.address())
        .set("rewrite.alias_domain", "alias.example")
        .set("rewrite.secrets_file", secrets.display().to_string())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1".to_owned()])
        .push("outbound", &way_out)
}

fn relay_with_return_paths(folder: &Path, sink: &Sink, return_path: &str) -> Relay {
    Relay::start(settings_with_return_paths(folder, sink, return_path))
}

/// A report from somebody who may not relay.
fn bounce(relay: &Relay, sender: &str, recipient: &str) -> Reply {
    let stranger = "127.0.0.9".parse().expect("an address");
    let mut session = Smtp::connect_from(stranger, relay.smtp()).expect("a connection");
    assert_eq!(session.read_reply().code, 220);
    session.expect("EHLO stranger.example", 250);
    session.deliver(sender, &[recipient], b"X-Letter: bounce\r\n\r\nnobody here\r\n")
}

fn with_id<'a>(received: &'a [Received], id: &str) -> Vec<&'a Received> {
    received.iter().filter(|message| message.id().as_deref() == Some(id)).collect()
}

/// What is tried is the mail that would leave: with its return path, and its header as rules make it.
#[test]
fn a_trial_goes_out_as_mail_would() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let rule = "name = \"mark\"\nthen = { add_header = [{ name = \"X-Mark\", value = \"seen\" }] }";
    let settings = settings_with_return_paths(folder.path(), &sink, "srs").push("rule", rule);
    let mut relay = Relay::start(settings);
    let test = ["connector", "test", "dest", "--from", "ana@sender.example", "--to"];
    let test = [&test[..], &["bo@dest.example", "--probe"]].concat();
    let check = |count: usize, text: &str| {
        let probe = sink.wait_accepted(count).remove(count - 1);
        assert!(probe.sender.starts_with("SRS0="), "{probe:?}");
        assert!(text.contains("MAIL names <SRS0="), "{text}");
        let content = String::from_utf8_lossy(&probe.content);
        assert!(content.contains("From: <ana@sender.example>\r\n"), "{content}");
        assert_eq!(content.matches("X-Mark: seen\r\n").count(), 1, "{content}");
    };
    check(1, &relay.cli(&test).succeeded());
    relay.cli(&["connector", "disable", "dest", "--yes"]).succeeded();
    check(2, &relay.cli(&test).succeeded());
    relay.terminate();
    check(3, &relay.cli(&test).succeeded());
}

/// SRS: the envelope alone is rewritten, a bounce finds its sender from anywhere, and what nobody made leads nowhere.
#[test]
fn a_bounce_to_a_rewritten_sender_goes_to_the_sender() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let relay = relay_with_return_paths(folder.path(), &sink, "srs");
    let content = letter("out", 300);
    relay.submit("Ana@sender.example", &["bo@dest.example", "cy@dest.example"], &content);
    relay.submit("ana@sender.example", &["bo@other.example"], &letter("kept", 300));
    relay.submit("", &["bo@dest.example"], &letter("report", 300));
    relay.submit("ana@alias.example", &["bo@dest.example"], &letter("own", 300));
    let received = sink.wait_accepted(4);
    let sender = |id: &str| with_id(&received, id)[0].sender.clone();
    assert_eq!(sender("kept"), "ana@sender.example");
    assert_eq!(sender("report"), "");
    assert_eq!(sender("own"), "ana@alias.example");
    let path = sender("out");
    assert!(
        path.starts_with("SRS0=") && path.ends_with("=sender.example=Ana@alias.example"),
        "{path}"
    );
    let out = with_id(&received, "out")[0];
    assert_eq!(out.recipients.len(), 2);
    assert!(out.content.ends_with(&content), "the content was touched");

    assert_eq!(bounce(&relay, "", &path).code, 250);
    let back = sink.wait_accepted(5).remove(4);
    assert_eq!(
        (back.sender.as_str(), back.recipients),
        ("", vec!["Ana@sender.example".to_owned()])
    );
    assert!(relay.log_with("bounce for a sender").contains("Ana@sender.example"));
    let refused = |sender: &str, recipient: &str, words: &str| {
        let reply = bounce(&relay, sender, recipient);
        assert_eq!(reply.code, 550, "{recipient}: {reply:?}");
        assert!(reply.text().contains(words), "{recipient}: {reply:?}");
    };
    refused("", &path.replace("Ana@", "Eve@"), "the rewritten sender is forged");
    refused(
        "",
        &path.replace("sender.example", "victim.example"),
        "the rewritten sender is forged",
    );
    refused("eve@stranger.example", &path, "only reports");
    refused("", "bo@dest.example", "Relay access denied");
    refused("", "bo@alias.example", "Relay access denied");
    assert!(relay.log_with("is forged").contains("transaction refused"));
    // Nobody has to be a stranger to bring one back.
    relay.submit("", &[&path], &letter("inside", 300));
    assert_eq!(sink.wait_accepted(6)[5].recipients, ["Ana@sender.example"]);
}

/// Two forwarders in a row: the second one leads back to the first, and that to the sender.
#[test]
fn a_chain_of_forwarders_leads_back() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let settings = settings_with_return_paths(folder.path(), &sink, "srs");
    let second = Relay::start(settings.clone().set("rewrite.alias_domain", "second.example"));
    let port = i64::from(second.smtp().port());
    let first = Relay::start(settings.set("outbound.1.smart_hosts.0.port", port));
    first.submit("ana@sender.example", &["bo@dest.example"], &letter("out", 300));
    let path = sink.wait_accepted(1)[0].sender.clone();
    assert!(path.starts_with("SRS1=") && path.ends_with("@second.example"), "{path}");
    assert_eq!(bounce(&second, "", &path).code, 250);
    let path = sink.wait_accepted(2)[1].recipients[0].clone();
    assert!(path.starts_with("SRS0=") && path.ends_with("ana@alias.example"), "{path}");
    assert_eq!(bounce(&first, "", &path).code, 250);
    assert_eq!(sink.wait_accepted(3)[2].recipients, ["ana@sender.example"]);
}

/// Secrets are read again at reload: an old one verifies as long as it is in the file.
#[test]
fn secrets_of_return_paths_are_replaced() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let relay = relay_with_return_paths(folder.path(), &sink, "verp");
    relay.submit("ana@sender.example", &["bo@dest.example"], &letter("out", 300));
    let path = sink.wait_accepted(1)[0].sender.clone();
    let secrets = folder.path().join("secrets");
    write_secret(&secrets, "another one that is the first\na secret that nobody guesses\n");
    relay.process().signal("HUP");
    relay.log_with("settings reloaded");
    assert_eq!(bounce(&relay, "", &path).code, 250);
    write_secret(&secrets, "another one that is the only\n");
    relay.process().signal("HUP");
    wait_until("the old secret to be forgotten", || {
        bounce(&relay, "", &path).text().contains("forged")
    });
}

/// What was made too long ago leads nowhere.
#[test]
fn return_paths_grow_old() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let settings = settings_with_return_paths(folder.path(), &sink, "verp");
    let relay = Relay::start(settings.set("rewrite.return_path_age_max", "1ms"));
    relay.submit("ana@sender.example", &["bo@dest.example"], &letter("out", 300));
    let path = sink.wait_accepted(1)[0].sender.clone();
    let reply = wait_for("the return path to grow old", || {
        Some(bounce(&relay, "", &path)).filter(|reply| reply.code == 550)
    });
    assert!(reply.text().contains("the rewritten sender is too old"), "{reply:?}");
}

/// What return paths and suffixes lack is told before the relay starts.
#[test]
fn what_rewriting_lacks_is_told() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let good = settings_with_return_paths(folder.path(), &sink, "srs");
    let secrets = folder.path().join("short");
    write_secret(&secrets, "short\n");
    let without = Settings::towards(sink.address()).set("outbound.0.return_path", "srs");
    let suffix = Settings::towards(sink.address()).set("inbound.0.certified_suffix", "a b");
    for (settings, words) in [
        (without.clone(), "set `alias_domain` in [rewrite]"),
        (suffix, "inbound.certified_suffix: `a b` is not the name of a domain"),
        (without, "name it as `secrets_file` in [rewrite]"),
        (good.clone().set("rewrite.secrets_file", "/nowhere/secrets"), "cannot be read"),
        (good.set("rewrite.secrets_file", secrets.display().to_string()), "shorter than 16 octets"),
    ] {
        let mut relay = Relay::stopped(settings);
        relay.spawn();
        assert_eq!(relay.wait_end().code(), Some(78));
        assert!(relay.log().contains(words), "{words}: {}", relay.log());
    }
}

/// Each recipient has a return path of its own in the alias domain, which says what came back and to whom it goes.
#[test]
fn da_17_a_bounce_says_which_message_and_recipient_it_is_about() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let relay = relay_with_return_paths(folder.path(), &sink, "verp");
    let recipients = ["bo@dest.example", "cy@dest.example", "dan@other.example"];
    relay.submit("ana@sender.example", &recipients, &letter("out", 300));
    let received = sink.wait_accepted(3);
    let find = |recipient: &str| {
        let mut all = received.iter();
        all.find(|it| it.recipients == [recipient]).expect("a message of its own")
    };
    assert_eq!(find("dan@other.example").sender, "ana@sender.example");
    let paths = ["bo@dest.example", "cy@dest.example"].map(|it| find(it).sender.clone());
    assert_ne!(paths[0], paths[1]);
    for path in &paths {
        assert!(path.starts_with("b=") && path.ends_with("@alias.example"), "{path}");
    }
    // Hosts may change the case.
    assert_eq!(bounce(&relay, "", &paths[1].to_lowercase()).code, 250);
    assert_eq!(sink.wait_accepted(4)[3].recipients, ["ana@sender.example"]);
    let log = relay.log_with("bounce for a sender");
    let line = log.lines().find(|line| line.contains("bounce for a sender")).expect("a line");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["recipient"], 1, "{line}");
    let about = line["about"].as_str().expect("a message");
    let accepted = log.lines().find(|line| line.contains("message accepted")).expect("a line");
    assert!(accepted.contains(&format!(r#""message":"{about}"#)), "{about} {accepted}");
    let reply = bounce(&relay, "", &paths[0].replace("=ana@", "=eve@"));
    assert_eq!((reply.code, reply.text().contains("is forged")), (550, true), "{reply:?}");
}

/// Where each recipient has a transaction of its own, each outcome is written down as it comes: a kill in the midst has
/// nobody sent to a second time whose outcome was written, and each gets it in the end.
#[test]
fn a_kill_in_the_midst_of_many_transactions_sends_nothing_twice() {
    const TAKEN: usize = 60;
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    // The next one is never answered, so the attempt goes on.
    let dots = AtomicUsize::new(0);
    sink.set_script(move |event| match event.stage {
        Stage::Dot if dots.fetch_add(1, Ordering::Relaxed) == TAKEN => Act::Stall,
        _ => Act::Go,
    });
    let mut relay = relay_with_return_paths(folder.path(), &sink, "verp");
    let recipients: Vec<_> = (0..100).map(|number| format!("r{number}@dest.example")).collect();
    let named: Vec<_> = recipients.iter().map(String::as_str).collect();
    relay.submit("ana@sender.example", &named, &letter("news", 300));
    sink.wait_accepted(TAKEN);
    let id = wait_for("the message", || {
        let list = relay.cli_json(&["queue", "list"]);
        Some(list["messages"][0]["id"].as_str()?.to_owned())
    });
    wait_until("the outcomes of those that were taken", || {
        let shown = relay.cli_json(&["queue", "show", &id]);
        let all = shown["recipients"].as_array().expect("recipients").iter();
        all.filter(|it| it["state"] == "delivered").count() == TAKEN
    });
    assert_eq!(relay.cli_json(&["status"])["queue"]["in_flight"], 1, "it is under way");
    relay.kill();
    sink.set_script(|_| Act::Go);
    relay.restart();
    let received = sink.wait_accepted(recipients.len());
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    let mut got: Vec<_> = received.iter().flat_map(|it| it.recipients.clone()).collect();
    got.extend(sink.accepted().iter().skip(received.len()).flat_map(|it| it.recipients.clone()));
    let mut wanted = recipients;
    got.sort();
    wanted.sort();
    assert_eq!(got, wanted, "each gets it once");
}

/// A next hop's refusal is told to the sender itself, whatever the return path was.
#[test]
fn the_relays_own_reports_go_to_the_sender() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    sink.set_script(|event| match event.stage {
        Stage::Rcpt if event.line.contains("nobody@") => say("550 5.1.1 nobody here"),
        _ => Act::Go,
    });
    let relay = relay_with_return_paths(folder.path(), &sink, "verp");
    relay.submit(
        "ana@sender.example",
        &["nobody@dest.example", "bo@dest.example"],
        &letter("x", 300),
    );
    let received = sink.wait_accepted(2);
    let report = received.iter().find(|message| message.sender.is_empty()).expect("a report");
    assert_eq!(report.recipients, ["ana@sender.example"]);
}

/// A customer's From is replaced where the customer's domain would have the mail refused, and stays where it would not.
#[test]
fn da_09_a_protected_from_of_somebody_else_is_replaced_or_refused() {
    let dns = Dns::start(&[
        ("_dmarc.strict.example", Record::Txt("v=DMARC1; p=reject".to_owned())),
        ("_dmarc.soft.example", Record::Txt("v=DMARC1; p=none".to_owned())),
        ("_dmarc.broken.example", Record::Failure),
    ]);
    let sink = Sink::start();
    let start = |what: &str| {
        let settings = Settings::towards(sink.address())
            .set("resolver.servers", vec![dns.address().to_string()])
            .set("rewrite.default_from", "tickets")
            .set("rewrite.alias_domain", "own.example")
            .set("rewrite.foreign_from", what);
        Relay::start(settings.push("domain", "name = \"org.example\""))
    };
    let content = |from: &str| format!("From: Carla <{from}>\r\nSubject: x\r\n\r\nBody\r\n");
    let relay = start("replace-protected");
    let route = |more: &[&str]| {
        let words = ["route", "--from", "c@strict.example", "--to", "a@x.example"];
        relay.asked(&[&words[..], more].concat())
    };
    assert_eq!(route(&[])["needs_dmarc_of"], "strict.example");
    assert_eq!(route(&["--dmarc", "reject"])["from"], "tickets@own.example");
    assert_eq!(route(&["--dmarc", "none"])["from"], "c@strict.example");
    let mut session = relay.session();
    let mut send = |from: &str| {
        let reply = session.deliver("app@own.example", &["a@x.example"], content(from).as_bytes());
        format!("{} {}", reply.code, reply.text())
    };
    for from in ["c@strict.example", "c@soft.example", "c@none.example", "c@mail.org.example"] {
        assert!(send(from).starts_with("250"), "{from}");
    }
    let reply = send("c@broken.example");
    assert!(reply.starts_with("451 4.4.3 the DMARC policy of broken.example"), "{reply}");
    let all = sink.wait_accepted(4);
    let header_of = |from: &str| {
        let texts = all.iter().map(|it| String::from_utf8_lossy(&it.content).into_owned());
        texts.into_iter().find(|it| it.contains(from)).unwrap()
    };
    let replaced = header_of("c@strict.example");
    assert!(replaced.contains("From: \"Carla\" <tickets@own.example>"), "{replaced}");
    assert!(replaced.contains("Reply-To: \"Carla\" <c@strict.example>"), "{replaced}");
    for from in ["c@soft.example", "c@none.example", "c@mail.org.example"] {
        assert!(header_of(from).contains(&format!("From: Carla <{from}>")));
    }
    let relay = start("refuse-protected");
    let mut session = relay.session();
    let reply = session.deliver(
        "app@own.example",
        &["a@x.example"],
        content("c@strict.example").as_bytes(),
    );
    assert_eq!(reply.code, 550);
    assert!(reply.text().contains("lets nobody else send in its name"), "{reply:?}");
}
