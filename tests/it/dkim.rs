//! Signatures of others survive the relay.

use std::collections::HashMap;
use std::fs;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, MessageAuthenticator, Parameters, ResolverCache,
    Txt,
};
use mail_parser::decoders::base64::base64_decode;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::corpus::{corpus_folder, read_message};
use crate::harness::letter::{behind_trace, letter};
use crate::harness::relay::Relay;
use crate::harness::sink::{Act, Sink};

/// The Ed25519 key of RFC 8463 A.2.
const ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// The RSA key of RFC 8463 A.2, which is short but fixed by the RFC.
const RFC_RSA_PUBLIC: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";
const FIELDS: [&str; 7] = ["From", "From", "To", "Date", "Message-ID", "Subject", "Subject"];

/// The key records of the tests: consulted before any resolver, so nothing leaves this machine.
struct Records(HashMap<Box<str>, Txt>);

impl Records {
    fn all() -> Self {
        let rsa =
            fs::read_to_string(corpus_folder().join("keys/rsa.public.base64")).expect("a key");
        let records = [
            ("rsa._domainkey.sender.example.", format!("v=DKIM1; k=rsa; p={}", rsa.trim())),
            ("ed._domainkey.sender.example.", format!("v=DKIM1; k=ed25519; p={ED25519_PUBLIC}")),
            (
                "brisbane._domainkey.football.example.com.",
                format!("v=DKIM1; k=ed25519; p={ED25519_PUBLIC}"),
            ),
            (
                "test._domainkey.football.example.com.",
                format!("v=DKIM1; k=rsa; p={RFC_RSA_PUBLIC}"),
            ),
        ];
        let entry = |(name, record): (&str, String)| {
            let key = DomainKey::parse(record.as_bytes()).expect("a key record");
            (name.into(), Txt::DomainKey(Arc::new(key)))
        };
        Self(records.map(entry).into())
    }
}

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// What each signature of a message comes to.
pub(crate) fn verify(message: &[u8]) -> Vec<bool> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let config = ResolverConfig::default();
        let authenticator =
            MessageAuthenticator::new(config, ResolverOpts::default()).expect("a resolver");
        let message = AuthenticatedMessage::parse(message).expect("a message");
        let records = Records::all();
        let parameters = Parameters::new(&message).with_txt_cache(&records);
        let outputs: Vec<DkimOutput<'_>> = authenticator.verify_dkim(parameters).await;
        outputs.iter().map(|output| *output.result() == DkimResult::Pass).collect()
    })
}

fn signed<K: SigningKey<Hasher = Sha256>>(
    key: K,
    selector: &str,
    way: Canonicalization,
    content: &[u8],
) -> Vec<u8> {
    let signer = DkimSigner::from_key(key)
        .domain("sender.example")
        .selector(selector)
        .headers(FIELDS)
        .header_canonicalization(way)
        .body_canonicalization(way);
    let mut message = signer.sign(content).expect("a signature").to_header().into_bytes();
    message.extend_from_slice(content);
    message
}

fn rsa() -> RsaKey<Sha256> {
    let text = fs::read_to_string(corpus_folder().join("keys/rsa.pkcs8.base64")).expect("a key");
    let flat: String = text.split_whitespace().collect();
    let der = base64_decode(flat.as_bytes()).expect("base64");
    RsaKey::from_key_der(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der))).expect("an RSA key")
}

fn ed25519() -> Ed25519Key {
    let seed = base64_decode(ED25519_SEED.as_bytes()).expect("base64");
    let public = base64_decode(ED25519_PUBLIC.as_bytes()).expect("base64");
    Ed25519Key::from_seed_and_public_key(&seed, &public).expect("an Ed25519 key")
}

/// Messages with both kinds of keys and both canonicalisations; `simple` forgives nothing.
fn originals() -> Vec<Vec<u8>> {
    use Canonicalization::{Relaxed, Simple};
    let odd = b"From: Ana <ana@sender.example>\r\nTo:   Bo\t<bo@receiver.example>\r\nSubject : odd \r\n\tfolded  \r\n\
        Date: Thu, 20 Aug 2026 10:00:00 +0000\r\nMessage-ID: <odd@sender.example>\r\n\r\n.dot\r\ntrailing \t\r\n\xe4\r\n";
    let contents = [letter("dkim", 900), letter("dkim-large", 200_000), odd.to_vec()];
    let mut originals = vec![read_message(&corpus_folder().join("dkimpy/rfc6376.signed.msg"))];
    for content in contents {
        originals.push(signed(rsa(), "rsa", Simple, &content));
        originals.push(signed(rsa(), "rsa", Relaxed, &content));
        originals.push(signed(ed25519(), "ed", Simple, &signed(rsa(), "rsa", Relaxed, &content)));
    }
    originals
}

#[test]
fn signatures_of_the_originals_still_verify() {
    let sink = Sink::start();
    let relay = Relay::towards(sink.address());
    let originals = originals();
    let mut session = relay.session();
    for (number, original) in originals.iter().enumerate() {
        let before = verify(original);
        assert!(!before.is_empty() && before.iter().all(|&passes| passes), "{number}: {before:?}");
        let recipient = format!("{number}@receiver.example");
        assert_eq!(session.deliver("ana@sender.example", &[&recipient], original).code, 250);
    }
    session.quit();
    for message in sink.wait_accepted(originals.len()) {
        let after = verify(&message.content);
        let original = &originals[message.recipients[0]
            .split('@')
            .next()
            .expect("a number")
            .parse::<usize>()
            .expect("a number")];
        assert!(
            after.len() == verify(original).len() && after.iter().all(|&passes| passes),
            "{after:?}"
        );
    }
}

/// The check above can fail: one changed octet behind the trace header is noticed.
#[test]
fn a_changed_octet_breaks_a_signature() {
    let sink = Sink::scripted(|_| Act::Go);
    let relay = Relay::towards(sink.address());
    let original = signed(rsa(), "rsa", Canonicalization::Simple, &letter("changed", 900));
    relay.submit("ana@sender.example", &["bo@receiver.example"], &original);
    let mut content = behind_trace(&sink.wait_accepted(1)[0].content).to_vec();
    assert_eq!(verify(&content), [true]);
    let last = content.len() - 4;
    content[last] ^= 1;
    assert_eq!(verify(&content), [false]);
}
