//! DMARC: whose policy holds, and who speaks for a domain.

use auth::finding::{Alignment, Policy, Verdict};
use auth::{Config, LookupError};
use testkit::dns::{Answer, DnsServer, Kind};

use crate::common::{authenticator, evaluate, key, publish, signed, signer};

#[tokio::test]
async fn the_policy_is_looked_for_up_the_tree() {
    let server = DnsServer::start()
        .await
        .with_texts("_dmarc.example.com", &["v=DMARC1; p=reject; sp=quarantine; np=none"])
        .with_texts("_dmarc.own.example.com", &["v=DMARC1; p=none"])
        .with_texts("there.example.com", &["x"])
        .with_texts("_dmarc.suffix.example", &["v=DMARC1; p=reject; psd=y"])
        .with_texts("_dmarc.try.example", &["v=DMARC1; p=reject; t=y"])
        .with_texts("_dmarc.two.example", &["v=DMARC1; p=reject", "v=DMARC1; p=none"])
        .with("_dmarc.broken.example", Kind::Txt, Answer::ServFail);
    let authenticator = authenticator(&server, Config::default());
    for (domain, want) in [
        ("example.com", Some((Policy::Reject, "example.com", "example.com"))),
        ("own.example.com", Some((Policy::None, "own.example.com", "example.com"))),
        ("there.example.com", Some((Policy::Quarantine, "example.com", "example.com"))),
        ("missing.example.com", Some((Policy::None, "example.com", "example.com"))),
        ("a.b.c.d.e.f.g.h.missing.example.com", Some((Policy::None, "example.com", "example.com"))),
        ("x.org.suffix.example", Some((Policy::Reject, "suffix.example", "org.suffix.example"))),
        ("two.example", None),
        ("nothing.example", None),
    ] {
        let found = authenticator.dmarc_policy(domain).await.unwrap();
        let found = found.as_ref();
        let found = found.map(|it| (it.policy, it.found_at.as_str(), it.organization.as_str()));
        assert_eq!(found, want, "{domain}");
    }
    let tried = authenticator.dmarc_policy("try.example").await.unwrap().unwrap();
    assert_eq!((tried.policy, tried.disposition()), (Policy::Reject, Policy::Quarantine));
    let error = authenticator.dmarc_policy("broken.example").await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    let error = authenticator.dmarc_policy("no name").await.unwrap_err();
    assert!(matches!(error, LookupError::BadName(_)), "{error}");
}

#[tokio::test]
async fn one_that_passes_must_be_aligned() {
    let folder = tempfile::tempdir().unwrap();
    let (key_of, made) = key(folder.path(), auth::Kind::Ed25519, "mail.example.com", "s1");
    let server = DnsServer::start()
        .await
        .with_texts("_dmarc.example.com", &["v=DMARC1; p=reject"])
        .with_texts("_dmarc.strict.example", &["v=DMARC1; p=quarantine; aspf=s; adkim=s"])
        .with_texts("bounce.example.com", &["v=spf1 ip4:192.0.2.1 -all"])
        .with_texts("bounce.strict.example", &["v=spf1 ip4:192.0.2.1 -all"])
        .with_texts("elsewhere.example", &["v=spf1 ip4:192.0.2.1 -all"])
        .with("broken.example.com", Kind::Txt, Answer::ServFail);
    publish(&server, &made);
    let of = |author: &str| format!("From: A <a@{author}>\r\nTo: b@c.example\r\n\r\nhello\r\n");
    let signed =
        String::from_utf8(signed(&signer(&[key_of]), of("example.com").as_bytes())).unwrap();
    for (sender, message, result, disposition) in [
        ("a@bounce.example.com", of("example.com"), Verdict::Pass, Policy::None),
        ("a@elsewhere.example", of("example.com"), Verdict::Fail, Policy::Reject),
        ("a@elsewhere.example", signed.clone(), Verdict::Pass, Policy::None),
        ("a@bounce.strict.example", of("strict.example"), Verdict::Fail, Policy::Quarantine),
        ("a@broken.example.com", of("example.com"), Verdict::TempError, Policy::None),
        ("a@elsewhere.example", of("nothing.example"), Verdict::None, Policy::None),
        ("a@b.example", "To: b@c.example\r\n\r\n".to_owned(), Verdict::PermError, Policy::None),
        (
            "a@bounce.example.com",
            "From: a@example.com, b@elsewhere.example\r\n\r\n".to_owned(),
            Verdict::PermError,
            Policy::None,
        ),
        (
            "a@bounce.example.com",
            "From: a@example.com\r\nFrom: b@elsewhere.example\r\n\r\n".to_owned(),
            Verdict::PermError,
            Policy::None,
        ),
    ] {
        let found = evaluate(&server, sender, &message).await.dmarc;
        assert_eq!((found.result, found.disposition), (result, disposition), "{sender}: {found:?}");
    }
    let found = evaluate(&server, "a@elsewhere.example", &signed).await.dmarc;
    assert_eq!((found.spf, found.dkim), (Alignment::NotAligned, Alignment::Aligned), "{found:?}");
    assert_eq!(found.reason, "a signature speaks for example.com");
}
