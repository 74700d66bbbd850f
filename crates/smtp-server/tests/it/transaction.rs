//! Who may send what to whom, and what is stored of it.

use mail::{BodyType, MessageId};
use smtp_server::Listener;
use tokio::net::TcpStream;

use crate::client::{Client, Said};
use crate::relay::{Relay, listener};

const MESSAGE: &str = "Subject: test\r\n\r\n..a line with a dot\r\nlast\r\n";
const UNSTUFFED: &str = "Subject: test\r\n\r\n.a line with a dot\r\nlast\r\n";

#[tokio::test]
async fn a_message_is_stored_as_it_came_below_one_trace_field() {
    let mut relay = Relay::start(listener());
    let mut client = relay.client().await;
    client.message(MESSAGE).await.is("250 2.");
    let accepted = relay.accepted.recv().await.unwrap();
    let content = String::from_utf8(relay.content(&accepted).await).unwrap();
    let (trace, rest) = content.split_at(content.find("Subject").unwrap());
    assert_eq!(rest, UNSTUFFED);
    let start = "Received: from client.test ([127.0.0.1])\r\n\tby relay.test with ESMTP\r\n\tid ";
    assert!(trace.starts_with(start), "{trace}");
    let end =
        format!("id {} (connector applications)\r\n\tfor <b@example.com>;\r\n\t", accepted.id);
    assert!(trace.contains(&end), "{trace}");
    assert_eq!(trace.matches("\r\n").count(), 5);
    assert_eq!(accepted.octets, content.len() as u64);
    let envelope = &accepted.envelope;
    assert_eq!(envelope.sender.to_string(), "<a@client.test>");
    assert_eq!(envelope.recipients.len(), 1);
    assert_eq!(envelope.body_type, BodyType::SevenBit);
    let origin = &envelope.origin;
    assert_eq!((&*origin.helo, &*origin.listener), ("client.test", "smtp"));
    assert_eq!((&*origin.connector, origin.tls.as_deref()), ("applications", None));
    assert_eq!(origin.client, Some("127.0.0.1".parse().unwrap()));
    client.talk(&[("QUIT", "221 2.0.0")]).await;
    assert!(client.sees_close().await);
    let series = "accept_total{listener=\"smtp\",result=\"accepted\",code_class=\"2xx\"}";
    assert!((relay.metric(series) - 1.0).abs() < f64::EPSILON);
    relay.ended().await;
}

/// The 250 names the message as the log and the trace field do.
#[tokio::test]
async fn the_reply_names_the_message() {
    let mut relay = Relay::start(listener());
    let Said(said) = relay.client().await.message(MESSAGE).await;
    let accepted = relay.accepted.recv().await.unwrap();
    assert!(said.contains(&accepted.id.to_string()), "{said}");
    relay.ended().await;
}

/// Never an open relay: who is in no listed network gets nothing in, for nobody.
#[tokio::test]
async fn relaying_is_for_listed_networks() {
    let mut relay = Relay::start(listener());
    let mut client = Client::connect_from("127.0.0.2", relay.address).await;
    client.reply().await.is("220");
    client
        .talk(&[
            ("EHLO client.test", "250"),
            ("MAIL FROM:<a@client.test>", "250"),
            ("RCPT TO:<b@example.com>", "550 5.7.1 Relay access denied for 127.0.0.2\r\n"),
            ("RCPT TO:<b%example.com@relay.test>", "550 5.7.1"),
            ("RCPT TO:<postmaster>", "550 5.7.1"),
            ("DATA", "5"),
        ])
        .await;
    assert_eq!(relay.spool.counts().messages, 0);
    assert!(relay.accepted.try_recv().is_none());
    let series = "accept_total{listener=\"smtp\",result=\"refused\",code_class=\"5xx\"}";
    assert!((relay.metric(series) - 1.0).abs() < f64::EPSILON, "counted once a transaction");
    relay.ended().await;
}

