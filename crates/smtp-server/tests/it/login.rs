//! Logins: who may send, as whom, and what of it is told.

use policy::config::Mechanism;
use sasl::{Cost, Entry, hash_password};
use smtp_server::Listener;
use smtp_server::config::Auth;
use units::ByteSize;

use crate::client::Client;
use crate::relay::{Relay, Setup, listener};

/// `\0alice@client.test\0secret`, and the same with `wrong`.
const RIGHT: &str = "AUTH PLAIN AGFsaWNlQGNsaWVudC50ZXN0AHNlY3JldA==";
const WRONG: &str = "AUTH PLAIN AGFsaWNlQGNsaWVudC50ZXN0AHdyb25n";

/// Passwords, also in the clear.
fn auth() -> Auth {
    let mechanisms = vec![Mechanism::Plain, Mechanism::Login];
    Auth { mechanisms, login_without_tls: true, ..Auth::default() }
}

/// A relay with the account `alice@client.test`, which may send as anybody of client.test, and relay; nobody else may.
fn relay(auth: Auth, turn: impl FnOnce(&mut Setup)) -> Relay {
    let cost = Cost { memory: ByteSize::kib(8), passes: 1, ..Cost::default() };
    let hashed = hash_password("secret", &cost).unwrap();
    let accounts = tempfile::NamedTempFile::new().unwrap();
    let senders = ["client.test".to_owned()];
    let entry = Entry::new("alice@client.test", &senders).unwrap().with(&hashed);
    std::fs::write(accounts.path(), entry).unwrap();
    let listener = Listener { auth: Some(auth), bad_commands_max: 5, ..listener() };
    Relay::start_with(listener, |setup| {
        setup.accounts.file = Some(accounts.path().to_owned());
        setup.networks = Vec::new();
        setup.logins = vec!["alice@client.test"];
        turn(setup);
    })
}

#[tokio::test]
async fn a_login_lets_in_and_is_told() {
    let mut relay = relay(auth(), |_| {});
    let mut client = Client::connect(relay.address).await;
    client.reply().await.is("220");
    assert!(client.say("EHLO client.test").await.0.contains("250-AUTH PLAIN LOGIN\r\n"));
    client
        .talk(&[
            ("MAIL FROM:<a@client.test>", "250"),
            (
                "RCPT TO:<b@example.com>",
                "550 5.7.1 Relay access denied for 127.0.0.1; log in first",
            ),
            ("RSET", "250"),
            (RIGHT, "235 2.7.0"),
            (RIGHT, "503"),
            ("MAIL FROM:<a@other.test>", "553 5.7.1 Sender address rejected: the account alice@"),
            ("MAIL FROM:<>", "553 5.7.1"),
        ])
        .await;
    client.message("Subject: test\r\n\r\n").await.is("250");
    let accepted = relay.accepted.recv().await.unwrap();
    let origin = &accepted.envelope.origin;
    assert_eq!(
        (origin.login.as_deref(), &*origin.connector),
        (Some("alice@client.test"), "applications")
    );
    let content = String::from_utf8(relay.content(&accepted).await).unwrap();
    assert!(content.contains("with ESMTPA\r\n"), "{content}");
    assert!(!content.contains("alice"), "{content}");
    let stored = relay.spool.load(accepted.id).await.unwrap();
    assert_eq!(stored.envelope.origin.login.as_deref(), Some("alice@client.test"));
    relay.ended().await;
}

/// AUTH= is believed of those who may send as that (RFC 4954 §5).
#[tokio::test]
async fn a_submitter_is_believed_only_if_the_account_may_send_as_it() {
    let mut relay = relay(auth(), |setup| setup.networks = vec!["127.0.0.1/32"]);
    let mut client = relay.client().await;
    let said = ["AUTH=bob@client.test", "AUTH=bob@other.test", "AUTH=<>", ""];
    let mut found = Vec::new();
    for login in ["NOOP", RIGHT] {
        client.say(login).await.is("2");
        for said in said {
            let mail = format!("MAIL FROM:<a@client.test> {said}");
            client.talk(&[(mail.trim_end(), "250"), ("RCPT TO:<b@example.com>", "250")]).await;
            client.talk(&[("DATA", "354"), ("Subject: x\r\n\r\n.", "250")]).await;
            let accepted = relay.accepted.recv().await.unwrap();
            let submitter = &accepted.envelope.wishes.submitter;
            found.push(match submitter {
                None => "none".to_owned(),
                Some(mail::Submitter::Unknown) => "unknown".to_owned(),
                Some(mail::Submitter::Address(address)) => address.to_string(),
            });
        }
    }
    let want =
        ["unknown", "unknown", "unknown", "none", "bob@client.test", "unknown", "unknown", "none"];
    assert_eq!(found, want);
    relay.ended().await;
}

