//! Each limit has its reply.

use std::time::Duration;

use units::{ByteSize, Span};

use crate::client::Client;
use crate::relay::{Relay, listener};
use smtp_server::Listener;

const ENVELOPE: [(&str, &str); 3] =
    [("MAIL FROM:<a@client.test>", "250"), ("RCPT TO:<b@example.com>", "250"), ("DATA", "354")];

/// Sends `content` to a relay with `listener` and wants `reply`; then an ordinary message must pass.
async fn refused(listener: Listener, content: &str, reply: &str) {
    let relay = Relay::start(listener);
    let mut client = relay.client().await;
    client.talk(&ENVELOPE).await;
    client.content(content).await.is(reply);
    assert_eq!(relay.spool.counts().messages, 0, "{reply}");
    client.message("Subject: test\r\n\r\n").await.is("250");
    let series = "accept_total{listener=\"smtp\",result=\"refused\",code_class=\"5xx\"}";
    assert!((relay.metric(series) - 1.0).abs() < f64::EPSILON, "{reply}");
    relay.ended().await;
}

#[tokio::test]
async fn content_beyond_a_limit_is_refused_at_its_end() {
    let small = Listener { message_octets_max: ByteSize::kib(64), ..listener() };
    refused(small, &"0123456789abcd\r\n".repeat(5000), "552 5.3.4").await;
    let header = Listener { header_octets_max: ByteSize::kib(1), ..listener() };
    refused(header, &format!("{}\r\n", "A: b\r\n".repeat(500)), "552 5.3.4").await;
    let line = Listener { text_line_octets_max: ByteSize::octets(1000), ..listener() };
    refused(line, &format!("A: b\r\n\r\n{}\r\n", "x".repeat(1001)), "554 5.6.0").await;
    let hops = Listener { hops_max: 3, ..listener() };
    refused(hops, &format!("{}\r\n", "Received: x\r\n".repeat(4)), "554 5.4.6").await;
    refused(listener(), "A: b\r\n\r\nbare\nend\r\n", "554 5.6.0").await;
}

#[tokio::test]
async fn commands_beyond_a_limit_are_refused() {
    let limits = Listener {
        message_octets_max: ByteSize::kib(64),
        recipients_max: 2,
        command_octets_max: ByteSize::octets(512),
        ..listener()
    };
    let relay = Relay::start(limits);
    let mut client = relay.client().await;
    let long = "x".repeat(600);
    client
        .talk(&[
            ("MAIL FROM:<a@client.test> SIZE=70000", "552 5.3.4"),
            ("MAIL FROM:<a@client.test> SIZE=60000", "250"),
            ("RCPT TO:<b@example.com>", "250"),
            ("RCPT TO:<c@example.com>", "250"),
            ("RCPT TO:<d@example.com>", "452 4.5.3"),
            (&format!("NOOP {long}"), "500 5.5.2"),
            ("NOOP", "250"),
        ])
        .await;
    relay.ended().await;
}

#[tokio::test]
async fn a_session_that_tires_is_ended() {
    let relay = Relay::start(Listener { bad_commands_max: 2, ..listener() });
    let mut client = relay.client().await;
    let mut said = client.say("XYZZY").await;
    for _ in 0..3 {
        if said.code() == 421 {
            break;
        }
        said.is("500 5.5");
        said = client.say("XYZZY").await;
    }
    said.is("421 4.7.0");
    assert!(client.sees_close().await);
    relay.ended().await;

    let relay = Relay::start(Listener { transactions_max: 1, ..listener() });
    let mut client = relay.client().await;
    client.message("A: b\r\n\r\n").await.is("250");
    client.talk(&[("MAIL FROM:<a@client.test>", "421 4.7.0")]).await;
    assert!(client.sees_close().await);
    relay.ended().await;
}

#[tokio::test]
async fn a_silent_client_is_told_and_closed() {
    let short = Span::millis(50);
    let relay = Relay::start(Listener { idle_wait_max: short, ..listener() });
    let mut client = Client::connect(relay.address).await;
    client.reply().await.is("220");
    client.reply().await.is("421 4.4.2");
    assert!(client.sees_close().await);
    relay.ended().await;

    let relay = Relay::start(Listener { data_wait_max: short, ..listener() });
    let mut client = relay.client().await;
    client.talk(&ENVELOPE).await;
    client.send("Subject: half").await;
    client.reply().await.is("421 4.4.2");
    assert!(client.sees_close().await);
    assert_eq!(relay.spool.counts().messages, 0);
    relay.ended().await;
}

