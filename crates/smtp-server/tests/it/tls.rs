//! STARTTLS, implicit TLS, and a new certificate.

use std::path::Path;

use ::tls::client::{Config, Connectors, Stream, Verification};
use smtp_server::{Listener, ListenerTls};
use testkit::authority::Authority;
use tokio::net::TcpStream;
use units::Span;

use crate::client::Client;
use crate::relay::{Relay, listener};

struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files =
            Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new("tests") };
        std::fs::write(files.path("roots.pem"), files.authority.pem()).unwrap();
        files.issue("relay.test");
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::join(self.folder.path(), name)
    }

    fn issue(&self, name: &str) {
        let pair = self.authority.issue(name);
        std::fs::write(self.path("certificate.pem"), pair.certificate).unwrap();
        std::fs::write(self.path("key.pem"), pair.key).unwrap();
    }

    fn listener(&self, tls: ListenerTls) -> Listener {
        let certificate = Some(self.path("certificate.pem"));
        Listener { tls, certificate, key: Some(self.path("key.pem")), ..listener() }
    }

    fn connectors(&self) -> Connectors {
        let roots = Some(self.path("roots.pem"));
        Connectors::open(&Config { roots, trusts_system: false }).unwrap()
    }

    /// Does a handshake that wants a certificate for `name`.
    async fn handshake(&self, name: &str, client: Client) -> Option<Client<Stream<TcpStream>>> {
        let verification = Verification::AuthorityAndName;
        let socket = client.into_socket();
        let stream = self.connectors().connect(verification, name, socket).await;
        stream.ok().map(Client::new)
    }
}

#[tokio::test]
async fn starttls_is_offered_done_and_told() {
    let files = Files::new();
    let mut relay = Relay::start(files.listener(ListenerTls::StartTls));
    let mut client = Client::connect(relay.address).await;
    client.reply().await.is("220");
    let offer = client.say("EHLO client.test").await;
    assert!(offer.0.contains("STARTTLS"), "{offer:?}");
    client.talk(&[("STARTTLS now", "501"), ("STARTTLS", "220")]).await;
    let mut client = files.handshake("relay.test", client).await.unwrap();
    client.talk(&[("MAIL FROM:<a@client.test>", "503")]).await;
    let offer = client.say("EHLO client.test").await;
    assert!(!offer.0.contains("STARTTLS"), "{offer:?}");
    client.message("Subject: test\r\n\r\n").await.is("250");
    let accepted = relay.accepted.recv().await.unwrap();
    let content = String::from_utf8(relay.content(&accepted).await).unwrap();
    assert!(content.contains("with ESMTPS\r\n\t(TLSv1.3 TLS_"), "{content}");
    assert!(accepted.envelope.origin.tls.as_deref().unwrap().starts_with("TLSv1.3 "));
    client.talk(&[("QUIT", "221")]).await;
    assert!(client.sees_close().await);
    relay.ended().await;
}

/// TLS cuts content into records of its own, which fit the relay's reads in no way.
#[tokio::test]
async fn content_of_any_size_comes_through_whole() {
    let files = Files::new();
    let mut relay = Relay::start(files.listener(ListenerTls::StartTls));
    let mut client = relay.client().await;
    client.talk(&[("STARTTLS", "220")]).await;
    let mut client = files.handshake("relay.test", client).await.unwrap();
    client.say("EHLO client.test").await.is("250");
    for lines in [1, 700, 1400, 90_000] {
        let content =
            format!("Subject: {lines}\r\n\r\n{}", "0123456789 123456789\r\n".repeat(lines));
        client.message(&content).await.is("250");
        let accepted = relay.accepted.recv().await.unwrap();
        assert!(relay.content(&accepted).await.ends_with(content.as_bytes()), "{lines}");
        // A burst of commands, the last of them cut.
        client.send("NOOP\r\n".repeat(1000) + "NO").await;
        client.send("OP\r\n").await;
        for _ in 0..1001 {
            client.reply().await.is("250");
        }
    }
    relay.ended().await;
}

