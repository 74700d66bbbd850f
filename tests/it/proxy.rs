//! Clients behind proxies: the PROXY protocol and XCLIENT.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use crate::harness::accounts::Accounts;
use crate::harness::process::run;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::{Reply, Smtp};
use crate::harness::tls::Certificate;
use crate::harness::wait::wait_until;

/// Only 192.0.2.0/24 may relay; the tests' own address is a proxy's.
fn relay(sink: &Sink, key: &str) -> Relay {
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["192.0.2.0/24"])
        .set(&format!("listener.0.{key}"), vec!["127.0.0.1"]);
    Relay::start(settings)
}

/// A header of version 2.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut octets = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    octets.extend([command, family]);
    octets.extend(u16::try_from(block.len()).expect("a short block").to_be_bytes());
    octets.extend(block);
    octets
}

/// A session behind a header, and the reply to RCPT in it.
fn rcpt(relay: &Relay, header: &[u8]) -> (Smtp, Reply) {
    let mut session = Smtp::connect(relay.smtp()).expect("a connection");
    session.send(header);
    assert_eq!(session.read_reply().code, 220);
    session.expect("EHLO client.test", 250);
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    let reply = session.command("RCPT TO:<bo@receiver.example>");
    (session, reply)
}

/// Policy, the trace field and the log know the client's address, by either version; with addresses that a proxy
/// does not tell, the proxy's own counts.
#[test]
fn the_client_behind_a_proxy_is_who_counts() {
    let sink = Sink::start();
    let relay = relay(&sink, "proxy_networks");
    let v4 = [192, 0, 2, 7, 198, 51, 100, 2, 0xdc, 4, 0, 25];
    let with_more = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
    let stranger = [203, 0, 113, 7, 198, 51, 100, 2, 0xdc, 4, 0, 25];
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.2 56324 25\r\n".to_vec();
    for (header, address) in [
        (line, "192.0.2.7"),
        (binary(0x21, 0x11, &v4), "192.0.2.7"),
        (binary(0x21, 0x11, &with_more), "192.0.2.7"),
        (b"PROXY TCP4 203.0.113.7 198.51.100.2 56324 25\r\n".to_vec(), ""),
        (binary(0x21, 0x11, &stranger), ""),
        (b"PROXY UNKNOWN\r\n".to_vec(), ""),
        (binary(0x20, 0x11, &v4), ""),
        (binary(0x20, 0x00, &[]), ""),
    ] {
        let (mut session, reply) = rcpt(&relay, &header);
        if address.is_empty() {
            assert_eq!(reply.code, 550, "{header:?}: {reply:?}");
            continue;
        }
        assert_eq!(reply.code, 250, "{header:?}: {reply:?}");
        session.expect("DATA", 354);
        session.send(b"Subject: test\r\n\r\n.\r\n");
        assert_eq!(session.read_reply().code, 250);
        session.quit();
    }
    for received in sink.wait_accepted(3) {
        let content = String::from_utf8_lossy(&received.content).into_owned();
        assert!(content.contains("client.test ([192.0.2.7])"), "{content}");
    }
    for words in [
        "\"client\":\"192.0.2.7:56324\"",
        "Relay access denied for 203.0.113.7",
        "Relay access denied for 127.0.0.1",
    ] {
        relay.log_with(words);
    }
}

/// A proxy that says nothing right is closed without a word, since nobody knows whom it speaks for.
#[test]
fn a_proxy_must_say_whom_it_speaks_for() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("listener.0.proxy_networks", vec!["127.0.0.1"])
        .set("listener.0.handshake_wait_max", "500ms");
    let relay = Relay::start(settings);
    let long = binary(0x21, 0x11, &[0; 4000]);
    let begun = b"PROXY TCP4 192.0.2.7 198.".to_vec();
    for header in [
        b"EHLO client.test\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.2 1 99999\r\n".to_vec(),
        [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat(),
        binary(0x2f, 0x11, &[0; 12]),
        long,
        begun,
        Vec::new(),
    ] {
        let mut session = Smtp::connect(relay.smtp()).expect("a connection");
        // It may be closed while it is written.
        session.try_send(&header).ok();
        assert!(session.try_read_reply().is_err(), "{header:?}");
    }
    let failed = "chasqui_reception_proxy_failed_total{listener=\"smtp\"}";
    wait_until("all counted", || (relay.metric(failed) - 7.0).abs() < 0.5);
    relay.log_with("connection of a proxy closed");
    let (_, reply) = rcpt(&relay, b"PROXY TCP4 127.0.0.9 198.51.100.2 1 25\r\n");
    assert_eq!(reply.code, 250, "{reply:?}");
}

