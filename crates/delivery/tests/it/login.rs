//! Login to a smart host (RFC 4954).

use std::os::unix::fs::PermissionsExt;

use mail::Fate;
use policy::config::{Login, Mechanism, TlsLevel, Token};
use testkit::authority::Authority;
use testkit::peer::Act::{Close, Reply};
use testkit::peer::{Act, Peer, Script};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::relay::{Relay, Setup, fates, unreachable};

const DELIVERED: [(Fate, u16); 1] = [(Fate::Delivered, 250)];
/// NUL, `relay`, NUL, `open sesame`.
const PLAIN: &str = "AUTH PLAIN AHJlbGF5AG9wZW4gc2VzYW1l";
const WELCOME: &str = "235 2.7.0 welcome";

fn script(mechanisms: &'static str) -> Script {
    Script::default().offers(&["PIPELINING", mechanisms])
}

/// A relay to `peer` that logs in behind TLS only.
fn relay(peer: &Peer, level: TlsLevel) -> Relay {
    relay_with(peer, level, |_| {})
}

fn relay_with(peer: &Peer, level: TlsLevel, change: impl FnOnce(&mut Login)) -> Relay {
    let file = secret_file();
    let mut setup = Setup::to(&[peer.address()]).tls(level);
    let mut login = Login {
        user: "relay".to_owned(),
        password_file: Some(file.path().to_owned()),
        ..Login::default()
    };
    change(&mut login);
    setup.connector.login = Some(login);
    // The file is read at the start and not needed any more.
    Relay::start(setup)
}

async fn encrypted(script: Script) -> Peer {
    Peer::start_tls(Authority::new("Test Authority").acceptor("127.0.0.1"), [script]).await
}

fn said(peer: &Peer, prefix: &str) -> usize {
    let seen = peer.seen();
    seen.iter().flat_map(|seen| &seen.lines).filter(|line| line.starts_with(prefix)).count()
}

#[tokio::test]
async fn plain_is_said_behind_tls_once_for_each_connection() {
    let peer = encrypted(script("AUTH PLAIN LOGIN").replies("AUTH", WELCOME)).await;
    let mut relay = relay(&peer, TlsLevel::Opportunistic);
    for _ in 0..2 {
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
    }
    let seen = peer.seen();
    assert_eq!(seen.len(), 1);
    let want = ["EHLO relay.example", "STARTTLS", "EHLO relay.example", PLAIN];
    assert_eq!(seen[0].lines[..4], want);
    assert_eq!(said(&peer, "AUTH"), 1);
    assert!(!relay.registry.render().contains("sesame"));
}

#[tokio::test]
async fn login_serves_where_nothing_else_is_offered() {
    for offer in ["AUTH LOGIN", "AUTH=LOGIN", "auth GSSAPI XOAUTH2 login"] {
        let script = script(offer)
            .replies("AUTH LOGIN", "334 VXNlcm5hbWU6")
            .replies("cmVsYXk=", "334 UGFzc3dvcmQ6")
            .replies("b3BlbiBzZXNhbWU=", WELCOME);
        let peer = encrypted(script).await;
        let mut relay = relay(&peer, TlsLevel::Encrypt);
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED, "{offer}");
    }
}

#[tokio::test]
async fn the_next_mechanism_follows_where_the_host_does_not_like_one() {
    for code in ["504 5.5.4 not for you", "534 5.7.9 too weak"] {
        let script = script("AUTH CRAM-MD5 PLAIN LOGIN")
            .replies("AUTH PLAIN", code)
            .replies("AUTH LOGIN", "334 VXNlcm5hbWU6")
            .replies("cmVsYXk=", "334 UGFzc3dvcmQ6")
            .replies("b3BlbiBzZXNhbWU=", WELCOME);
        let peer = encrypted(script).await;
        let mut relay = relay(&peer, TlsLevel::Encrypt);
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED, "{code}");
        assert_eq!((said(&peer, "AUTH PLAIN"), said(&peer, "AUTH LOGIN")), (1, 1));
    }
}

