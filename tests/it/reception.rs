//! What the relay refuses: strangers, smugglers, floods.

use std::net::{IpAddr, Ipv4Addr};

use crate::harness::letter::letter;
use crate::harness::process::run;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::{Smtp, stuffed};
use crate::harness::tls::Certificate;
use crate::harness::wait::{wait_for, wait_until};

/// Of 127.0.0.0/8 only this address may relay.
const FRIEND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// A relay is nobody's to use but for the listed networks, however the address is spelt.
#[test]
#[expect(clippy::too_many_lines, reason = "a list of forms, one a line")]
fn strangers_cannot_relay() {
    let sink = Sink::start();
    let networks = toml::Value::Array(vec!["127.0.0.2/32".into(), "::1/128".into()]);
    let relay = Relay::start(
        Settings::towards(sink.address())
            .set("inbound.0.sender_ip_addresses", networks)
            .set("listener.0.bad_commands_max", 1000),
    );
    let open = |client| {
        let mut session = Smtp::connect_from(client, relay.smtp()).expect("a connection");
        assert_eq!(session.read_reply().code, 220);
        // A name proves nothing.
        session.expect("EHLO relay.test", 250);
        session
    };
    let mut session = open(STRANGER);
    for address in [
        "victim@other.example",
        "victim%other.example@relay.test",
        "other.example!victim@relay.test",
        "\"victim@other.example\"@relay.test",
        "@relay.test:victim@other.example",
        "victim@other.example@relay.test",
        "\"victim%other.example\"",
        "victim@[127.0.0.1]",
        "victim@[IPv6:::1]",
        "victim@localhost",
        "victim@relay.test",
        "victim",
        "@@",
        "victim@other.example.",
        "victim@OTHER.example",
        "@other.example,@relay.test:victim@other.example",
        "victim%other.example%relay.test@relay.test",
        "relay.test!other.example!victim@relay.test",
        "victim%other.example@[127.0.0.1]",
        "victim@[other.example]",
        "victim@[127.0.0.1].other.example",
        "victim@relay.test@other.example",
        "\"victim\"@other.example",
        "\"victim@other.example\"",
        "<victim@other.example>",
        "victim@other.example,ana@relay.test",
        "victim@@relay.test",
        "victim@other.example@",
        "postmaster",
        "postmaster@other.example",
        // Letters and dots that look like others.
        "victim@xn--thr-hna.example",
        "victim@оther.example",
        "victim@other。example",
        "victim@other．example",
        "víctim@other.example",
    ] {
        for sender in ["", "ana@relay.test", "postmaster@relay.test"] {
            let smtputf8 = if address.is_ascii() { "" } else { " SMTPUTF8" };
            session.expect(&format!("MAIL FROM:<{sender}>{smtputf8}"), 250);
            let reply = session.command(&format!("RCPT TO:<{address}>"));
            assert!((500..560).contains(&reply.code), "{address}: {reply:?}");
            let data = session.command("DATA");
            assert!((500..560).contains(&data.code), "{address}: {data:?}");
            session.expect("RSET", 250);
        }
    }
    session.expect("MAIL FROM:<>", 250);
    let reply = session.command("RCPT TO:<victim@other.example>");
    assert_eq!(reply.code, 550, "{reply:?}");
    assert!(reply.lines[0].starts_with("5.7.1 "), "{reply:?}");
    session.expect("RSET", 250);
    session.quit();
    let mut session = open(FRIEND);
    assert_eq!(
        session.deliver("ana@sender.example", &["bo@other.example"], &letter("friend", 300)).code,
        250
    );
    assert_eq!(sink.wait_accepted(1)[0].id().as_deref(), Some("friend"));
    assert_eq!(sink.accepted().len(), 1);
}

