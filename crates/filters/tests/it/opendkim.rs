//! The real opendkim signs by the milter protocol.

use filters::config::{Config, Kind, Stage};
use filters::facts::Facts;
use filters::verdict::{Action, Change};
use mail::header::{Edit, Header, Place, apply};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use testkit::daemon::Daemon;
use testkit::daemon::opendkim::{Signer, opendkim};

use crate::world::{content, envelope, facts, one, recipient, sender, session};

const LETTER: &str = "From: Alice <alice@example.com>\r\nTo: bob@example.net\r\nSubject: a\r\n folded one\r\n\r\nHello\r\n";

fn signing() -> (Daemon, Config) {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap().serialize_pem();
    let daemon = opendkim(Signer { domain: "example.com", selector: "sel", key: &key });
    let address = format!("inet:{}", daemon.address);
    let config =
        Config { name: "opendkim".to_owned(), kind: Kind::Milter, address, ..Config::default() };
    (daemon, config)
}

#[track_caller]
fn is_signed(changes: &[Change], text: &str) {
    let [Change::Header(edit @ Edit::Add { name, value, at: Place::Top })] = changes else {
        panic!("no signature: {changes:?}")
    };
    assert_eq!(name.as_str(), "DKIM-Signature");
    let value = String::from_utf8(value.as_bytes().to_vec()).unwrap();
    for part in ["v=1", "a=rsa-sha256", "d=example.com", "s=sel", "bh=", "b="] {
        assert!(value.contains(part), "{part} is missing in {value}");
    }
    let signed = apply(text.as_bytes(), std::slice::from_ref(edit));
    let header = Header::read(&signed);
    assert!(header.fields[0].is("DKIM-Signature"));
    assert!(signed.ends_with(text.as_bytes()));
}

#[tokio::test]
async fn each_message_of_a_session_is_signed() {
    let (_daemon, config) = signing();
    let mut session = session(&one(config));
    assert_eq!(session.connect().await.action, Action::Continue);
    assert_eq!(session.helo("client.example").await.action, Action::Continue);
    for round in 0..3 {
        envelope(&mut session).await;
        if round == 1 {
            session.abort();
            continue;
        }
        let text = [LETTER, &"0123456789\r\n".repeat(20_000)].concat();
        let verdict = session.content(content(&text)).await;
        assert_eq!(verdict.action, Action::Continue, "{:?}", verdict.notes);
        is_signed(&verdict.changes, &text);
    }
}

#[tokio::test]
async fn a_client_of_ipv6_or_none_is_understood() {
    let (_daemon, config) = signing();
    let filters = one(config);
    for client in ["[2001:db8::7]:4711".parse().ok(), None] {
        let facts = Facts { client, ..facts() };
        let mut session = filters.session(facts).unwrap();
        let verdict = session.connect().await;
        assert_eq!(verdict.action, Action::Continue, "{:?}", verdict.notes);
        envelope(&mut session).await;
    }
}

#[tokio::test]
async fn a_message_is_signed_before_it_goes_out() {
    let (_daemon, config) = signing();
    let filters = one(Config { stages: vec![Stage::Delivery], ..config });
    let to = vec![recipient("bob@example.net")];
    let verdict = filters.delivery(facts(), (sender(), to), content(LETTER)).await;
    assert_eq!(verdict.action, Action::Continue, "{:?}", verdict.notes);
    is_signed(&verdict.changes, LETTER);
}
