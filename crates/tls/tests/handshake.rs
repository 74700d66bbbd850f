//! Handshakes over an in-memory pipe, with certificates made on the spot.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tls::client::{Connectors, Verification};
use tls::server::{self, Acceptor};
use tls::{CertificateError, facts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    named("Test Authority")
}

fn named(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

/// Writes `cert.pem` and `key.pem` for `name`, from year `from` on, until year `to`.
fn issue(folder: &Path, authority: &Authority, name: &str, years: (i32, i32)) -> server::Config {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let config =
        server::Config { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&config.certificate, certificate.pem()).unwrap();
    std::fs::write(&config.key, key.serialize_pem()).unwrap();
    config
}

fn trusting(folder: &Path, authority: &Authority) -> Connectors {
    let path = folder.join("roots.pem");
    std::fs::write(&path, &authority.pem).unwrap();
    let config = tls::client::Config { roots: Some(path), trusts_system: false };
    Connectors::open(&config).unwrap()
}

/// What the client and the server each say of one handshake.
async fn shake(
    acceptor: &Acceptor,
    connectors: &Connectors,
    verification: Verification,
    host: &str,
) -> (Result<Box<str>, String>, Result<Box<str>, String>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = async {
        let mut stream = acceptor.accept(far).await.map_err(|error| error.to_string())?;
        // TLS 1.3 tells the server of a refused certificate only behind its own handshake.
        let mut octet = [0];
        stream.read_exact(&mut octet).await.map_err(|error| error.to_string())?;
        Ok((facts(stream.get_ref().1), stream))
    };
    let client = async {
        let mut stream = connectors
            .connect(verification, host, near)
            .await
            .map_err(|error| error.to_string())?;
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        Ok((facts(stream.get_ref().1), stream))
    };
    let (client, server) = tokio::join!(client, server);
    (client.map(|(facts, _)| facts), server.map(|(facts, _): (_, server::Stream<_>)| facts))
}

#[tokio::test]
async fn both_sides_agree_and_say_on_what() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let acceptor =
        Acceptor::open(&issue(folder.path(), &authority, "mx.example", (2020, 2999))).unwrap();
    let connectors = trusting(folder.path(), &authority);
    for verification in [Verification::None, Verification::AuthorityAndName] {
        let (client, server) = shake(&acceptor, &connectors, verification, "mx.example").await;
        assert_eq!(client, server);
        let facts = client.unwrap();
        assert!(facts.starts_with("TLSv1.3 TLS_"), "{facts}");
    }
}

#[tokio::test]
async fn verification_names_what_is_wrong_and_none_takes_it_all() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let stranger = named("Somebody Else");
    let cases = [
        (&authority, "other.example", (2020, 2999), "not for mx.example but for"),
        (&stranger, "mx.example", (2020, 2999), "no authority that is trusted"),
        (&authority, "mx.example", (2020, 2021), "has expired"),
        (&authority, "mx.example", (2998, 2999), "not valid yet"),
    ];
    for (issuer, name, years, words) in cases {
        let connectors = trusting(folder.path(), &authority);
        let acceptor = Acceptor::open(&issue(folder.path(), issuer, name, years)).unwrap();
        let (client, server) =
            shake(&acceptor, &connectors, Verification::AuthorityAndName, "mx.example").await;
        let error = client.unwrap_err();
        assert!(error.contains(words), "{error}");
        server.unwrap_err();
        let (client, _) = shake(&acceptor, &connectors, Verification::None, "mx.example").await;
        client.unwrap();
    }
}

#[tokio::test]
async fn without_any_root_verification_fails_closed() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let acceptor =
        Acceptor::open(&issue(folder.path(), &authority, "mx.example", (2020, 2999))).unwrap();
    let connectors =
        Connectors::open(&tls::client::Config { roots: None, trusts_system: false }).unwrap();
    let (client, _) =
        shake(&acceptor, &connectors, Verification::AuthorityAndName, "mx.example").await;
    client.unwrap_err();
}

#[tokio::test]
async fn reload_changes_the_certificate_and_keeps_the_old_one_if_the_new_is_bad() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let config = issue(folder.path(), &authority, "old.example", (2020, 2999));
    let acceptor = Acceptor::open(&config).unwrap();
    let connectors = trusting(folder.path(), &authority);
    let verified = Verification::AuthorityAndName;
    let clone = acceptor.clone();

    issue(folder.path(), &authority, "new.example", (2020, 2999));
    shake(&acceptor, &connectors, verified, "old.example").await.0.unwrap();
    acceptor.reload().unwrap();
    shake(&clone, &connectors, verified, "new.example").await.0.unwrap();
    std::fs::write(&config.certificate, "no PEM").unwrap();
    assert!(matches!(acceptor.reload(), Err(CertificateError::NoCertificate(_))));
    shake(&acceptor, &connectors, verified, "new.example").await.0.unwrap();
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_with_both_names() {
    let (one, two, authority) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), authority());
    let mut config = issue(one.path(), &authority, "mx.example", (2020, 2999));
    config.key = issue(two.path(), &authority, "mx.example", (2020, 2999)).key;
    let error = Acceptor::open(&config).unwrap_err();
    assert!(matches!(error, CertificateError::Mismatch { .. }));
    let words = error.to_string();
    assert!(words.contains("cert.pem") && words.contains("key.pem"), "{words}");
    config.key = one.path().join("absent.pem");
    assert!(matches!(Acceptor::open(&config), Err(CertificateError::Read { .. })));
    config.key.clone_from(&config.certificate);
    assert!(matches!(Acceptor::open(&config), Err(CertificateError::NoKey(_))));
}

#[tokio::test]
async fn clear_text_instead_of_a_handshake_is_named() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let acceptor =
        Acceptor::open(&issue(folder.path(), &authority, "mx.example", (2020, 2999))).unwrap();
    let (mut near, far) = tokio::io::duplex(1 << 16);
    near.write_all(b"EHLO client.example\r\n").await.unwrap();
    let error = acceptor.accept(far).await.unwrap_err();
    assert_eq!(error.to_string(), "what came is not TLS");

    let connectors = trusting(folder.path(), &authority);
    let (near, mut far) = tokio::io::duplex(1 << 16);
    far.write_all(b"454 4.7.0 not now\r\n").await.unwrap();
    let error = connectors.connect(Verification::None, "mx.example", near).await.unwrap_err();
    assert_eq!(error.to_string(), "what came is not TLS");
}

#[tokio::test]
async fn a_second_session_with_the_same_host_is_resumed() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let acceptor =
        Acceptor::open(&issue(folder.path(), &authority, "mx.example", (2020, 2999))).unwrap();
    let connectors = trusting(folder.path(), &authority);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(1 << 16);
        let server = async {
            let mut stream = acceptor.accept(far).await.unwrap();
            stream.write_all(b"x").await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let client = async {
            let verified = Verification::AuthorityAndName;
            let mut stream = connectors.connect(verified, "mx.example", near).await.unwrap();
            let mut octet = [0];
            // The session ticket comes before the first octet.
            stream.read_exact(&mut octet).await.unwrap();
            stream.get_ref().1.handshake_kind().unwrap()
        };
        kinds.push(tokio::join!(client, server).0);
    }
    assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
}
