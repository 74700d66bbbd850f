//! Applications as next hops: replies in their threads are handed to them, and their followers get copies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::accounts::write_secret;
use crate::harness::application::{Application, Posted};
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Received, Sink, Stage, say};
use crate::harness::smtp::{Reply, Smtp};
use crate::harness::wait::wait_until;

const TICKET: &[u8] =
    b"From: Desk <desk@own.example>\r\nTo: ana@x.example\r\nReply-To: nobody@own.example\r\n\
      X-Chasqui-Thread: Ticket-4711\r\nX-Letter: ticket\r\n\r\nHow may we help?\r\n";

/// A relay whose only client at 127.0.0.1 is an application; all other mail goes to `sink`.
fn settings(folder: &Path, sink: &Sink, application: &str) -> Settings {
    let secrets = folder.join("secrets");
    write_secret(&secrets, "a secret that nobody guesses\n");
    let desk = format!(
        "name = \"desk\"\nrecipient_domains = [\"desk.example\"]\n\
         [application]\naddress = \"reply@desk.example\"\n{application}"
    );
    Settings::towards(sink.address())
        .set("rewrite.secrets_file", secrets.display().to_string())
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.1".to_owned()])
        .set("inbound.0.threads", "desk")
        .push("outbound", &desk)
}

fn with_url(folder: &Path, sink: &Sink, application: &Application) -> Settings {
    settings(folder, sink, &format!("url = \"{}\"", application.address()))
}

/// Somebody who may not relay.
fn stranger(relay: &Relay) -> Smtp {
    let address = "127.0.0.9".parse().expect("an address");
    let mut session = Smtp::connect_from(address, relay.smtp()).expect("a connection");
    assert_eq!(session.read_reply().code, 220);
    session.expect("EHLO stranger.example", 250);
    session
}

/// Mail of somebody who may not relay.
fn from_outside(relay: &Relay, sender: &str, recipient: &str, content: &str) -> Reply {
    stranger(relay).deliver(sender, &[recipient], content.as_bytes())
}

/// The value of a field of what came, on one line.
fn field(message: &Received, name: &str) -> String {
    let text = String::from_utf8_lossy(&message.content).into_owned();
    let header = text.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n\t", " ");
    let mut lines = header.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(field, _)| field.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

/// The address that replies to the ticket go to.
fn reply_address(relay: &Relay, sink: &Sink) -> String {
    relay.submit("desk@own.example", &["ana@x.example"], TICKET);
    let ticket = sink.wait_accepted(1).remove(0);
    let address = field(&ticket, "Reply-To").trim_matches(['<', '>']).to_owned();
    assert!(
        address.starts_with("reply+ticket-4711.") && address.ends_with("@desk.example"),
        "{address}"
    );
    assert_eq!(field(&ticket, "X-Chasqui-Thread"), "");
    address
}

fn followers(all: &[&str]) -> String {
    serde_json::json!({ "followers": all }).to_string()
}

/// A reply from anywhere finds its thread: the application gets it as it came, and the followers whom it names get copies,
/// from the thread, that come to nobody twice.
#[test]
fn da_18_a_reply_goes_to_the_application_and_to_followers() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let application = Application::start(|post: &Posted| match post.field("x-chasqui-thread") {
        "ticket-4711" => (
            200,
            followers(&[
                "bo@y.example",
                "ana@x.example",
                "cy@y.example",
                "reply+1.x@desk.example",
                "BO@y.example",
            ]),
        ),
        _ => (500, "no such thread".to_owned()),
    });
    let token = folder.path().join("token");
    let key = folder.path().join("key");
    write_secret(&token, "open sesame\n");
    write_secret(&key, "key\n");
    let relay = Relay::start(
        with_url(folder.path(), &sink, &application)
            .set("outbound.1.application.token_file", token.display().to_string())
            .set("outbound.1.application.signature_key_file", key.display().to_string()),
    );
    let to = reply_address(&relay, &sink);
    let reply = format!(
        "From: Ana <ana@x.example>\r\nTo: Desk <{to}>\r\nCc: cy@y.example\r\nX-Letter: reply\r\n\r\nIt is broken.\r\n"
    );
    // Two spellings of one address are one thread.
    let mut session = stranger(&relay);
    let recipients = [to.as_str(), &to.to_uppercase()];
    assert_eq!(session.deliver("ana@x.example", &recipients, reply.as_bytes()).code, 250);
    let copy = sink.wait_accepted(2).remove(1);
    let post = application.posted().remove(0);
    for (name, want) in [
        ("content-type", "message/rfc822"),
        ("authorization", "Bearer open sesame"),
        ("x-chasqui-sender", "ana@x.example"),
        ("x-chasqui-recipient", to.as_str()),
        ("x-chasqui-automatic", ""),
        ("x-chasqui-tries", "0"),
    ] {
        assert_eq!(post.field(name), want, "{name}");
    }
    assert!(post.body.starts_with("Received: ") && post.body.ends_with(&reply), "{post:?}");
    assert!(post.field("x-chasqui-signature").starts_with("t="), "{post:?}");

    assert_eq!(
        (copy.recipients.as_slice(), copy.sender.as_str()),
        (&["bo@y.example".to_owned()][..], to.as_str())
    );
    for (name, want) in [
        ("From", format!("\"Ana\" <{to}>")),
        ("Reply-To", format!("<{to}>")),
        ("X-Original-From", "Ana <ana@x.example>".to_owned()),
        ("List-Id", "<reply.desk.example>".to_owned()),
        ("Precedence", "list".to_owned()),
    ] {
        assert_eq!(field(&copy, name), want, "{name}");
    }
    assert!(copy.content.ends_with(b"\r\n\r\nIt is broken.\r\n"));
    let log = relay.log_with("copy for followers stored");
    assert!(log.contains("taken by the application (HTTP 200)"), "{log}");
    assert_eq!(application.posted().len(), 1);
    // Nothing is left, and nothing went to anybody else.
    relay.log_with("bo@y.example");
    let said = relay.cli_json(&["status"]);
    assert_eq!(said["queue"]["messages"], 0, "{said}");
    assert_eq!(sink.accepted().len(), 2);
}