#[tokio::test]
async fn only_the_mechanisms_of_the_settings_are_used() {
    let peer = encrypted(script("AUTH PLAIN LOGIN")).await;
    let mut relay = relay_with(&peer, TlsLevel::Encrypt, |login| {
        login.mechanisms = vec![Mechanism::ScramSha256];
    });
    let reply = unreachable(relay.deliver(&["a@x.example"]).await);
    assert!(reply.text().ends_with("(it offers PLAIN LOGIN)"), "{reply}");
    assert_eq!((said(&peer, "AUTH"), said(&peer, "MAIL")), (0, 0));
}

/// A challenge that asks for fewer rounds than any honest host does ends the login before the password is worked on.
#[tokio::test]
async fn scram_goes_before_plain_and_an_impostor_gets_nothing() {
    let first = "AUTH SCRAM-SHA-256 ";
    // r=x,s=c2FsdA==,i=1
    let script = script("AUTH PLAIN SCRAM-SHA-256").replies(first, "334 cj14LHM9YzJGc2RBPT0saT0x");
    let peer = encrypted(script).await;
    let mut relay = relay(&peer, TlsLevel::Encrypt);
    let reply = unreachable(relay.deliver(&["a@x.example"]).await);
    assert!(reply.text().contains("asks for 1 iterations"), "{reply}");
    assert_eq!((said(&peer, first), said(&peer, "AUTH PLAIN"), said(&peer, "MAIL")), (1, 0, 0));
}

/// What the host sees is the second token; the first is refused, and so is the second by a host that takes none.
#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    const SECOND: &str = "AUTH XOAUTH2 dXNlcj1yZWxheQFhdXRoPUJlYXJlciB0d28BAQ==";
    for (reply, mails) in [(WELCOME, 1), ("535 5.7.8 no", 0)] {
        let url = token_service(&["one", "two", "three"]).await;
        let script = script("AUTH XOAUTH2 PLAIN")
            .replies(SECOND, reply)
            .replies("AUTH XOAUTH2", "535 5.7.8 no");
        let peer = encrypted(script).await;
        let secret = secret_file();
        let mut relay = relay_with(&peer, TlsLevel::Encrypt, |login| {
            login.password_file = None;
            login.token = Some(Token {
                url: Some(url),
                client_id: "relay".to_owned(),
                client_secret_file: Some(secret.path().to_owned()),
                ..Token::default()
            });
        });
        let outcome = relay.deliver(&["a@x.example"]).await;
        assert_eq!((said(&peer, "AUTH XOAUTH2"), said(&peer, "AUTH")), (2, 2));
        assert_eq!((said(&peer, SECOND), said(&peer, "MAIL")), (1, mails));
        if mails == 0 {
            let reply = unreachable(outcome);
            assert!(reply.text().contains("login as relay by XOAUTH2 refused by"), "{reply}");
        }
    }
}

/// A service that gives one token after another, for client credentials.
async fn token_service(tokens: &'static [&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for token in tokens {
            let Ok((mut socket, _)) = listener.accept().await else { return };
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains("grant_type=client_credentials") {
                if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let body = format!("{{\"access_token\":\"{token}\",\"expires_in\":3600}}");
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ";
            let answer = format!("{head}{}\r\n\r\n{body}", body.len());
            socket.write_all(answer.as_bytes()).await.ok();
            socket.shutdown().await.ok();
        }
    });
    url
}

