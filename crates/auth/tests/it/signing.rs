//! What we sign verifies, whatever the message looks like.

use std::sync::Arc;

use auth::config::{KeyState, Signing};
use auth::finding::Verdict;
use auth::{Kind, Published, SignError, Signer, SigningKey};
use mail::Timestamp;
use proptest::prelude::*;
use telemetry::Registry;
use testkit::dns::{Answer, DnsServer, Kind as Asked};
use units::{Clock, Span};

use crate::common::{self, dns, key, publish, signed, signer};

/// Signs with both kinds of keys and evaluates.
async fn round_trip(messages: &[Vec<u8>]) {
    let folder = tempfile::tempdir().unwrap();
    let server = DnsServer::start().await;
    let keys = [Kind::Ed25519, Kind::Rsa].map(|kind| {
        let (key, made) = key(folder.path(), kind, "example.com", &format!("{kind:?}"));
        publish(&server, &made);
        key
    });
    let signer = signer(&keys);
    for message in messages {
        let signed = signed(&signer, message);
        let found =
            common::evaluate_with(&server, auth::Config::default(), "a@b.example", &signed).await;
        let results: Vec<_> = found.dkim.iter().map(|it| (it.result, it.algorithm)).collect();
        let want = [(Verdict::Pass, "rsa-sha256"), (Verdict::Pass, "ed25519-sha256")];
        assert_eq!(results, want, "{:?}\n{found:?}", String::from_utf8_lossy(&signed));
    }
}

const HEADER: &str = "From: A <a@example.com>\r\nTo: b@c.example\r\nSubject: s\r\n";

#[tokio::test]
async fn bodies_of_all_shapes_verify() {
    let bodies = [
        "",
        "\r\n",
        "a",
        "a\r\n",
        "a\r\n\r\n\r\n",
        "a\r\n \r\n\t\r\n  ",
        "<html>\r\n</html>\r\n    \r\n",
        " \t \r\n",
        "a  b\t\tc \r\n d\r\n",
        ".\r\n..\r\n",
    ];
    let mut messages: Vec<_> =
        bodies.iter().map(|body| format!("{HEADER}\r\n{body}").into_bytes()).collect();
    messages.push(format!("{HEADER}\r\n{}", "0123456789 \r\n".repeat(100_000)).into_bytes());
    messages.push(HEADER.as_bytes().to_vec());
    messages.push(
        b"from :a@example.com\r\nSUBJECT:\r\n\tfolded\r\n  twice\r\nSubject: two\r\n\r\nx\r\n"
            .to_vec(),
    );
    round_trip(&messages).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_signed_verifies(
        subject in "[ -~]{0,80}",
        fields in proptest::collection::vec("(To|Cc|Subject|List-Id|X-Other): [ -~]{0,30}(\r\n [a-z]{1,9})?", 0..6),
        body in "([a-z. \t]{0,12}(\r\n)?){0,12}[ \t\r\n]{0,6}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let fields: String = fields.iter().flat_map(|field| [field.as_str(), "\r\n"]).collect();
        let message = format!("From: a@example.com\r\nSubject: {subject}\r\n{fields}\r\n{body}");
        runtime.block_on(round_trip(&[message.into_bytes()]));
    }
}

fn signatures(signer: &Signer, message: &str) -> Vec<String> {
    let (header, body) = common::split(message.as_bytes());
    let now = Timestamp::from_millis(1_800_000_000_000);
    let fields = signer.sign(signer.keys(), header, [body], now).unwrap();
    fields.into_iter().map(|field| String::from_utf8(field).unwrap()).collect()
}

#[test]
fn fields_are_signed_as_often_as_they_are_there_and_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = key(folder.path(), Kind::Rsa, "example.com", "s1");
    let config = Signing { age_max: Span::hours(1), ..Signing::default() };
    let signer = common::signer_with(&config, &[key]);
    let message = "Received: x\r\nFrom: a@example.com\r\nCc: b\r\nCc: c\r\nX-Other: d\r\n\r\n";
    let fields = signatures(&signer, message);
    let field = fields.first().unwrap();
    let start = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td=example.com; s=s1;\r\n\t\
                 t=1800000000; x=1800003600;\r\n\th=from:from:cc:cc:subject;\r\n\tbh=";
    assert!(field.starts_with(start), "{field}");
    assert!(field.ends_with("==\r\n"), "{field}");
    assert!(field.lines().all(|line| line.len() <= 78), "{field}");
    let header = b"To: b@c.example\r\n\r\n";
    let result = signer.sign(signer.keys(), header, [b""], Timestamp::from_millis(0));
    assert_eq!(result, Err(SignError::NoFrom));
    assert_eq!(signer.sign(&[], header, [b""], Timestamp::from_millis(0)), Ok(Vec::new()));
}

fn names(keys: &[Arc<SigningKey>]) -> Vec<String> {
    keys.iter().map(|key| format!("{}.{}", key.selector, key.domain)).collect()
}