/// What a program wrote goes to the application and to no follower; a follower's own answer does.
#[test]
fn da_18_copies_do_not_go_round_in_circles() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let application = Application::start(|_| (200, followers(&["bo@y.example", "ana@x.example"])));
    let relay = Relay::start(with_url(folder.path(), &sink, &application));
    let to = reply_address(&relay, &sink);
    let person = "From: Ana <ana@x.example>\r\nX-Letter: reply\r\n\r\nhello\r\n";
    assert_eq!(from_outside(&relay, "ana@x.example", &to, person).code, 250);
    let copy = sink.wait_accepted(2).remove(1);
    // The follower's program answers, forwards the copy, and its host sends a report.
    let forwarded = String::from_utf8_lossy(&copy.content).into_owned();
    for (count, (sender, content, why)) in [
        (
            "bo@y.example",
            "Auto-Submitted: auto-replied\r\nFrom: bo@y.example\r\n\r\naway\r\n",
            "auto-submitted",
        ),
        ("bo@y.example", forwarded.as_str(), "loop"),
        ("", "From: daemon@y.example\r\n\r\nno such user\r\n", "report"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(from_outside(&relay, sender, &to, content).code, 250, "{why}");
        let post = application.wait_posted(count + 2).remove(count + 1);
        assert_eq!(post.field("x-chasqui-automatic"), why);
        relay.log_with(&format!(r#""why":"{why}""#));
    }
    // Bo answers the copy: Ana hears of it, and not Bo.
    let answer = "From: Bo <bo@y.example>\r\nX-Letter: answer\r\n\r\nmend it\r\n";
    assert_eq!(
        from_outside(
            &relay,
            "bo@y.example",
            &field(&copy, "Reply-To").replace(['<', '>'], ""),
            answer
        )
        .code,
        250
    );
    let received = sink.wait_accepted(3);
    assert_eq!(received[2].recipients, ["ana@x.example"]);
    assert_eq!(received.len(), 3);
}

/// Only addresses that the relay has made lead to a thread, and only mail of the application's own connector makes one.
#[test]
fn threads_cannot_be_made_up() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let application = Application::start(|_| (200, String::new()));
    let settings = with_url(folder.path(), &sink, &application);
    let relay = Relay::start(settings.clone());
    let to = reply_address(&relay, &sink);
    let forged = to.replace("4711", "4712");
    let reply = from_outside(&relay, "eve@x.example", &forged, "\r\n");
    assert_eq!(
        (reply.code, reply.text().contains("was changed on the way or made up")),
        (550, true),
        "{reply:?}"
    );
    // `route` says the same as RCPT.
    let route = |to: &str| {
        relay.cli(&["route", "--ip", "127.0.0.9", "--from", "ana@x.example", "--to", to])
    };
    let good = route(&to).succeeded();
    assert!(
        good.contains("goes by `desk`") && good.contains("the application at http://"),
        "{good}"
    );
    let bad = route(&forged);
    assert!(!bad.status.success() && bad.stdout.contains("550 5.1.1"), "{bad:?}");
    // Nobody can, whoever it is.
    let reply = relay.session().deliver("desk@own.example", &[&forged], b"\r\n");
    assert_eq!((reply.code, reply.text().contains("made up")), (550, true), "{reply:?}");
    let reply = from_outside(&relay, "eve@x.example", "reply@desk.example", "\r\n");
    assert_eq!(
        (reply.code, reply.text().contains("Relay access denied")),
        (550, true),
        "{reply:?}"
    );
    // The application's own mail may begin a thread, and names one that there can be.
    relay.submit("desk@own.example", &["reply@desk.example"], b"Subject: new\r\n\r\nnew\r\n");
    let post = application.wait_posted(1).remove(0);
    assert_eq!(
        (post.field("x-chasqui-thread"), post.field("x-chasqui-recipient")),
        ("", "reply@desk.example")
    );
    let mut session = relay.session();
    let reply =
        session.deliver("desk@own.example", &["ana@x.example"], b"X-Chasqui-Thread: a b\r\n\r\n");
    assert_eq!((reply.code, reply.text().contains("letters, digits")), (550, true), "{reply:?}");
    session.quit();

    let open = Relay::start(settings.set("outbound.1.application.takes_new_threads", true));
    let reply = from_outside(&open, "ana@x.example", "Reply@Desk.example", "Subject: help\r\n\r\n");
    assert_eq!(reply.code, 250);
    assert_eq!(application.wait_posted(2)[1].field("x-chasqui-thread"), "");
    // An application that is off takes nothing, and nobody else does in its place.
    let off = Relay::start(open.settings().clone().set("outbound.1.enabled", false));
    for address in [to.as_str(), "reply@desk.example"] {
        let reply = from_outside(&off, "ana@x.example", address, "\r\n");
        assert_eq!(
            (reply.code, reply.text().contains("takes no mail now")),
            (451, true),
            "{reply:?}"
        );
    }
    // A thread of another relay's secret is none here.
    let other = tempfile::tempdir().expect("a folder");
    let secrets = other.path().join("secrets");
    write_secret(&secrets, "a secret of somebody else\n");
    let settings =
        open.settings().clone().set("rewrite.secrets_file", secrets.display().to_string());
    let stranger = Relay::start(settings);
    assert_eq!(from_outside(&stranger, "ana@x.example", &to, "\r\n").code, 550);
}

/// What the application cannot take now waits; what it does not want goes back to its sender; what it took is not lost
/// with the relay, nor are the copies.
#[test]
fn an_application_that_fails_keeps_nobodys_mail() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let is_up = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_up);
    let application = Application::start(move |post| {
        if !seen.load(Ordering::SeqCst) {
            (503, "in maintenance".to_owned())
        } else if post.body.contains("X-Letter: odd") {
            (422, "ticket is closed".to_owned())
        } else if post.body.contains("X-Letter: garbled") {
            (200, r#"{"followers": 3}"#.to_owned())
        } else {
            (200, followers(&["bo@y.example"]))
        }
    });
    let mut relay = Relay::start(with_url(folder.path(), &sink, &application));
    let to = reply_address(&relay, &sink);
    let letter = |id: &str| format!("From: ana@x.example\r\nX-Letter: {id}\r\n\r\nhello\r\n");
    assert_eq!(from_outside(&relay, "ana@x.example", &to, &letter("good")).code, 250);
    assert!(
        relay.log_with("in maintenance").contains("did not take it (HTTP 503): in maintenance")
    );
    relay.kill();
    is_up.store(true, Ordering::SeqCst);
    // Followers' host is down: the copy waits in the spool, whatever happens to the relay.
    sink.set_script(|event| match event.stage {
        Stage::Rcpt if event.line.contains("bo@y.example") => say("451 4.2.0 later"),
        _ => crate::harness::sink::Act::Go,
    });
    relay.restart();
    relay.log_with("copy for followers stored");
    relay.log_with("451 4.2.0 later");
    relay.kill();
    let posts = application.posted().len();
    sink.set_script(|_| crate::harness::sink::Act::Go);
    relay.restart();
    let copy = sink.wait_accepted(2).remove(1);
    assert_eq!(
        (copy.id().as_deref(), copy.recipients.as_slice()),
        (Some("good"), &["bo@y.example".to_owned()][..])
    );
    assert_eq!(application.posted().len(), posts, "it was handed over again");

    assert_eq!(from_outside(&relay, "ana@x.example", &to, &letter("odd")).code, 250);
    let report = sink.wait_accepted(3).remove(2);
    assert_eq!(
        (report.sender.as_str(), report.recipients.as_slice()),
        ("", &["ana@x.example".to_owned()][..])
    );
    let text = String::from_utf8_lossy(&report.content).into_owned();
    assert!(text.contains("ticket is closed"), "{text}");

    // What was taken is taken, whatever is answered besides.
    let posts = application.posted().len();
    assert_eq!(from_outside(&relay, "ana@x.example", &to, &letter("garbled")).code, 250);
    relay.log_with("answer of the application passed over");
    relay.log_with("taken by the application (HTTP 200)");
    assert_eq!(application.posted().len(), posts + 1);
}

