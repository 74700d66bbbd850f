//! What peers and operators say stays one value where it is told again: in headers, reports, replies and the log.

use std::process::Command;

use serde_json::Value;

use crate::harness::letter::letter;
use crate::harness::process::run;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::Smtp;
use crate::harness::wait::wait_until;

/// What would show if a value became more than one.
const EVIL: [&str; 3] = ["\r\nX-Evil", "\nX-Evil", "\rX-Evil"];

/// Each line is one object, none was made by a peer, and none holds what turns or ends a line.
#[track_caller]
fn assert_log_is_whole(log: &str) {
    let (whole, _) = log.rsplit_once('\n').expect("a line");
    for line in whole.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
        assert_ne!(event["event"], "forged", "{line}");
        for value in event.as_object().expect("an object").values() {
            let text = value.as_str().unwrap_or_default();
            let is_bad = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
            assert!(!text.contains(is_bad), "{line}");
        }
    }
}

/// ENVID, ORCPT and AUTH= are decoded, and what is decoded must not end a line of a header, a report or a command.
#[test]
fn no_parameter_writes_a_line() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let mut session = relay.session();
    let mut taken = 0;
    for value in [
        "a+0D+0AX-Evil:+20x",
        "a+0AX-Evil:+20x",
        "a+0DX-Evil:+20x",
        "+0D+0A.+0D+0AX-Evil:",
        "a+00b",
        "a+1B[2J",
        "a%0D%0AX-Evil",
        "a+0",
        "a+zz",
        "a\u{2028}X-Evil",
        "plain",
    ] {
        for (mail, rcpt) in [
            (format!("ENVID={value}"), String::new()),
            (format!("AUTH={value}@a.example"), String::new()),
            (String::new(), format!("ORCPT=rfc822;{value}@a.example")),
            (String::new(), format!("ORCPT={value};b@a.example")),
            (String::new(), format!("ORCPT=utf-8;\\x{{D}}\\x{{A}}{value}@a.example")),
        ] {
            session.expect("RSET", 250);
            let mail = session.command(&format!("MAIL FROM:<ana@sender.example> {mail}"));
            assert!(matches!(mail.code, 250 | 501 | 553 | 555 | 500), "{value}: {mail:?}");
            if mail.code != 250 {
                continue;
            }
            let words = format!("RCPT TO:<bo@receiver.example> NOTIFY=SUCCESS {rcpt}");
            let reply = session.command(words.trim_end());
            assert!(matches!(reply.code, 250 | 501 | 553 | 500), "{value}: {reply:?}");
            assert_eq!(reply.lines.len(), 1, "{reply:?}");
            if reply.code == 250 {
                session.expect("DATA", 354);
                session.send(&letter("x", 300));
                session.send(b".\r\n");
                assert_eq!(session.read_reply().code, 250);
                taken += 1;
            }
            // Each fault counts against a session.
            session = relay.session();
        }
    }
    assert!(taken >= 4, "the plain ones are taken");
    // Each is passed on and reported, since the next hop tells nobody.
    let all = sink.wait_accepted(2 * taken);
    for message in &all {
        let text = String::from_utf8_lossy(&message.content).into_owned();
        assert!(!EVIL.iter().any(|evil| text.contains(evil)), "{text}");
        let odd = text.chars().find(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t'));
        assert_eq!(odd, None, "{text}");
        assert!(!message.mail_parameters.contains(char::is_control));
    }
    sink.assert_clean();
    assert_log_is_whole(&relay.log_with("message accepted"));
}

