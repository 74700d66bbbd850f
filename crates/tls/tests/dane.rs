//! Handshakes with hosts whose certificate the DNS vouches for.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData,
};
use tls::client::{Config, Connectors};
use tls::dane::{Dane, Record};
use tls::server::{self, Acceptor};
use tokio::io::AsyncReadExt;

const YEARS: (i32, i32) = (2020, 2999);

/// A certificate with its key.
struct Pair {
    certificate: Certificate,
    key: KeyPair,
}

impl Pair {
    /// What a record may be about: the whole certificate or its key.
    fn part(&self, selector: u8) -> Vec<u8> {
        if selector == 0 {
            self.certificate.der().to_vec()
        } else {
            self.key.subject_public_key_info()
        }
    }

    fn record(&self, usage: u8, selector: u8, matching: u8) -> Record {
        let part = self.part(selector);
        let data = match matching {
            1 => digest(&SHA256, &part).as_ref().into(),
            2 => digest(&SHA512, &part).as_ref().into(),
            _ => part.into_boxed_slice(),
        };
        Record { usage, selector, matching, data }
    }
}

fn params(name: &str, years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    params
}

fn self_signed(name: &str, years: (i32, i32)) -> Pair {
    let key = KeyPair::generate().unwrap();
    Pair { certificate: params(name, years).self_signed(&key).unwrap(), key }
}

/// An authority, and a certificate for `name` that it issued.
fn issued(name: &str, years: (i32, i32), authority_years: (i32, i32)) -> (Pair, Pair) {
    let key = KeyPair::generate().unwrap();
    let mut root = params("authority.example", authority_years);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "Test Authority");
    let certificate = root.self_signed(&key).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&root, &key);
    let leaf = params(name, years).signed_by(&leaf_key, &issuer).unwrap();
    (Pair { certificate, key }, Pair { certificate: leaf, key: leaf_key })
}

/// What a handshake comes to with a host that shows `chain`, of which the first has the key.
async fn shake(dane: &Dane, chain: &[&Pair]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let config = server::Config {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    let pem: String = chain.iter().map(|pair| pair.certificate.pem()).collect();
    std::fs::write(&config.certificate, pem).unwrap();
    std::fs::write(&config.key, chain.first().unwrap().key.serialize_pem()).unwrap();
    let acceptor = Acceptor::open(&config).unwrap();
    let connectors = Connectors::open(&Config { roots: None, trusts_system: false }).unwrap();
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = async {
        if let Ok(mut stream) = acceptor.accept(far).await {
            // Until the client goes; an error is one way to go.
            drop(stream.read_u8().await);
        }
    };
    let client = async {
        let stream = connectors.connect_dane(&Arc::new(dane.clone()), near).await;
        let stream = stream.map_err(|error| error.to_string())?;
        dane.matching(stream.get_ref().1).map(ToString::to_string)
    };
    tokio::join!(server, client).1
}

fn dane(records: &[Record]) -> Dane {
    Dane::new(records, "mx.example", &["next.example"]).unwrap()
}

#[tokio::test]
async fn each_selector_and_matching_type_finds_the_hosts_own_certificate() {
    let host = self_signed("mx.example", YEARS);
    for selector in [0, 1] {
        for matching in [0, 1, 2] {
            let record = host.record(3, selector, matching);
            let matched = shake(&dane(&[record]), &[&host]).await.unwrap();
            assert!(matched.starts_with(&format!("3 {selector} {matching} ")), "{matched}");
        }
    }
}

/// RFC 7672 §3.1.1: neither names nor dates count.
#[tokio::test]
async fn a_certificate_that_is_named_itself_may_be_expired_and_for_another_name() {
    let host = self_signed("elsewhere.example", (2019, 2020));
    shake(&dane(&[host.record(3, 1, 1)]), &[&host]).await.unwrap();
}

#[tokio::test]
async fn any_of_several_records_is_enough_and_none_is_said_so() {
    let (host, other) = (self_signed("mx.example", YEARS), self_signed("mx.example", YEARS));
    let old = other.record(3, 1, 1);
    let matched = shake(&dane(&[old.clone(), host.record(3, 0, 2)]), &[&host]).await.unwrap();
    assert!(matched.starts_with("3 0 2 "), "{matched}");
    let error = shake(&dane(std::slice::from_ref(&old)), &[&host]).await.unwrap_err();
    let want =
        format!("the certificate does not match TLSA record {old} of mx.example (it is for ");
    assert!(error.starts_with(&want), "{error}");
    // The host shows both, but proves only to have the key of the first.
    shake(&dane(&[old]), &[&host, &other]).await.unwrap_err();
}

#[tokio::test]
async fn an_authority_vouches_for_each_of_the_names() {
    for name in ["mx.example", "next.example"] {
        let (authority, host) = issued(name, YEARS, YEARS);
        for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            let record = authority.record(2, selector, matching);
            shake(&dane(&[record]), &[&host, &authority]).await.unwrap();
        }
    }
    let (authority, host) = issued("mx.example", YEARS, YEARS);
    shake(&dane(&[authority.record(2, 0, 0)]), &[&host]).await.unwrap();
}

#[tokio::test]
async fn what_an_authority_does_not_vouch_for_is_refused() {
    let cases = [
        ("other.example", YEARS, YEARS, "the certificate is not for mx.example or next.example"),
        ("mx.example", (2019, 2020), YEARS, "the certificate has expired"),
        (
            "mx.example",
            YEARS,
            (2019, 2020),
            "the authority's certificate is malformed or not valid",
        ),
    ];
    for (name, years, authority_years, words) in cases {
        let (authority, host) = issued(name, years, authority_years);
        let record = authority.record(2, 1, 1);
        let error = shake(&dane(&[record]), &[&host, &authority]).await.unwrap_err();
        assert!(error.contains("TLSA record 2 1 1 ") && error.contains(words), "{error}");
    }
    // Shown, but not who issued it.
    let ((authority, _), (other, host)) =
        (issued("mx.example", YEARS, YEARS), issued("mx.example", YEARS, YEARS));
    let record = authority.record(2, 0, 1);
    shake(&dane(&[record]), &[&host, &other, &authority]).await.unwrap_err();
    // The host's own certificate is no authority.
    let error = shake(&dane(&[host.record(2, 1, 1)]), &[&host, &other]).await.unwrap_err();
    assert!(error.contains("does not match TLSA record 2 1 1 "), "{error}");
}

/// RFC 7672 §3.1.3, §2.2.
#[test]
fn what_no_certificate_can_match_is_not_usable() {
    let record = |usage, selector, matching, octets| Record {
        usage,
        selector,
        matching,
        data: vec![0; octets].into(),
    };
    let cases = [
        (record(2, 0, 1, 32), true),
        (record(3, 1, 2, 64), true),
        (record(3, 0, 0, 1), true),
        (record(0, 0, 1, 32), false),
        (record(1, 1, 1, 32), false),
        (record(4, 1, 1, 32), false),
        (record(255, 1, 1, 32), false),
        (record(3, 2, 1, 32), false),
        (record(3, 1, 3, 32), false),
        (record(3, 1, 1, 31), false),
        (record(3, 1, 2, 32), false),
        (record(3, 0, 0, 0), false),
    ];
    for (record, want) in cases {
        assert_eq!(record.is_usable(), want, "{record}");
        assert_eq!(Dane::new(&[record], "mx.example", &[]).is_some(), want);
    }
}