/// A program takes the place of a host: what it says by its exit code counts, and no shell sees what it is told.
#[test]
fn a_program_gets_messages_on_its_standard_input() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let (program, got) = (folder.path().join("gate"), folder.path().join("got"));
    let text = format!(
        "#!/bin/sh\ncat > '{0}.new'\nprintf '%s\\n' \"$@\" >> '{0}.new'\nmv '{0}.new' '{0}'\n\
         grep -q 'X-Letter: later' '{0}' && {{ echo 'try again' >&2; exit 75; }}\n\
         grep -q 'X-Letter: odd' '{0}' && {{ echo 'who is that?' >&2; exit 67; }}\n\
         echo '{{\"followers\": [\"bo@y.example\"]}}'\n",
        got.display()
    );
    fs::write(&program, text).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    let command = format!(
        "command = [\"{}\", \"--of={{sender}}\", \"{{thread}}\", \"{{sender}}\"]",
        program.display()
    );
    let relay = Relay::start(settings(folder.path(), &sink, &command));
    let to = reply_address(&relay, &sink);
    let letter = |id: &str| format!("From: ana@x.example\r\nX-Letter: {id}\r\n\r\nhello\r\n");
    let sender = "$HOME'`id`|{thread}@x.example";
    assert_eq!(from_outside(&relay, sender, &to, &letter("good")).code, 250);
    let copy = sink.wait_accepted(2).remove(1);
    assert_eq!(
        (copy.id().as_deref(), copy.recipients.as_slice()),
        (Some("good"), &["bo@y.example".to_owned()][..])
    );
    let got = fs::read_to_string(&got).expect("what it got");
    assert!(got.ends_with(&format!("hello\r\n--of={sender}\nticket-4711\n{sender}\n")), "{got}");

    assert_eq!(from_outside(&relay, "ana@x.example", &to, &letter("later")).code, 250);
    assert!(relay.log_with("try again").contains("did not take it (exit code 75): try again"));
    assert_eq!(from_outside(&relay, "ana@x.example", &to, &letter("odd")).code, 250);
    assert_eq!(from_outside(&relay, "-oops@x.example", &to, &letter("dash")).code, 250);
    let reports: Vec<_> = sink.wait_accepted(4).into_iter().skip(2).collect();
    let text = |of: &str| {
        let report = reports.iter().find(|it| it.recipients == [of]).expect("a report");
        let text = String::from_utf8_lossy(&report.content).into_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(text("ana@x.example").contains("who is that?"));
    assert!(text("-oops@x.example").contains("begins with a hyphen"));
}

