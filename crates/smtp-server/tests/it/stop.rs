//! A stop that loses nothing.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::relay::{Relay, listener};

/// A message under way comes to its end; who only waits is told to go.
#[tokio::test]
async fn a_stop_lets_messages_finish() {
    let mut relay = Relay::start(listener());
    let (mut idle, mut busy) = (relay.client().await, relay.client().await);
    busy.talk(&[
        ("MAIL FROM:<a@client.test>", "250"),
        ("RCPT TO:<b@example.com>", "250"),
        ("DATA", "354"),
    ])
    .await;
    busy.send("Subject: half\r\n\r\n").await;
    relay.order_stop();
    idle.reply().await.is("421 4.3.2");
    assert!(idle.sees_close().await);
    busy.content("and the rest\r\n").await.is("250");
    busy.reply().await.is("421 4.3.2");
    assert!(busy.sees_close().await);
    assert!(relay.accepted.recv().await.is_ok());
    let address = relay.address;
    relay.ended().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// A client that does not come to an end is cut off, and its message is not there.
#[tokio::test]
async fn a_stop_has_a_limit() {
    let relay = Relay::start_with(listener(), |setup| setup.drain_wait_max = Duration::ZERO);
    let mut client = relay.client().await;
    client
        .talk(&[
            ("MAIL FROM:<a@client.test>", "250"),
            ("RCPT TO:<b@example.com>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send("Subject: half\r\n\r\n").await;
    let spool = relay.spool.clone();
    relay.ended().await;
    assert!(client.sees_close().await);
    assert_eq!(spool.counts().messages, 0);
}