fn secret_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "open sesame\n").unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// A wrong password is the operator's to mend; no message is returned for it.
#[tokio::test]
async fn a_refused_login_keeps_the_message() {
    let cases: [(&[Act], &str, &str); 5] = [
        (&[Reply("535 5.7.8 wrong")], "451 4.7.0 ", "535 5.7.8 wrong"),
        (&[Reply("550 5.7.1 never")], "451 4.7.0 ", "550 5.7.1 never"),
        (&[Reply("454 4.7.12 later")], "451 4.7.12 ", "454 4.7.12 later"),
        (&[Reply("421 4.3.2 busy"), Close], "451 4.3.2 ", "421 4.3.2 busy"),
        (
            &[Reply("500 5.5.1 what is AUTH PLAIN AHJlbGF5AG9wZW4gc2VzYW1l")],
            "451 4.7.0 ",
            "500 5.5.1 (words that repeat the login)",
        ),
    ];
    for (acts, start, end) in cases {
        let peer = encrypted(script("AUTH PLAIN").on("AUTH", acts)).await;
        let mut relay = relay(&peer, TlsLevel::Encrypt);
        let reply = unreachable(relay.deliver(&["a@x.example"]).await);
        let host = format!("127.0.0.1[127.0.0.1]:{}", peer.address().port());
        let want = format!("{start}login as relay by PLAIN refused by {host}: {end}");
        assert_eq!(reply.to_string(), want);
        assert_eq!(said(&peer, "MAIL"), 0);
        let metric = "chasqui_connect_failures_total{connector=\"out\",stage=\"login\"} 1";
        assert!(relay.shows(metric));
    }
}

#[tokio::test]
async fn a_login_that_comes_to_no_end_keeps_the_message() {
    let cases: [(&[Act], &str); 5] = [
        (&[Act::Stall], "broke off: "),
        (&[Close], "closed the connection"),
        (&[Act::Raw("235 2.7.0 welcome\r\n250 2.0.0 more\r\n")], "said more than it was asked for"),
        (&[Act::Raw("hello\r\n"), Close], "not an SMTP reply"),
        (&[Reply("334 ???")], "does not follow LOGIN"),
    ];
    for (acts, want) in cases {
        let peer = encrypted(script("AUTH LOGIN").on("AUTH", acts)).await;
        let mut relay = relay(&peer, TlsLevel::Encrypt);
        let reply = unreachable(relay.deliver(&["a@x.example"]).await);
        assert!(reply.text().starts_with("login as relay "), "{reply}");
        assert!(reply.text().contains(want), "{reply}");
        assert_eq!(said(&peer, "MAIL"), 0);
    }
}

#[tokio::test]
async fn without_an_offer_nothing_is_sent() {
    for offer in ["8BITMIME", "AUTH", "AUTH GSSAPI DIGEST-MD5"] {
        let peer = encrypted(script(offer)).await;
        let mut relay = relay(&peer, TlsLevel::Encrypt);
        let reply = unreachable(relay.deliver(&["a@x.example"]).await);
        assert!(reply.text().contains("the host offers no login that is set up here"), "{reply}");
        assert_eq!((said(&peer, "AUTH"), said(&peer, "MAIL")), (0, 0));
    }
}

#[tokio::test]
async fn without_tls_neither_login_nor_mail_is_sent() {
    let offers = || script("AUTH PLAIN").replies("AUTH", WELCOME);
    for (level, want) in [
        (TlsLevel::None, "is not sent to"),
        (TlsLevel::Opportunistic, "the login is not sent without TLS"),
        (TlsLevel::Encrypt, "the connector asks for TLS"),
    ] {
        let peer = Peer::start([offers()]).await;
        let reply = unreachable(relay(&peer, level).deliver(&["a@x.example"]).await);
        assert!(reply.to_string().starts_with("451 4.7.5 "), "{reply}");
        assert!(reply.text().contains(want), "{reply}");
        assert_eq!((said(&peer, "AUTH"), said(&peer, "MAIL")), (0, 0), "{level:?}");
    }
    // A handshake that fails is no way into clear text either.
    let peer = encrypted(offers().on("STARTTLS", &[Reply("220 2.0.0 go ahead"), Close])).await;
    let mut relay = relay(&peer, TlsLevel::Opportunistic);
    unreachable(relay.deliver(&["a@x.example"]).await);
    assert_eq!((peer.seen().len(), said(&peer, "AUTH")), (1, 0));
}

#[tokio::test]
async fn a_login_in_clear_text_is_sent_where_the_connector_says_so() {
    for level in [TlsLevel::None, TlsLevel::Opportunistic] {
        let peer = Peer::start([script("AUTH PLAIN").replies(PLAIN, WELCOME)]).await;
        let mut relay = relay_with(&peer, level, |login| login.login_without_tls = true);
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
        assert_eq!(said(&peer, PLAIN), 1);
    }
}