/// Refused at RCPT rather than bounced later.
#[tokio::test]
async fn a_recipient_without_a_route_is_refused() {
    let relay =
        Relay::start_with(listener(), |setup| setup.recipient_domains = vec!["example.com"]);
    let mut client = relay.client().await;
    client
        .talk(&[
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<b@example.org>", "550 5.4.4"),
            ("RCPT TO:<b@example.com>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.content(MESSAGE).await.is("250");
    relay.ended().await;
}

#[tokio::test]
async fn several_recipients_do_not_learn_of_each_other() {
    let mut relay = Relay::start(listener());
    let mut client = relay.client().await;
    client
        .talk(&[
            ("MAIL FROM:<a@client.test>", "250"),
            ("RCPT TO:<b@example.com>", "250"),
            ("RCPT TO:<hidden@example.com>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.content(MESSAGE).await.is("250");
    let accepted = relay.accepted.recv().await.unwrap();
    assert_eq!(accepted.envelope.recipients.len(), 2);
    let content = String::from_utf8(relay.content(&accepted).await).unwrap();
    assert!(!content.contains("for <") && !content.contains("hidden"), "{content}");
    relay.ended().await;
}

/// Two whole messages and the farewell in one packet: as many replies, in their order (RFC 2920).
#[tokio::test]
async fn a_pipelined_burst_is_answered_in_order() {
    let mut relay = Relay::start(listener());
    let mut client = relay.client().await;
    // The chunks cut a line end in two, and the content ends without one.
    let message = "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.com>\r\n\
                   BDAT 5\r\nA: b\rBDAT 6 LAST\r\n\n\r\nxxx";
    client.send(format!("{message}{message}QUIT\r\n")).await;
    let mut codes = Vec::new();
    while let code @ 1.. = client.reply().await.code() {
        codes.push(code);
    }
    assert_eq!(codes, [250, 250, 250, 250, 250, 250, 250, 250, 221]);
    for _ in 0..2 {
        let accepted = relay.accepted.recv().await.unwrap();
        let content = relay.content(&accepted).await;
        assert!(content.ends_with(b"+0000\r\nA: b\r\n\r\nxxx"), "{content:?}");
    }
    relay.ended().await;
}

#[tokio::test]
async fn smtputf8_is_kept_and_told() {
    let mut relay = Relay::start(listener());
    let mut client = relay.client().await;
    client
        .talk(&[
            ("MAIL FROM:<\u{fc}@client.test> BODY=8BITMIME", "5"),
            ("MAIL FROM:<\u{fc}@client.test> BODY=8BITMIME SMTPUTF8", "250"),
            ("RCPT TO:<b@b\u{fc}cher.example>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.content("Subject: \u{fc}\r\n\r\n").await.is("250");
    let accepted = relay.accepted.recv().await.unwrap();
    assert!(accepted.envelope.needs_smtputf8);
    assert_eq!(accepted.envelope.body_type, BodyType::EightBitMime);
    let content = String::from_utf8(relay.content(&accepted).await).unwrap();
    assert!(content.contains("with UTF8SMTP\r\n"), "{content}");
    assert!(content.contains("for <b@b\u{fc}cher.example>;"), "{content}");
    relay.ended().await;
}

/// What a client calls itself reaches no header and no log as it is.
#[tokio::test]
async fn a_bad_name_is_made_harmless() {
    let mut relay = Relay::start(listener());
    let mut client = Client::connect(relay.address).await;
    client.reply().await.is("220");
    client.send("HELO a)\tby evil (\x1b[31m\r\n").await;
    if client.reply().await.code() != 250 {
        client.talk(&[("HELO harmless.test", "250")]).await;
    }
    client.message(MESSAGE).await.is("250");
    let accepted = relay.accepted.recv().await.unwrap();
    let content = String::from_utf8(relay.content(&accepted).await).unwrap();
    let first = content.lines().next().unwrap();
    assert!(first.matches('(').count() == 1 && !first.contains('\x1b'), "{first}");
    assert!(content.contains("with SMTP\r\n"), "{content}");
    relay.ended().await;
}

#[tokio::test]
async fn ipv6_is_taken_and_told() {
    let mut relay = Relay::start(Listener { address: "[::1]:0".parse().unwrap(), ..listener() });
    let mut client = Client::new(TcpStream::connect(relay.address).await.unwrap());
    client.reply().await.is("220");
    client.talk(&[("EHLO [IPv6:::1]", "250")]).await;
    client.message(MESSAGE).await.is("250");
    let accepted = relay.accepted.recv().await.unwrap();
    let content = String::from_utf8(relay.content(&accepted).await).unwrap();
    assert!(content.starts_with("Received: from [IPv6:::1] ([IPv6:::1])\r\n"), "{content}");
    relay.ended().await;
}

/// A client that goes in the middle of a message leaves nothing behind.
#[tokio::test]
async fn half_a_message_is_no_message() {
    let mut relay = Relay::start(listener());
    for half in ["Subject: half\r\n\r\nof a", "Subject: half\r\n\r\nof a\r\n.\r"] {
        let mut client = relay.client().await;
        client
            .talk(&[
                ("MAIL FROM:<a@client.test>", "250"),
                ("RCPT TO:<b@example.com>", "250"),
                ("DATA", "354"),
            ])
            .await;
        client.send(half).await;
        drop(client);
        relay.until(|relay| relay.metric("reception_connections{listener=\"smtp\"}") == 0.0).await;
    }
    assert_eq!(relay.spool.counts().messages, 0);
    assert!(relay.accepted.try_recv().is_none());
    let series = "accept_total{listener=\"smtp\",result=\"abandoned\",code_class=\"none\"}";
    assert!((relay.metric(series) - 2.0).abs() < f64::EPSILON);
    relay.ended().await;
}

/// A reset between chunks drops what came, and the session goes on.
#[tokio::test]
async fn rset_drops_the_chunks() {
    let mut relay = Relay::start(listener());
    let mut client = relay.client().await;
    client
        .send("MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.com>\r\nBDAT 3\r\nabcRSET\r\n")
        .await;
    for _ in 0..4 {
        assert_eq!(client.reply().await.code(), 250);
    }
    assert_eq!(relay.spool.counts().messages, 0);
    client.message(MESSAGE).await.is("250");
    let accepted = relay.accepted.recv().await.unwrap();
    assert_ne!(accepted.id, MessageId::from_bytes([0; 16]));
    assert_eq!(relay.spool.counts().messages, 1);
    relay.ended().await;
}