/// Nobody else may send the header, by either version.
#[test]
fn nobody_else_may_send_the_header() {
    let sink = Sink::start();
    let settings =
        Settings::towards(sink.address()).set("listener.0.proxy_networks", vec!["192.0.2.1"]);
    let relay = Relay::start(settings);
    let mut session = relay.session();
    session.expect("PROXY TCP4 192.0.2.7 198.51.100.2 1 25", 554);
    assert!(session.is_closed());
    let mut session = Smtp::connect(relay.smtp()).expect("a connection");
    assert_eq!(session.read_reply().code, 220);
    session.send(&binary(0x21, 0x11, &[192, 0, 2, 7, 198, 51, 100, 2, 0xdc, 4, 0, 25]));
    assert!(session.read_reply().code >= 500);
}

/// The limit of connections from one client counts clients, not the proxy.
#[test]
fn limits_count_the_clients_behind_a_proxy() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("listener.0.proxy_networks", vec!["127.0.0.1"])
        .set("listener.0.connections_per_client_max", 1);
    let relay = Relay::start(settings);
    let open = |client: &str| {
        let mut session = Smtp::connect(relay.smtp()).expect("a connection");
        session.send(format!("PROXY TCP4 {client} 198.51.100.2 1 25\r\n").as_bytes());
        let code = session.read_reply().code;
        (session, code)
    };
    let (mut first, code) = open("192.0.2.1");
    assert_eq!(code, 220);
    let (_second, code) = open("192.0.2.2");
    assert_eq!(code, 220);
    let (mut third, code) = open("192.0.2.1");
    assert_eq!(code, 421);
    assert!(third.is_closed());
    first.expect("QUIT", 221);
    assert!(first.is_closed());
    wait_until("the place is free", || open("192.0.2.1").1 == 220);
}

/// Version 2 stands before the handshake of implicit TLS, and not one octet of that is lost.
#[test]
fn the_header_stands_before_implicit_tls() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let path = |path: &std::path::Path| path.display().to_string();
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["192.0.2.0/24"])
        .set("listener.0.tls", "implicit")
        .set("listener.0.certificate", path(&certificate.certificate))
        .set("listener.0.key", path(&certificate.key))
        .set("listener.0.proxy_networks", vec!["127.0.0.1"]);
    let relay = Relay::start(settings);
    // A small proxy between OpenSSL's client and the relay, which sends header and handshake in one piece.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let server = relay.smtp();
    let proxy = std::thread::spawn(move || {
        let (mut near, _) = listener.accept().expect("a client");
        let mut far = TcpStream::connect(server).expect("the relay");
        let mut first = [0; 4096];
        let octets = std::io::Read::read(&mut near, &mut first).expect("a handshake");
        let v4 = [192, 0, 2, 7, 198, 51, 100, 2, 0xdc, 4, 0, 25];
        let piece = [&binary(0x21, 0x11, &v4)[..], &first[..octets]].concat();
        far.write_all(&piece).expect("a relay that reads");
        let (mut back_from, mut back_to) =
            (far.try_clone().expect("it"), near.try_clone().expect("it"));
        let back = std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to).ok());
        std::io::copy(&mut near, &mut far).ok();
        back.join().expect("a thread");
    });
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address, "-ign_eof", "-CAfile"]);
    command.arg(&certificate.certificate);
    let words = b"ehlo client.test\r\nmail from:<ana@sender.example>\r\nrcpt to:<bo@receiver.example>\r\nquit\r\n";
    let output = run(command, words);
    assert!(output.stdout.contains("250 2.1.5"), "{output:?}");
    proxy.join().expect("a proxy");
}

/// XCLIENT from a listed proxy: the session begins anew as the client's, as often as the proxy says so.
#[test]
fn a_listed_proxy_may_say_whose_session_it_is() {
    let sink = Sink::start();
    let relay = relay(&sink, "xclient_networks");
    let mut session = relay.session();
    let offer = session.expect("EHLO proxy.test", 250).text();
    assert!(offer.contains("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"), "{offer}");
    let told = "XCLIENT NAME=client.example ADDR=192.0.2.7 PORT=4711 HELO=mail.client.example";
    session.expect(told, 220);
    session.expect("MAIL FROM:<ana@sender.example>", 503);
    session.expect("EHLO proxy.test", 250);
    let reply =
        session.deliver("ana@sender.example", &["bo@receiver.example"], b"Subject: test\r\n\r\n");
    assert_eq!(reply.code, 250, "{reply:?}");
    for unknown in ["ADDR=203.0.113.7", "ADDR=[UNAVAILABLE]", "ADDR=IPV6:2001:db8::1"] {
        session.expect(&format!("XCLIENT {unknown}"), 220);
        session.expect("EHLO proxy.test", 250);
        session.expect("MAIL FROM:<ana@sender.example>", 250);
        session.expect("RCPT TO:<bo@receiver.example>", 550);
        session.expect("RSET", 250);
    }
    session.expect("XCLIENT COLOUR=red", 501);
    session.quit();
    let received = sink.wait_accepted(1);
    let content = String::from_utf8_lossy(&received[0].content).into_owned();
    assert!(content.contains("from mail.client.example ([192.0.2.7])"), "{content}");
    let log = relay.log_with("client told by a proxy");
    assert!(log.contains("\"client\":\"192.0.2.7:4711\""), "{log}");
}