/// CVE-2023-51764 and its kin: only CRLF.CRLF ends the content, and no message with a bare CR or LF
/// leaves the relay, so it can neither be smuggled to nor through.
#[test]
fn nothing_is_smuggled_in_or_out() {
    let ends: [&[u8]; 18] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\n.\r",
        b"\r.\n",
        b"\r\r\n.\r\r\n",
        b"\n\n.\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\n\r",
        b"\n\r.\n\r",
        b"\r\n\0.\r\n",
        b"\0\r\n.\r\n\0",
        b"\n.\n\r\n",
        b"\r.\r\n\r\n",
        b"\r\n\r.\r\n",
    ];
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    for end in ends {
        let mut session = relay.session();
        session.expect("MAIL FROM:<ana@sender.example>", 250);
        session.expect("RCPT TO:<bo@receiver.example>", 250);
        session.expect("DATA", 354);
        session.send(b"Subject: outer\r\n\r\nbody");
        session.send(end);
        session.send(b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<victim@receiver.example>\r\nDATA\r\nSubject: inner\r\n\r\nevil\r\n.\r\nQUIT\r\n");
        let mut codes = Vec::new();
        while let Ok(reply) = session.try_read_reply() {
            codes.push(reply.code);
        }
        // One message at most, the outer one; a second would have been smuggled.
        let accepted = codes.iter().filter(|&&code| code == 250).count();
        assert!(accepted <= 1, "{}: {codes:?}", end.escape_ascii());
        assert!(!codes.contains(&354), "{}: {codes:?}", end.escape_ascii());
    }
    // The same through BDAT, which has no end to smuggle, but whose content goes out by DATA.
    for end in ends {
        let mut session = relay.session();
        session.expect("MAIL FROM:<ana@sender.example>", 250);
        session.expect("RCPT TO:<bo@receiver.example>", 250);
        let content =
            [b"Subject: outer\r\n\r\nbody".as_slice(), end, b"MAIL FROM:<evil@sender.example>\r\n"]
                .concat();
        session.send(format!("BDAT {} LAST\r\n", content.len()).as_bytes());
        session.send(&content);
        let reply = session.read_reply();
        let text = String::from_utf8_lossy(&content).replace("\r\n", "");
        let is_clean = !text.contains(['\r', '\n']);
        assert!(reply.code >= 500 || is_clean, "{}: {reply:?}", end.escape_ascii());
        session.quit();
    }
    relay.submit("ana@sender.example", &["last@receiver.example"], &letter("last", 300));
    wait_until("the last one", || {
        sink.accepted().iter().any(|message| message.id().as_deref() == Some("last"))
    });
    assert!(sink.all().iter().all(|message| message.sender != "evil@sender.example"));
    sink.assert_clean();
}

/// CVE-2011-0411: what stands behind STARTTLS in the clear is never taken for a command inside.
#[test]
fn nothing_is_injected_before_the_handshake() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let settings = Settings::towards(sink.address())
        .set("listener.0.tls", "starttls")
        .set("listener.0.certificate", certificate.certificate.display().to_string())
        .set("listener.0.key", certificate.key.display().to_string());
    let relay = Relay::start(settings);
    let mut session = relay.session();
    session.expect("STARTTLS now", 501);
    session.send(
        b"STARTTLS\r\nMAIL FROM:<evil@sender.example>\r\nRCPT TO:<victim@receiver.example>\r\n",
    );
    let first = session.read_reply();
    if first.code == 220 {
        assert!(session.is_closed(), "the connection goes on with injected commands");
    } else {
        assert!(first.code >= 500 || first.code == 421, "{first:?}");
    }
}

#[test]
fn a_listener_that_demands_tls_takes_nothing_in_the_clear() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let settings = Settings::towards(sink.address())
        .set("listener.0.tls", "starttls")
        .set("listener.0.requires_tls", true)
        .set("listener.0.certificate", certificate.certificate.display().to_string())
        .set("listener.0.key", certificate.key.display().to_string());
    let relay = Relay::start(settings);
    let mut session = relay.session();
    let reply = session.expect("MAIL FROM:<ana@sender.example>", 530);
    assert!(reply.lines[0].starts_with("5.7.0 "), "{reply:?}");
    session.quit();
}

/// A browser made to talk to us is hung up on.
#[test]
fn other_protocols_are_cut_off() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    for first in ["GET / HTTP/1.1", "POST / HTTP/1.1", "CONNECT relay.test:25 HTTP/1.1"] {
        let mut client = Smtp::connect(relay.smtp()).expect("a connection");
        assert_eq!(client.read_reply().code, 220);
        client.send(
            format!(
                "{first}\r\nHost: relay.test\r\n\r\nEHLO x\r\nMAIL FROM:<evil@sender.example>\r\n"
            )
            .as_bytes(),
        );
        assert!((500..560).contains(&client.read_reply().code), "{first}");
        assert!(client.is_closed(), "{first}");
    }
}