/// A program that is too slow is killed with all that it has begun; what it leaves behind once it has ended counts for nothing.
#[test]
fn a_program_that_does_not_end_is_killed() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let (program, begun) = (folder.path().join("gate"), folder.path().join("begun"));
    let text = format!(
        "#!/bin/sh\nif grep -q 'X-Letter: quick'; then sleep 5 & exit 0; fi\nsleep 60 &\necho $! >> '{}'\nwait\n",
        begun.display()
    );
    fs::write(&program, text).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    let command = format!("command = [\"{}\"]\nanswer_wait_max = \"2s\"", program.display());
    let relay = Relay::start(settings(folder.path(), &sink, &command));
    let to = reply_address(&relay, &sink);
    let letter = |id: &str| format!("From: ana@x.example\r\nX-Letter: {id}\r\n\r\nhello\r\n");
    assert_eq!(from_outside(&relay, "ana@x.example", &to, &letter("quick")).code, 250);
    relay.log_with("taken by the application (exit code 0)");
    assert_eq!(from_outside(&relay, "ana@x.example", &to, &letter("slow")).code, 250);
    relay.log_with("the application took longer than 2s");
    let all = fs::read_to_string(&begun).expect("what it has begun");
    let first = all.lines().next().expect("a process").to_owned();
    wait_until("what it had begun to be gone", || {
        fs::read(format!("/proc/{first}/cmdline")).map_or(true, |words| words.is_empty())
    });
}

