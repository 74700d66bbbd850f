//! What a 250 needs, and content of any size.

use std::time::Duration;

use spool::BodyIo;
use tokio::time::timeout;

use crate::relay::{Relay, listener};

const MESSAGE: &str = "Subject: test\r\n\r\nbody\r\n";

/// The one promise: no 250 before the message is on the device.
#[tokio::test]
async fn the_device_comes_before_the_250() {
    let mut relay = Relay::start(listener());
    let mut client = relay.client().await;
    relay.faults.hold();
    client
        .talk(&[
            ("MAIL FROM:<a@client.test>", "250"),
            ("RCPT TO:<b@example.com>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(format!("{MESSAGE}.\r\n")).await;
    assert!(timeout(Duration::from_millis(200), client.reply()).await.is_err());
    assert!(relay.accepted.try_recv().is_none());
    relay.faults.release();
    client.reply().await.is("250");
    assert!(relay.accepted.try_recv().is_some(), "the queue has it when the client hears of it");
    relay.ended().await;
}

/// A device that does not take the message gives no 250, and the next message is taken.
#[tokio::test]
async fn a_failed_commit_is_no_250() {
    let mut relay = Relay::start(listener());
    let mut client = relay.client().await;
    client
        .talk(&[
            ("MAIL FROM:<a@client.test>", "250"),
            ("RCPT TO:<b@example.com>", "250"),
            ("DATA", "354"),
        ])
        .await;
    relay.faults.fill();
    client.content(MESSAGE).await.is("452 4.3.1");
    assert!(relay.accepted.try_recv().is_none());
    relay.faults.empty();
    relay.until(|relay| relay.spool.reserve(None).is_ok()).await;
    client.message(MESSAGE).await.is("250");
    assert!(relay.accepted.try_recv().is_some());
    let series = "accept_total{listener=\"smtp\",result=\"refused\",code_class=\"4xx\"}";
    assert!((relay.metric(series) - 1.0).abs() < f64::EPSILON);
    relay.ended().await;
}

/// A device that fills up in the middle of a message: the rest is swallowed, the reply says why.
#[tokio::test]
async fn a_device_that_fills_up_is_a_452() {
    let relay = Relay::start(listener());
    let mut client = relay.client().await;
    client
        .talk(&[
            ("MAIL FROM:<a@client.test>", "250"),
            ("RCPT TO:<b@example.com>", "250"),
            ("DATA", "354"),
        ])
        .await;
    relay.faults.fill();
    let large = format!("Subject: x\r\n\r\n{}", "0123456789abcdef\r\n".repeat(100_000));
    client.content(large).await.is("452 4.3.1");
    assert_eq!(relay.spool.counts().messages, 0);
    relay.faults.empty();
    relay.until(|relay| relay.spool.reserve(None).is_ok()).await;
    client.message(MESSAGE).await.is("250");
    relay.ended().await;
}

/// A large message streams through, octet for octet, by either way of writing.
#[tokio::test]
async fn a_large_message_comes_whole() {
    for body_io in [BodyIo::Auto, BodyIo::Threads] {
        let mut relay = Relay::start_with(listener(), |setup| setup.spool.body_io = body_io);
        let mut client = relay.client().await;
        let lines = (0..200_000).map(|line| format!("{line:020}\r\n"));
        let body: String =
            std::iter::once("Subject: large\r\n\r\n".to_owned()).chain(lines).collect();
        client.message(&body).await.is("250");
        let accepted = relay.accepted.recv().await.unwrap();
        assert!(relay.content(&accepted).await.ends_with(body.as_bytes()));
        relay.ended().await;
    }
}