/// Words that an attacker put behind STARTTLS in clear do not come out inside TLS (CVE-2011-0411).
#[tokio::test]
async fn nothing_said_in_clear_counts_inside() {
    let files = Files::new();
    let relay = Relay::start(files.listener(ListenerTls::StartTls));
    let mut client = relay.client().await;
    client.send("STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\n").await;
    let said = client.reply().await;
    if said.code() == 220 {
        if let Some(mut client) = files.handshake("relay.test", client).await {
            // Were the injected words kept, their replies would come first.
            client.talk(&[("NOOP", "250"), ("RCPT TO:<b@example.com>", "503")]).await;
            client.talk(&[("EHLO client.test", "250")]).await;
        }
    } else {
        assert!(said.code() >= 400, "{said:?}");
    }
    relay.ended().await;
}

#[tokio::test]
async fn a_listener_may_want_tls() {
    let files = Files::new();
    let relay =
        Relay::start(Listener { requires_tls: true, ..files.listener(ListenerTls::StartTls) });
    let mut client = relay.client().await;
    client.talk(&[("MAIL FROM:<a@client.test>", "530 5.7.0"), ("STARTTLS", "220")]).await;
    let mut client = files.handshake("relay.test", client).await.unwrap();
    client.talk(&[("EHLO client.test", "250")]).await;
    client.message("Subject: test\r\n\r\n").await.is("250");
    relay.ended().await;
}

#[tokio::test]
async fn a_new_certificate_serves_new_sessions() {
    let files = Files::new();
    let relay = Relay::start(files.listener(ListenerTls::Implicit));
    let connect = async || Client::connect(relay.address).await;
    let mut old = files.handshake("relay.test", connect().await).await.unwrap();
    old.reply().await.is("220");
    files.issue("new.test");
    assert!(files.handshake("new.test", connect().await).await.is_none());
    relay.certificates.reload().unwrap();
    let mut new = files.handshake("new.test", connect().await).await.unwrap();
    new.reply().await.is("220");
    new.talk(&[("EHLO client.test", "250")]).await;
    new.message("Subject: test\r\n\r\n").await.is("250");
    old.talk(&[("EHLO client.test", "250")]).await;
    std::fs::write(files.path("key.pem"), "no key").unwrap();
    let failures = relay.certificates.reload().unwrap_err();
    assert_eq!(failures[0].0, "smtp");
    assert!(files.handshake("new.test", connect().await).await.is_some(), "the last one serves");
    relay.ended().await;
}

/// A client that stalls in the handshake is closed, and takes no place of others for long.
#[tokio::test]
async fn handshakes_are_bounded_in_time_and_number() {
    let files = Files::new();
    let relay = Relay::start(Listener {
        handshakes_max: 1,
        handshake_wait_max: Span::millis(200),
        ..files.listener(ListenerTls::Implicit)
    });
    let stalled = Client::connect(relay.address).await;
    let waiting = Client::connect(relay.address).await;
    assert!(stalled.sees_close().await && waiting.sees_close().await);
    relay.until(|relay| relay.metric("reception_connections{listener=\"smtp\"}") == 0.0).await;
    let series = "reception_tls_handshakes_total{listener=\"smtp\",result=\"timed_out\"}";
    assert!(relay.metric(series) >= 1.0);
    let client = Client::connect(relay.address).await;
    assert!(files.handshake("relay.test", client).await.is_some());
    relay.ended().await;
}

/// Nothing is under way before a handshake is done, so a stop does not wait for one.
#[tokio::test]
async fn a_stop_ends_handshakes() {
    let files = Files::new();
    let implicit =
        Listener { handshake_wait_max: Span::minutes(5), ..files.listener(ListenerTls::Implicit) };
    let relay = Relay::start_with(implicit, |setup| {
        setup.drain_wait_max = std::time::Duration::from_mins(5);
    });
    let stalled = Client::connect(relay.address).await;
    relay.until(|relay| relay.metric("reception_connections{listener=\"smtp\"}") > 0.0).await;
    relay.ended().await;
    assert!(stalled.sees_close().await);
}