/// A test of the connector looks whether anybody is there, and hands nothing over.
#[test]
fn an_application_is_tried_without_a_message() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let status = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&status);
    let application = Application::start(move |_| {
        (if seen.load(Ordering::SeqCst) { 405 } else { 401 }, String::new())
    });
    let relay = Relay::start(with_url(folder.path(), &sink, &application));
    let words =
        ["connector", "test", "desk", "--from", "ana@x.example", "--to", "reply@desk.example"];
    let test = || relay.cli(&words);
    let good = test().succeeded();
    assert!(good.contains("application") && good.contains("answers HTTP 405 to HEAD"), "{good}");
    status.store(false, Ordering::SeqCst);
    let bad = test();
    assert!(!bad.status.success() && bad.stdout.contains("does not take the token"), "{bad:?}");
    let posts = application.posted();
    assert!(posts.len() == 2 && posts.iter().all(|post| post.body.is_empty()), "{posts:?}");
}

/// What an application lacks is told before the relay starts, with its place.
#[test]
fn what_an_application_lacks_is_told() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::start());
    let good = settings(folder.path(), &sink, "url = \"http://127.0.0.1:9/\"");
    let at = |key: &str, value: &str| good.clone().set(&format!("outbound.1.{key}"), value);
    let other = "name = \"crm\"\nrecipient_domains = [\"desk.example\"]\n[application]\n\
                 address = \"crm@desk.example\"\nurl = \"http://127.0.0.1:9/\"";
    for (settings, words) in [
        (at("application.url", "ftp://x/"), "outbound.application.url: is not an address such as"),
        (
            at("application.address", "reply"),
            "outbound.application.address: is not an address such as",
        ),
        (at("application.address", "a+b@desk.example"), "has a local part that is not of up to 20"),
        (at("application.address", "reply@other.example"), "is not other.example, the domain of"),
        (
            at("application.token_file", "/nowhere/token"),
            "outbound.application.token_file: /nowhere/token cannot be read",
        ),
        (
            good.clone().set("outbound.1.application.command", vec!["gate".to_owned()]),
            "stands beside `url`",
        ),
        (
            settings(folder.path(), &sink, "command = [\"/bin/cat\", \"{thred}\"]"),
            "outbound.application.command: `{thred}` is not known; write one of {message},",
        ),
        (at("return_path", "srs"), "outbound.return_path: has no effect beside `application`"),
        (
            good.clone().set("outbound.0.recipient_domains", vec!["desk.example".to_owned()]),
            "desk.example is that of the application at reply@desk.example",
        ),
        (
            good.clone().set("inbound.0.threads", "next-hop"),
            "no outbound connector `next-hop` with an `application`",
        ),
        (good.clone().push("outbound", other), "the address of another application"),
    ] {
        let mut relay = Relay::stopped(settings);
        relay.spawn();
        assert_eq!(relay.wait_end().code(), Some(78), "{words}");
        assert!(relay.log().contains(words), "{words}: {}", relay.log());
    }
}