/// What a proxy says of its client stands in the log and the trace field, and is no more than that.
#[test]
fn no_word_of_a_proxy_writes_a_line() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("listener.0.xclient_networks", vec!["127.0.0.1"])
        .set("listener.0.bad_commands_max", 1000)
        .push(
            "listener",
            "name = \"proxied\"\naddress = \"127.0.0.1:0\"\nproxy_networks = [\"127.0.0.1\"]",
        )
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.0/8", "192.0.2.0/24"]);
    let relay = Relay::start(settings);
    let mut session = relay.session();
    for value in [
        "a+0D+0AX-Evil:+20x",
        "a+0Ab",
        "a+20b",
        "a+00",
        "a+1B[2J",
        "{\"event\":\"forged\"}",
        "a);(b",
        "a;X-Evil:x",
        "\"a\\",
        "+22+0D+0A{+22event+22:+22forged+22}",
        "a+E2+80+A8b",
    ] {
        for attribute in ["NAME", "HELO", "LOGIN"] {
            session = relay.session();
            let words = format!("XCLIENT ADDR=192.0.2.7 {attribute}={value}");
            let reply = session.command(&words);
            assert!(matches!(reply.code, 220 | 501), "{words}: {reply:?}");
            assert_eq!(reply.lines.len(), 1, "{reply:?}");
            if reply.code == 220 {
                session.expect("EHLO proxy.test", 250);
                let content = letter("x", 300);
                let reply =
                    session.deliver("ana@sender.example", &["bo@receiver.example"], &content);
                assert_eq!(reply.code, 250, "{words}: {reply:?}");
            }
        }
    }
    for header in [
        "PROXY TCP4 192.0.2.7\r\nX-Evil: 198.51.100.2 1 25\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.2 1 25\nX-Evil: x\r\n",
        "PROXY UNKNOWN {\"event\":\"forged\"}\r\n",
        "PROXY \u{1b}[2J\r\n",
    ] {
        let mut proxied = Smtp::connect(relay.listener("proxied")).expect("a connection");
        proxied.try_send(header.as_bytes()).ok();
        // Closed, or greeted as nobody's: never with the words.
        if let Ok(reply) = proxied.try_read_reply() {
            assert!(
                !reply.text().contains("Evil") && !reply.text().contains("forged"),
                "{reply:?}"
            );
        }
    }
    drop(session);
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    for message in sink.accepted() {
        let text = String::from_utf8_lossy(&message.content).into_owned();
        assert!(!EVIL.iter().any(|evil| text.contains(evil)), "{text}");
        let mut trace = text.split_inclusive("\r\n");
        assert!(trace.next().is_some_and(|line| line.starts_with("Received: from ")), "{text}");
        assert!(trace.next().is_some_and(|line| line.starts_with('\t')), "{text}");
    }
    sink.assert_clean();
    assert_log_is_whole(&relay.log_with("client told by a proxy"));
}

/// What the control socket is asked cannot write into its answer's header, nor into the log.
#[test]
fn no_field_of_the_control_api_writes_a_line() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let socket = relay.folder().join("admin.sock");
    let ask = |path: &str, body: Option<&str>| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--unix-socket"]).arg(&socket);
        command.arg("--path-as-is").arg(format!("http://relay{path}"));
        if let Some(body) = body {
            command.args(["--header", "Content-Type: application/json", "--data-binary", body]);
        }
        let answer = run(command, b"").succeeded();
        let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(!head.contains("X-Evil"), "{answer}");
        head.lines().next().unwrap_or_default().to_owned()
    };
    let evil = "x%0d%0aX-Evil:%20y%0a%7b%22event%22:%22forged%22%7d";
    for path in [
        format!("/v1/messages/{evil}"),
        format!("/v1/queue?destination={evil}"),
        format!("/v1/queue?limit={evil}"),
        format!("/{evil}"),
    ] {
        let status = ask(&path, None);
        assert!(!status.contains(" 5"), "{path}: {status}");
    }
    let evil = "x\\r\\nX-Evil: y\\n{\\\"event\\\":\\\"forged\\\"}\\u2028\\u001b[2J";
    for (path, body) in [
        ("/v1/queue/cancel", format!("{{\"messages\":[\"{evil}\"]}}")),
        ("/v1/queue/cancel", format!("{{\"{evil}\":1}}")),
        ("/v1/queue/retry", format!("{{\"destination\":\"{evil}\"}}")),
        ("/v1/queue/retry", format!("{{\"messages\":[\"{evil}\"]}}")),
        ("/v1/logins/unban", format!("{{\"account\":\"{evil}\"}}")),
        ("/v1/logins/unban", format!("{{\"login\":\"{evil}\",\"client\":\"{evil}\"}}")),
    ] {
        let status = ask(path, Some(&body));
        assert!(!status.contains(" 5"), "{path} {body}: {status}");
    }
    // Something that is surely logged later.
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("later", 300));
    assert_log_is_whole(&relay.log_with("message accepted"));
}