/// A client that drips without end is not silent, and still comes to an end.
#[tokio::test]
async fn a_session_has_a_total_time() {
    let relay = Relay::start(Listener { session_wait_max: Span::millis(100), ..listener() });
    let mut client = relay.client().await;
    let mut said = client.say("NOOP").await;
    while said.code() == 250 {
        said = client.say("NOOP").await;
    }
    said.is("421 4.4.2");
    assert!(client.sees_close().await);
    relay.ended().await;
}

/// Replies that nobody reads hold a connection for `write_wait_max` and no memory.
#[tokio::test]
async fn a_client_that_never_reads_is_closed() {
    let relay = Relay::start(Listener { write_wait_max: Span::millis(100), ..listener() });
    let client = Client::connect(relay.address).await;
    let socket = client.into_socket();
    let burst = "EHLO client.test\r\n".repeat(1000);
    let flood = async {
        while socket.writable().await.is_ok() {
            match socket.try_write(burst.as_bytes()) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), flood).await.expect("it is never closed");
    relay.until(|relay| relay.metric("reception_connections{listener=\"smtp\"}") == 0.0).await;
    relay.ended().await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let relay = Relay::start(Listener { connections_max: 2, ..listener() });
    let held = (relay.client().await, relay.client().await);
    let mut third = Client::connect(relay.address).await;
    third.reply().await.is("421 4.3.2");
    assert!(third.sees_close().await);
    let series = "load_shed_total{listener=\"smtp\",cause=\"connections\"}";
    assert!((relay.metric(series) - 1.0).abs() < f64::EPSILON);
    drop(held);
    relay.until(|relay| relay.metric("reception_connections{listener=\"smtp\"}") == 0.0).await;
    drop(relay.client().await);
    relay.ended().await;
}

#[tokio::test]
async fn connections_of_one_client_are_bounded() {
    let relay = Relay::start(Listener { connections_per_client_max: 1, ..listener() });
    let _held = relay.client().await;
    let mut second = Client::connect(relay.address).await;
    second.reply().await.is("421 4.7.0 Too many connections from 127.0.0.1");
    assert!(second.sees_close().await);
    let mut other = Client::connect_from("127.0.0.2", relay.address).await;
    other.reply().await.is("220");
    relay.ended().await;
}

/// A queue that is behind is told of at MAIL, not after the content.
#[tokio::test]
async fn a_full_queue_is_told_early() {
    let mut relay = Relay::start_with(listener(), |setup| setup.queue_capacity = 1);
    let mut client = relay.client().await;
    client.message("A: b\r\n\r\n").await.is("250");
    client
        .talk(&[("MAIL FROM:<a@client.test>", "452 4.3.1 Insufficient system storage: the queue")])
        .await;
    assert!(relay.accepted.recv().await.is_ok());
    client.message("A: b\r\n\r\n").await.is("250");
    let series = "load_shed_total{listener=\"smtp\",cause=\"queue\"}";
    assert!((relay.metric(series) - 1.0).abs() < f64::EPSILON);
    relay.ended().await;
}

/// A message that was under way when the queue filled up is stored, answered, and waits for room.
#[tokio::test]
async fn a_message_under_way_is_never_dropped_for_a_full_queue() {
    let mut relay = Relay::start_with(listener(), |setup| setup.queue_capacity = 1);
    let (mut first, mut second) = (relay.client().await, relay.client().await);
    first.talk(&ENVELOPE).await;
    second.talk(&ENVELOPE).await;
    first.content("A: b\r\n\r\n").await.is("250");
    second.content("A: b\r\n\r\n").await.is("250");
    let (one, two) = (relay.accepted.recv().await.unwrap(), relay.accepted.recv().await.unwrap());
    assert_ne!(one.id, two.id);
    relay.ended().await;
}

#[tokio::test]
async fn a_full_spool_is_told_early() {
    let relay = Relay::start_with(listener(), |setup| setup.spool.messages_max = 1);
    let mut client = relay.client().await;
    client.message("A: b\r\n\r\n").await.is("250");
    client.talk(&[("MAIL FROM:<a@client.test>", "452 4.3.1")]).await;
    let said = client.say("MAIL FROM:<a@client.test>").await;
    assert!(said.0.contains("limit of 1 messages"), "{said:?}");
    relay.ended().await;
}

/// A port that speaks another protocol's language by mistake, or by an attack on a browser.
#[tokio::test]
async fn http_is_no_smtp() {
    let relay = Relay::start(listener());
    let mut client = Client::connect(relay.address).await;
    client.reply().await.is("220");
    client.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.test>\r\n").await;
    client.reply().await.is("5");
    assert!(client.sees_close().await);
    relay.ended().await;
}
