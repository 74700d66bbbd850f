//! Handshakes over an in-memory pipe, with certificates made on the spot.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tls::client::{Connectors, Demands, Verification, Version};
use tls::server::{self, Acceptor};
use tls::{CertificateError, ClientCertificate, Description, client_certificate, exporter, facts};
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
        (
            &authority,
            "other.example",
            (2020, 2999),
            "is not for mx.example (it is for other.example, issued by CN=Test Authority, good from 2020-01-01 to 2999-01-01)",
        ),
        (
            &stranger,
            "mx.example",
            (2020, 2999),
            "no authority that is trusted here, or the chain is incomplete: it came without intermediates (it is for mx.example, issued by CN=Somebody Else,",
        ),
        (
            &authority,
            "mx.example",
            (2020, 2021),
            "has expired (it is for mx.example, issued by CN=Test Authority, good from 2020-01-01 to 2021-01-01)",
        ),
        (&authority, "mx.example", (2998, 2999), "not valid yet (it is for"),
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

fn demanding(folder: &Path, authority: &Authority, demands: &Demands) -> Connectors {
    trusting(folder, authority);
    let config =
        tls::client::Config { roots: Some(folder.join("roots.pem")), trusts_system: false };
    Connectors::open_with(&config, demands).unwrap()
}

#[tokio::test]
async fn a_name_may_be_asked_for_in_place_of_the_hosts() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    for (shown, expected, is_right) in [
        ("mx.partner.example", "mx.partner.example", true),
        ("mx.partner.example", "*.partner.example", true),
        ("*.partner.example", "*.partner.example", true),
        ("*.partner.example", "mx.partner.example", true),
        ("mx.partner.example", "*.example", false),
        ("a.mx.partner.example", "*.partner.example", false),
        ("partner.example", "*.partner.example", false),
        ("host.example", "mx.partner.example", false),
    ] {
        let demands = Demands { name: Some(expected.into()), ..Demands::default() };
        let connectors = demanding(folder.path(), &authority, &demands);
        let acceptor =
            Acceptor::open(&issue(folder.path(), &authority, shown, (2020, 2999))).unwrap();
        let verified = Verification::AuthorityAndName;
        let (client, _) = shake(&acceptor, &connectors, verified, "host.example").await;
        assert_eq!(client.is_ok(), is_right, "{shown} {expected}: {client:?}");
        if let Err(error) = client {
            let want = format!("is not for {expected} (it is for {shown}, issued by");
            assert!(error.contains(&want), "{error}");
        }
    }
}

#[tokio::test]
async fn what_is_older_than_the_lowest_version_is_not_spoken() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let config = issue(folder.path(), &authority, "mx.example", (2020, 2999));
    let key = client_certificate(ClientCertificate::Pem {
        certificate: &config.certificate,
        key: &config.key,
    });
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let old = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(
            key.unwrap(),
        )));
    let old = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(old));
    for (lowest, is_spoken) in [(Version::Tls12, true), (Version::Tls13, false)] {
        let demands = Demands { lowest, ..Demands::default() };
        let connectors = demanding(folder.path(), &authority, &demands);
        let (near, far) = tokio::io::duplex(1 << 16);
        let (client, _) = tokio::join!(
            connectors.connect(Verification::AuthorityAndName, "mx.example", near),
            old.accept(far)
        );
        assert_eq!(client.is_ok(), is_spoken, "{:?}", client.map(drop));
        if let Ok(stream) = client {
            assert!(exporter(stream.get_ref().1).is_none(), "not unique for sure in TLS 1.2");
        }
    }
}

#[tokio::test]
async fn the_client_shows_its_certificate_and_both_sides_bind_alike() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let theirs = issue(folder.path(), &authority, "relay.example", (2020, 2021));
    let key = client_certificate(ClientCertificate::Pem {
        certificate: &theirs.certificate,
        key: &theirs.key,
    })
    .unwrap();
    let shown = Description::of(&key).unwrap();
    assert_eq!((shown.names[0].as_str(), shown.ends.as_str()), ("relay.example", "2021-01-01"));
    assert!(shown.is_over(1_700_000_000) && !shown.is_over(1_600_000_000));
    let demands = Demands { certificate: Some(key), ..Demands::default() };
    let connectors = demanding(folder.path(), &authority, &demands);
    let ours = issue(folder.path(), &authority, "mx.example", (2020, 2999));
    let config = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_client_cert_verifier(std::sync::Arc::new(TakesAny))
    .with_cert_resolver(std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(
        client_certificate(ClientCertificate::Pem {
            certificate: &ours.certificate,
            key: &ours.key,
        })
        .unwrap(),
    )));
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let (near, far) = tokio::io::duplex(1 << 16);
    let (client, server) = tokio::join!(
        connectors.connect(Verification::AuthorityAndName, "mx.example", near),
        acceptor.accept(far)
    );
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!(server.get_ref().1.peer_certificates().unwrap().len(), 1);
    let bound = exporter(client.get_ref().1).unwrap();
    assert_eq!(exporter(server.get_ref().1).unwrap(), bound);
    assert_eq!(bound.len(), 32);
}

/// Asks for a certificate and takes whatever comes.
#[derive(Debug)]
struct TakesAny;

impl rustls::server::danger::ClientCertVerifier for TakesAny {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::server::danger::ClientCertVerified, rustls::Error> {
        Ok(rustls::server::danger::ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
