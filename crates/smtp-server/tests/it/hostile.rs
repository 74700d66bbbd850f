//! Clients that mean harm, or are broken in ways that look like it.

use std::time::Duration;

use smtp_server::Listener;
use tokio::time::timeout;
use units::{ByteSize, Span};

use crate::client::Client;
use crate::relay::{Relay, listener};

const MESSAGE: &str = "Subject: test\r\n\r\nbody\r\n";

/// A mail's way in, up to 354.
const ENVELOPE: [(&str, &str); 3] =
    [("MAIL FROM:<a@client.test>", "250"), ("RCPT TO:<b@example.com>", "250"), ("DATA", "354")];

/// Whatever was done to the relay, it takes mail from others, and nothing of it broke.
async fn is_well(relay: Relay) {
    relay.client().await.message(MESSAGE).await.is("250");
    assert!(relay.metric("panic_total{service=\"reception\"}") < 1.0);
    relay.ended().await;
}

/// One that drips content is never silent for long, and would hold its place in the spool until the session's end.
#[tokio::test]
async fn a_slow_writer_is_told_and_closed() {
    let relay = Relay::start(Listener {
        data_wait_max: Span::millis(300),
        data_rate_min: ByteSize::mib(1),
        ..listener()
    });
    let mut client = relay.client().await;
    client.talk(&ENVELOPE).await;
    let said = loop {
        client.send("x\r\n").await;
        if let Ok(said) = timeout(Duration::from_millis(5), client.reply()).await {
            break said;
        }
    };
    said.is("421 4.4.2");
    assert!(client.sees_close().await);
    relay.until(|relay| relay.metric("reception_connections{listener=\"smtp\"}") == 0.0).await;
    assert_eq!(relay.spool.counts().messages, 0);
    relay.ended().await;
}