#[tokio::test]
async fn a_listener_may_want_a_login_of_everybody() {
    let auth = Auth { required: true, ..auth() };
    let relay = relay(auth, |setup| setup.networks = vec!["127.0.0.1/32"]);
    let mut client = relay.client().await;
    client
        .talk(&[
            ("MAIL FROM:<a@client.test>", "530 5.7.0"),
            (WRONG, "535 5.7.8"),
            ("MAIL FROM:<a@client.test>", "530 5.7.0"),
            (RIGHT, "235"),
        ])
        .await;
    client.message("Subject: test\r\n\r\n").await.is("250");
    relay.ended().await;
}

#[tokio::test]
async fn passwords_are_not_taken_in_the_clear_unless_the_listener_says_so() {
    let scram = vec![Mechanism::ScramSha256, Mechanism::Plain];
    let auth = Auth { login_without_tls: false, mechanisms: scram, ..auth() };
    let relay = relay(auth, |_| {});
    let mut client = Client::connect(relay.address).await;
    client.reply().await.is("220");
    let offer = client.say("EHLO client.test").await;
    assert!(offer.0.contains("250-AUTH SCRAM-SHA-256\r\n"), "{offer:?}");
    client.talk(&[(RIGHT, "538 5.7.11"), ("AUTH CRAM-MD5", "504 5.5.4")]).await;
    relay.ended().await;
}

/// Whoever guesses is told to go, and is turned away where only a login helps.
#[tokio::test]
async fn guessing_ends_in_a_ban() {
    for required in [false, true] {
        let auth = Auth { required, ..auth() };
        let relay = relay(auth, |setup| setup.accounts.attempts.failures_per_client_max = 3);
        let mut client = relay.client().await;
        client.talk(&[(WRONG, "535"), (WRONG, "535"), (WRONG, "535")]).await;
        client.say(RIGHT).await.is("421 4.7.0 Too many logins from 127.0.0.1");
        assert!(client.sees_close().await);
        let mut client = Client::connect(relay.address).await;
        let greeting = client.reply().await;
        if required {
            greeting.is("421 4.7.0 Too many logins from 127.0.0.1");
            assert!(client.sees_close().await);
            let turned = r#"load_shed_total{listener="smtp",cause="login_ban"}"#;
            relay.until(|relay| relay.metric(turned) > 0.5).await;
        } else {
            greeting.is("220");
        }
        assert!(relay.metric(r#"login_bans_total{of="client"}"#) > 0.5);
        relay.ended().await;
    }
}

/// A login that the client breaks off, by `*` or by rubbish, leaves nothing behind.
#[tokio::test]
async fn a_login_that_is_broken_off_is_forgotten() {
    let relay = relay(auth(), |_| {});
    let mut client = relay.client().await;
    client
        .talk(&[
            ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
            ("*", "501 5.7.0"),
            ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
            ("a\0b", "500 5.5.2"),
            ("YWxpY2VAY2xpZW50LnRlc3Q=", "500 5.5.1"),
            ("AUTH LOGIN YWxpY2VAY2xpZW50LnRlc3Q=", "334 UGFzc3dvcmQ6"),
            ("c2VjcmV0", "235"),
        ])
        .await;
    assert!(relay.metric(r#"logins_total{mechanism="LOGIN",result="cancelled"}"#) > 1.5);
    relay.ended().await;
}

/// Wrong logins are bad commands.
#[tokio::test]
async fn one_session_has_few_tries() {
    let relay = relay(auth(), |_| {});
    let mut client = relay.client().await;
    client.talk(&[(WRONG, "535"); 5]).await;
    client.reply().await.is("421 4.7.0");
    relay.ended().await;
}