#[tokio::test]
async fn the_nearest_domain_signs() {
    let folder = tempfile::tempdir().unwrap();
    let make = |domain, selector, state| {
        let (mut key, _) = key(folder.path(), Kind::Ed25519, domain, selector);
        key.state = state;
        key
    };
    let signer = signer(&[
        make("example.com", "a", KeyState::Active),
        make("example.com", "b", KeyState::Active),
        make("example.com", "old", KeyState::Retiring),
        make("mail.example.com", "c", KeyState::Active),
        make("news.example.com", "d", KeyState::Pending),
    ]);
    let server = DnsServer::start().await;
    for (domain, want) in [
        ("example.com", &["a.example.com", "b.example.com"][..]),
        ("Example.COM", &["a.example.com", "b.example.com"]),
        ("x.mail.example.com", &["c.mail.example.com"]),
        ("news.example.com", &["a.example.com", "b.example.com"]),
        ("badexample.com", &[]),
        ("com", &[]),
        ("", &[]),
    ] {
        let choice = signer.choose(&dns(&server), domain).await;
        assert_eq!(names(&choice.keys), want, "{domain}");
        assert_eq!(signer.signs_for(domain), !want.is_empty(), "{domain}");
    }
    assert!(server.queries().is_empty());
}

#[tokio::test]
async fn a_key_that_the_dns_lacks_does_not_sign() {
    let folder = tempfile::tempdir().unwrap();
    let (mut key, made) = key(folder.path(), Kind::Rsa, "example.com", "s1");
    let (_, other) = common::key(folder.path(), Kind::Rsa, "example.com", "s2");
    key.check_dns = true;
    let clock = Clock::manual(0);
    let signer =
        Signer::open(&Signing::default(), &[key], clock.clone(), &Registry::new()).unwrap();
    let server = DnsServer::start().await;
    let name = made.record.name.clone();
    let check = async |keys: usize, want: &str| {
        let choice = signer.choose(&dns(&server), "example.com").await;
        let said: Vec<_> = choice.left_out.iter().map(ToString::to_string).collect();
        assert_eq!((choice.keys.len(), said.concat().contains(want)), (keys, true), "{said:?}");
        choice
    };
    check(0, "s1._domainkey.example.com is not published").await;
    let text = other.record.value.clone();
    server.set(&name, Asked::Txt, Answer::Records(vec![testkit::dns::Record::Txt(text.clone())]));
    check(0, "is not published").await;
    clock.advance(std::time::Duration::from_mins(1));
    let choice = check(0, "publishes another key").await;
    assert_eq!(choice.left_out[0].published, Published::Differs { found: text });
    publish(&server, &made);
    clock.advance(std::time::Duration::from_mins(1));
    check(1, "").await;
    let asked = server.queries().len();
    check(1, "").await;
    assert_eq!(server.queries().len(), asked, "the answer is remembered");
    server.set(&name, Asked::Txt, Answer::ServFail);
    clock.advance(std::time::Duration::from_hours(2));
    check(1, "").await;
    server.set(&name, Asked::Txt, Answer::NxDomain);
    clock.advance(std::time::Duration::from_hours(2));
    check(0, "is not published").await;
    server.set(&name, Asked::Txt, Answer::ServFail);
    clock.advance(std::time::Duration::from_hours(2));
    check(0, "could not be looked up").await;
}

/// A reload while the DNS does not answer lets no mail leave unsigned; a new key is asked for all the same.
#[tokio::test]
async fn other_settings_remember_what_the_dns_said_of_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let (mut key, made) = key(folder.path(), Kind::Ed25519, "example.com", "s1");
    key.check_dns = true;
    let server = DnsServer::start().await;
    publish(&server, &made);
    let choose =
        async |signer: &Signer| signer.choose(&dns(&server), "example.com").await.keys.len();
    let first = signer(&[key.clone()]);
    assert_eq!(choose(&first).await, 1);
    server.set(&made.record.name, Asked::Txt, Answer::ServFail);
    let again = first.reopened(&Signing::default(), &[key.clone()]).unwrap();
    assert_eq!(choose(&again).await, 1);
    // The same name, another key.
    common::key(folder.path(), Kind::Ed25519, "example.com", "s1");
    let other = again.reopened(&Signing::default(), &[key.clone()]).unwrap();
    assert_eq!(choose(&other).await, 0);
    std::fs::write(&key.key_file, "no key").unwrap();
    assert!(again.reopened(&Signing::default(), &[key]).is_err());
    assert!(again.has_active() && !signer(&[]).has_active());
}

/// OpenSSL calls it `RSAPublicKey_out`; old guides have people publish it.
#[tokio::test]
async fn the_inner_form_of_an_rsa_key_is_the_key_too() {
    use base64::Engine as _;
    let folder = tempfile::tempdir().unwrap();
    let (key, made) = key(folder.path(), Kind::Rsa, "example.com", "s1");
    let (head, letters) = made.record.value.split_once("p=").unwrap();
    let whole = base64::engine::general_purpose::STANDARD.decode(letters).unwrap();
    // Behind the algorithm's name, as long for each key of 2048 bits.
    let inner = base64::engine::general_purpose::STANDARD.encode(&whole[24..]);
    let server =
        DnsServer::start().await.with_texts(&made.record.name, &[&format!("{head}p={inner}; t=s")]);
    let signer = signer(&[key]);
    assert_eq!(signer.keys()[0].published(&dns(&server)).await, Published::Yes);
    let message = signed(&signer, format!("{HEADER}\r\nhello\r\n").as_bytes());
    let config = auth::Config::default();
    let found = common::evaluate_with(&server, config, "a@b.example", &message).await;
    assert_eq!(found.dkim[0].result, Verdict::Pass, "{found:?}");
}

#[test]
fn a_selector_is_used_once() {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = key(folder.path(), Kind::Ed25519, "example.com", "s1");
    let keys = [key.clone(), key];
    let error =
        Signer::open(&Signing::default(), &keys, Clock::manual(0), &Registry::new()).unwrap_err();
    assert!(error.to_string().contains("two keys have the selector s1"), "{error}");
}