#[test]
fn nobody_else_may_say_so() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let mut session = relay.session();
    let offer = session.expect("EHLO client.test", 250).text();
    assert!(!offer.contains("XCLIENT"), "{offer}");
    let reply = session.expect("XCLIENT ADDR=192.0.2.7", 550);
    assert!(reply.text().starts_with("5.7.0"), "{reply:?}");
    session.quit();
}

/// What is held against strangers is held against those behind a proxy, not against it.
#[test]
fn strangers_behind_a_proxy_are_screened_and_refused_alike() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("inbound.0.sender_ip_addresses", vec!["192.0.2.0/24"])
        .set("listener.0.proxy_networks", vec!["127.0.0.1"])
        .set("listener.0.rates.client.connections", "1/1h")
        .set("listener.0.defence.greeting_wait", "100ms");
    let relay = Relay::start(settings);
    let greeting = |client: &str, words: &str| {
        let mut session = Smtp::connect(relay.smtp()).expect("a connection");
        session.send(format!("PROXY TCP4 {client} 198.51.100.1 1 25\r\n{words}").as_bytes());
        session.read_reply()
    };
    assert_eq!(greeting("203.0.113.1", "").code, 220);
    let reply = greeting("203.0.113.1", "");
    assert_eq!(reply.code, 421, "{reply:?}");
    assert!(reply.text().contains("Too many connections for client 203.0.113.1"), "{reply:?}");
    // Once it is refused, nothing more is asked about it, such as whether it waits.
    assert_eq!(greeting("203.0.113.1", "EHLO a\r\n").code, 421);
    assert_eq!(greeting("203.0.113.2", "EHLO a\r\n").code, 554);
    assert_eq!(greeting("192.0.2.1", "EHLO a\r\n").code, 220);
}

/// A proxy may say more of its client later; only another address is another connection.
#[test]
fn a_client_told_by_a_proxy_is_counted_once() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("listener.0.xclient_networks", vec!["127.0.0.1"])
        .set("listener.0.rates.client.connections", "1/1h");
    let relay = Relay::start(settings);
    let mut session = relay.session();
    for words in ["ADDR=192.0.2.7", "HELO=a.example", "ADDR=192.0.2.7 PORT=9", "NAME=b.example"] {
        session.expect(&format!("XCLIENT {words}"), 220);
    }
    let reply = session.expect("XCLIENT ADDR=127.0.0.1", 421);
    assert!(reply.text().contains("Too many connections for client 127.0.0.1"), "{reply:?}");
}

/// Whom the proxy says that its client has logged in as, it is; an account that may not log in here is none.
#[test]
fn a_login_at_a_proxy_counts() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let settings =
        accounts.settings(&sink).set("listener.0.xclient_networks", vec!["127.0.0.1".to_owned()]);
    let relay = Relay::start(settings);
    let mut session = relay.session();
    for nobody in ["cy@sender.example", "nobody@sender.example", "[UNAVAILABLE]"] {
        session.expect(&format!("XCLIENT ADDR=203.0.113.7 LOGIN={nobody}"), 220);
        session.expect("EHLO proxy.test", 250);
        session.expect("MAIL FROM:<ana@sender.example>", 250);
        let reply = session.expect("RCPT TO:<bo@receiver.example>", 550);
        assert!(reply.text().ends_with("denied for 203.0.113.7; log in first"), "{reply:?}");
        session.expect("RSET", 250);
    }
    session.expect("XCLIENT LOGIN=ana@sender.example", 220);
    session.expect("EHLO proxy.test", 250);
    session.expect("AUTH PLAIN AGEAYg==", 503);
    session.expect("MAIL FROM:<eve@other.example>", 553);
    let letter = b"Subject: test\r\n\r\n";
    let reply = session.deliver("ana@sender.example", &["bo@receiver.example"], letter);
    assert_eq!(reply.code, 250, "{reply:?}");
    // Another client of the same proxy is not she.
    session.expect("XCLIENT ADDR=203.0.113.8", 220);
    session.expect("EHLO proxy.test", 250);
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    session.expect("RCPT TO:<bo@receiver.example>", 550);
    session.quit();
    let received = sink.wait_accepted(1);
    let content = String::from_utf8_lossy(&received[0].content).into_owned();
    assert!(content.contains("with ESMTPA\r\n"), "{content}");
    let log = relay.log_with("message accepted");
    assert!(log.contains("\"login\":\"ana@sender.example\""), "{log}");
}