/// Content without end is measured and thrown away, and even so has its time.
#[tokio::test]
async fn content_without_end_comes_to_one() {
    let relay = Relay::start(Listener {
        message_octets_max: ByteSize::kib(64),
        session_wait_max: Span::millis(500),
        ..listener()
    });
    let mut client = relay.client().await;
    client.talk(&ENVELOPE).await;
    let socket = client.into_socket();
    let piece = "0123456789abcd\r\n".repeat(1000);
    let flood = async {
        while socket.writable().await.is_ok() {
            match socket.try_write(piece.as_bytes()) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    timeout(Duration::from_secs(20), flood).await.expect("it is never closed");
    relay.until(|relay| relay.metric("reception_connections{listener=\"smtp\"}") == 0.0).await;
    assert_eq!(relay.spool.counts().messages, 0);
    relay.ended().await;
}

/// What comes before the greeting waits for its turn.
#[tokio::test]
async fn an_early_talker_is_answered_in_order() {
    let relay = Relay::start(listener());
    let mut client = Client::connect(relay.address).await;
    client.send("EHLO client.test\r\nMAIL FROM:<a@client.test>\r\nRSET\r\nQUIT\r\n").await;
    for want in ["220", "250", "250 2.1.0", "250 2.0.0", "221"] {
        client.reply().await.is(want);
    }
    is_well(relay).await;
}

#[tokio::test]
async fn thousands_of_recipients_are_taken_up_to_the_limit() {
    let mut relay = Relay::start(Listener { recipients_max: 1000, ..listener() });
    let mut client = relay.client().await;
    client.talk(&ENVELOPE[..1]).await;
    let (mut taken, mut refused) = (0, 0);
    for burst in 0..40 {
        let lines: String = (0..500)
            .map(|number| format!("RCPT TO:<r{burst}-{number}@example.com>\r\n"))
            .collect::<Vec<_>>()
            .concat();
        client.send(lines).await;
        for _ in 0..500 {
            match client.reply().await.code() {
                250 => taken += 1,
                452 => refused += 1,
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!((taken, refused), (1000, 19_000));
    client.talk(&ENVELOPE[2..]).await;
    client.content(MESSAGE).await.is("250");
    assert_eq!(relay.accepted.recv().await.unwrap().envelope.recipients.len(), 1000);
    is_well(relay).await;
}

#[tokio::test]
async fn thousands_of_header_fields_pass_unchanged() {
    let mut relay = Relay::start(Listener { header_octets_max: ByteSize::mib(1), ..listener() });
    let mut client = relay.client().await;
    let fields =
        (0..60_000).map(|number| format!("X-{number}: y\r\n")).collect::<Vec<_>>().concat();
    let content = format!("{fields}\r\nbody\r\n");
    client.message(&content).await.is("250");
    let accepted = relay.accepted.recv().await.unwrap();
    assert!(relay.content(&accepted).await.ends_with(content.as_bytes()));
    is_well(relay).await;
}

#[tokio::test]
async fn rubbish_is_sent_away() {
    let relay = Relay::start(listener());
    let mut client = Client::connect(relay.address).await;
    client.reply().await.is("220");
    // A TLS hello, NULs, no line ends, long runs, and words of other tongues.
    let rubbish = (0..20_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    let mut octets: Vec<u8> = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    octets.extend(rubbish);
    octets.extend_from_slice(&b"\xff\xfe\r\nMAIL\xc3\x28\r\n\x80\r\n".repeat(20));
    client.send(octets).await;
    let mut said = client.reply().await;
    while said.code() / 100 == 5 {
        assert!(matches!(said.code(), 500..=503), "{said:?}");
        said = client.reply().await;
    }
    said.is("421 4.7.0");
    assert!(client.sees_close().await);
    is_well(relay).await;
}

/// RFC 3030: nobody knows how much content follows such a line, so nothing behind it may be read as commands.
#[tokio::test]
async fn a_chunk_of_no_known_size_ends_the_session() {
    let relay = Relay::start(listener());
    for octets in ["18446744073709551616", "99999999999999999999999", "-1", "0x10", "1e3", "", "1,"]
    {
        let mut client = relay.client().await;
        client.talk(&ENVELOPE[..2]).await;
        client.send(format!("BDAT {octets} LAST\r\nMAIL FROM:<x@client.test>\r\nNOOP\r\n")).await;
        client.reply().await.is("501 5.5.4");
        assert!(client.sees_close().await, "{octets}");
    }
    is_well(relay).await;
}

/// The largest chunk that can be named is counted out like any other; it is refused, and its octets are no commands.
#[tokio::test]
async fn a_chunk_of_any_size_holds_no_memory() {
    let relay = Relay::start(Listener { message_octets_max: ByteSize::kib(64), ..listener() });
    for octets in [u64::MAX, u64::from(u32::MAX) + 1, 2_000_000_000] {
        let mut client = relay.client().await;
        client.talk(&ENVELOPE[..2]).await;
        client.send(format!("BDAT {octets} LAST\r\n")).await;
        client.send("QUIT\r\n".repeat(50_000)).await;
        assert!(timeout(Duration::from_millis(50), client.reply()).await.is_err(), "{octets}");
    }
    relay.until(|relay| relay.metric("reception_connections{listener=\"smtp\"}") == 0.0).await;
    assert_eq!(relay.spool.counts().messages, 0);
    is_well(relay).await;
}

#[tokio::test]
async fn content_that_others_would_read_otherwise_is_refused() {
    let relay = Relay::start(listener());
    let mut client = relay.client().await;
    for content in [
        "a: b\0\r\n\r\n",
        "a: b\r\n\r\n\0\r\n",
        " for <x@example.com>; now\r\na: b\r\n\r\n",
        "\ta: b\r\n",
    ] {
        client.message(content).await.is("554 5.6.0");
    }
    assert_eq!(relay.spool.counts().messages, 0);
    is_well(relay).await;
    let mut relay = Relay::start(Listener { takes_nul: true, ..listener() });
    relay.client().await.message("a: b\r\n\r\n\0\r\n").await.is("250");
    let accepted = relay.accepted.recv().await.unwrap();
    assert!(relay.content(&accepted).await.ends_with(b"\r\na: b\r\n\r\n\0\r\n"));
    is_well(relay).await;
}

/// Whatever a client says of itself, the trace is one field, and the content follows it.
#[tokio::test]
async fn no_name_and_no_address_writes_into_the_header() {
    let mut relay = Relay::start(Listener { bad_commands_max: 1000, ..listener() });
    let mut client = Client::connect(relay.address).await;
    client.reply().await.is("220");
    let long = "x".repeat(300);
    for name in [
        "a b",
        "a\tb",
        "a(b",
        "a)",
        "a;b",
        "a\"b",
        "a\\",
        "a@b",
        "<a>",
        "a,b",
        "a\x1b[31m",
        "a\x7f",
        "a\u{2028}b",
        "b\u{fc}cher.test",
        &long,
    ] {
        client.talk(&[(&format!("EHLO {name}"), "501"), (&format!("HELO {name}"), "501")]).await;
    }
    // A line end is one, wherever it stands.
    client.send("EHLO a\rBcc: x\r\n").await;
    client.reply().await.is("500 5.5.2");
    client.send("EHLO a\nBcc: x\r\n").await;
    client.reply().await.is("500 5.5.2");
    client.send("EHLO a\0b\r\n").await;
    client.reply().await.is("500 5.5.2");
    for name in ["[1.2.3.4", "_", "-", "a..b", "%n%s${x}", "{}", "'", "|sh", "../../x"] {
        client.talk(&[(&format!("EHLO {name}"), "250")]).await;
        for sender in ["a@-", "a\u{7f}@b.test", "\"a\\\"@b.test", "a@b.test>\u{2028}<"] {
            client.say(&format!("MAIL FROM:<{sender}> SMTPUTF8")).await.is("501");
        }
        client
            .talk(&[
                ("MAIL FROM:<\"a;b (c) <d>\"@b.test>", "250"),
                ("RCPT TO:<\"a;) b\"@example.com>", "250"),
                ("DATA", "354"),
            ])
            .await;
        client.content(MESSAGE).await.is("250");
        let accepted = relay.accepted.recv().await.unwrap();
        let content = String::from_utf8(relay.content(&accepted).await).unwrap();
        let trace = content.strip_suffix(MESSAGE).unwrap();
        let mut lines = trace.split_inclusive("\r\n");
        assert!(lines.next().unwrap().starts_with("Received: from "), "{content}");
        assert!(lines.all(|line| line.starts_with('\t') && line.ends_with("\r\n")), "{content}");
    }
    is_well(relay).await;
}

/// Connections that are reset as soon as they are there cost nothing that stays.
#[tokio::test]
async fn resets_leave_nothing_behind() {
    let relay = Relay::start(listener());
    for _ in 0..200 {
        let socket = Client::connect(relay.address).await.into_socket();
        socket.set_zero_linger().unwrap();
    }
    relay.until(|relay| relay.metric("reception_connections{listener=\"smtp\"}") == 0.0).await;
    is_well(relay).await;
}