#[test]
fn each_limit_has_its_reply() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("listener.0.message_octets_max", "100KiB")
        .set("listener.0.recipients_max", 5)
        .set("listener.0.hops_max", 10)
        .set("listener.0.header_octets_max", "8KiB")
        .set("listener.0.bad_commands_max", 3)
        .set("listener.0.connections_per_client_max", 4);
    let relay = Relay::start(settings);
    let mut session = relay.session();
    // Too large, by declaration and by content.
    session.expect("MAIL FROM:<ana@sender.example> SIZE=200000", 552);
    assert_eq!(
        session
            .deliver("ana@sender.example", &["bo@receiver.example"], &letter("large", 200_000))
            .code,
        552
    );
    // Recipients beyond the limit may come in another transaction.
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    for number in 0..5 {
        session.expect(&format!("RCPT TO:<r{number}@receiver.example>"), 250);
    }
    session.expect("RCPT TO:<r6@receiver.example>", 452);
    session.expect("RSET", 250);
    // A loop, and a header without end.
    let hops = "Received: from a by b; Thu, 20 Aug 2026 10:00:00 +0000\r\n".repeat(12);
    let loops = format!("{hops}Subject: x\r\n\r\nbody\r\n");
    let reply = session.deliver("ana@sender.example", &["bo@receiver.example"], loops.as_bytes());
    assert!(reply.code == 554 && reply.lines[0].starts_with("5.4.6 "), "{reply:?}");
    let header = format!("{}\r\nbody\r\n", "X-Field: some value\r\n".repeat(600));
    assert_eq!(
        session.deliver("ana@sender.example", &["bo@receiver.example"], header.as_bytes()).code,
        552
    );
    // A command line without end does not end the session, too many mistakes do.
    session.send(&[b"NOOP ".as_slice(), &vec![b'x'; 100_000], b"\r\n"].concat());
    assert_eq!(session.read_reply().code, 500);
    session.expect("NOOP", 250);
    let codes: Vec<u16> =
        (0..4).map_while(|_| session.try_command("WHAT").ok().map(|reply| reply.code)).collect();
    assert!(codes.ends_with(&[421]) || session.is_closed(), "{codes:?}");
    drop(session);
    // The fifth connection of one client is told why.
    wait_until("the session's end", || {
        relay.metric_sum("chasqui_reception_connections") < 1.0
            || Smtp::try_open(relay.smtp()).is_ok()
    });
    let held: Vec<Smtp> = (0..4).map_while(|_| Smtp::try_open(relay.smtp()).ok()).collect();
    let mut fifth = Smtp::connect(relay.smtp()).expect("a connection");
    let reply = fifth.read_reply();
    assert!(reply.code == 421 && !held.is_empty(), "{reply:?}");
    assert!(sink.all().is_empty());
}

#[test]
fn silent_clients_are_sent_away() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("listener.0.idle_wait_max", "300ms")
        .set("listener.0.data_wait_max", "300ms")
        .set("listener.0.session_wait_max", "2s");
    let relay = Relay::start(settings);
    // Before EHLO, between commands, in the content.
    let mut silent = Smtp::connect(relay.smtp()).expect("a connection");
    assert_eq!(silent.read_reply().code, 220);
    assert_eq!(silent.read_reply().code, 421);
    assert!(silent.is_closed());
    let mut silent = relay.session();
    assert_eq!(silent.read_reply().code, 421);
    let mut silent = relay.session();
    silent.expect("MAIL FROM:<ana@sender.example>", 250);
    silent.expect("RCPT TO:<bo@receiver.example>", 250);
    silent.expect("DATA", 354);
    silent.send(b"Subject: half\r\n\r\nand then");
    assert_eq!(silent.read_reply().code, 421);
    assert!(silent.is_closed());
    // Whoever keeps talking meets the limit of the whole session.
    let mut busy = relay.session();
    let end = wait_for("the end of the session", || {
        let reply = busy.try_command("NOOP").map_or(0, |reply| reply.code);
        (reply != 250).then_some(reply)
    });
    assert_eq!(end, 421);
    assert!(sink.all().is_empty());
}

/// A client that goes away in the middle leaves nothing behind; one that comes with the dot is heard.
#[test]
fn a_cut_off_message_leaves_no_trace() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    for octets in [10_usize, 3000, 200_000] {
        let mut session = relay.session();
        session.expect("MAIL FROM:<ana@sender.example>", 250);
        session.expect("RCPT TO:<bo@receiver.example>", 250);
        session.expect("DATA", 354);
        let wire = stuffed(&letter("cut", 300_000));
        session.send(&wire[..octets]);
        drop(session);
    }
    let mut session = relay.session();
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    session.expect("RCPT TO:<bo@receiver.example>", 250);
    session.expect("DATA", 354);
    session.send(&stuffed(&letter("whole", 3000)));
    session.close_sending();
    assert_eq!(session.read_reply().code, 250);
    assert_eq!(sink.wait_accepted(1)[0].id().as_deref(), Some("whole"));
    wait_until("an empty spool", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_eq!(sink.all().len(), 1);
}

/// RFC 5321 §4.5.1: postmaster without a domain, in any case, is taken.
#[test]
fn postmaster_needs_no_domain() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let mut session = relay.session();
    for spelling in ["postmaster", "Postmaster", "POSTMASTER"] {
        session.expect("MAIL FROM:<ana@sender.example>", 250);
        session.expect(&format!("RCPT TO:<{spelling}>"), 250);
        session.expect("RSET", 250);
    }
    assert_eq!(
        session.deliver("ana@sender.example", &["Postmaster"], &letter("postmaster", 300)).code,
        250
    );
    assert_eq!(sink.wait_accepted(1)[0].id().as_deref(), Some("postmaster"));
}

/// Hundreds of silent connections do not keep others out.
#[test]
fn a_crowd_of_silent_connections_keeps_nobody_out() {
    let sink = Sink::start();
    let relay = Relay::start(
        Settings::towards(sink.address()).set("listener.0.connections_per_client_max", 250),
    );
    let crowd: Vec<Smtp> = (0..250)
        .map(|number| {
            let client =
                IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(number).expect("an octet")));
            Smtp::connect_from(client, relay.smtp()).expect("a connection")
        })
        .collect();
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("crowd", 300));
    sink.wait_accepted(1);
    drop(crowd);
}

/// Ten thousand clients that say nothing are all still served, and so is one more.
#[test]
fn ten_thousand_idle_clients_are_all_served() {
    const CLIENTS: usize = 10_000;
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("listener.0.connections_max", 11_000)
        .set("listener.0.backlog", 4096);
    let relay = Relay::start(settings);
    let mut crowd: Vec<Smtp> = (0..CLIENTS)
        .map(|number| {
            let last = u8::try_from(number / 100 + 1).expect("an octet");
            let client = IpAddr::V4(Ipv4Addr::new(127, 0, 2, last));
            let mut client = Smtp::connect_from(client, relay.smtp()).expect("a connection");
            assert_eq!(client.read_reply().code, 220);
            client
        })
        .collect();
    let open = "chasqui_reception_connections{listener=\"smtp\"}";
    wait_until("all are open", || relay.metric(open) > 9_999.5);
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("crowd", 300));
    for client in crowd.iter_mut().step_by(97) {
        client.expect("NOOP", 250);
    }
    drop(crowd);
    wait_until("all are gone", || relay.metric(open) < 0.5);
    sink.wait_accepted(1);
}

/// The most memory that the program has had so far, in KiB.
fn peak_memory(relay: &Relay) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.process().id()))
        .expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// A large message is streamed both ways and costs a bounded buffer.
#[test]
fn large_messages_cost_little_memory() {
    let sink = Sink::start();
    let relay =
        Relay::start(Settings::towards(sink.address()).set("spool.warm_octets_max", "8MiB"));
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("first", 100_000));
    sink.wait_accepted(1);
    let before = peak_memory(&relay);
    let content = letter("large", 45_000_000);
    for _ in 0..2 {
        relay.submit("ana@sender.example", &["bo@receiver.example"], &content);
    }
    sink.wait_accepted(3);
    let grown = peak_memory(&relay) - before;
    assert!(grown < 40_000, "{grown} KiB more for messages of 45 MB");
}

/// SIGHUP reads the certificates again; sessions go on.
#[test]
fn a_new_certificate_is_taken_without_a_restart() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let settings = Settings::towards(sink.address())
        .set("listener.0.tls", "implicit")
        .set("listener.0.certificate", certificate.certificate.display().to_string())
        .set("listener.0.key", certificate.key.display().to_string())
        .push("listener", "name = \"plain\"\naddress = \"127.0.0.1:0\"\ntls = \"none\"");
    let relay = Relay::start(settings);
    let mut session = Smtp::open(relay.listener("plain"));
    let shown = |relay: &Relay| {
        let script =
            "import ssl, sys; print(ssl.get_server_certificate((\"127.0.0.1\", int(sys.argv[1]))))";
        let mut command = std::process::Command::new("python3");
        command.args(["-c", script, &relay.smtp().port().to_string()]);
        run(command, b"").succeeded().trim().to_owned()
    };
    let on_disk = || {
        std::fs::read_to_string(&certificate.certificate)
            .expect("a file")
            .replace("\r\n", "\n")
            .trim()
            .to_owned()
    };
    let first = on_disk();
    assert_eq!(shown(&relay), first);
    // A broken file changes nothing.
    std::fs::write(&certificate.key, "nonsense").expect("a file");
    relay.process().signal("HUP");
    wait_until("a complaint", || {
        relay.log().lines().any(|line| line.contains("\"ERROR\"") || line.contains("\"WARN\""))
    });
    assert_eq!(shown(&relay), first);
    let reloads = |result: &str| {
        let family = format!("chasqui_config_reload_total{{result=\"{result}\"}}");
        relay.metric_sum(&family)
    };
    wait_until("a failure counted", || reloads("failed") > 0.5);
    assert!(reloads("ok") < 0.5);
    Certificate::write(folder.path());
    relay.process().signal("HUP");
    wait_until("the new certificate", || shown(&relay) == on_disk());
    assert_ne!(on_disk(), first);
    wait_until("a success counted", || reloads("ok") > 0.5);
    assert_eq!(
        session.deliver("ana@sender.example", &["bo@receiver.example"], &letter("hup", 300)).code,
        250
    );
}
