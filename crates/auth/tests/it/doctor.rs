//! What the doctor finds, and the exact records that it proposes.

use std::net::{IpAddr, Ipv4Addr};

use auth::Kind;
use auth::config::KeyState;
use auth::doctor::{Check, Grade, Party, Relay, Report, count, examine, unsafe_sender};
use testkit::dns::{Answer, DnsServer, Kind as Asked, Record};

use crate::common::{dns, key, publish, signer};

fn relay() -> Relay {
    Relay {
        sources: vec![IpAddr::from([192, 0, 2, 1])],
        helo: "relay.example.net".to_owned(),
        hosted: vec!["relay.example.net".to_owned()],
        ..Relay::default()
    }
}

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    report.checks.iter().find(|check| check.name == name).unwrap()
}

fn record(check: &Check) -> String {
    let record = check.advice.as_ref().and_then(|advice| advice.record.as_ref());
    record.map(|record| format!("{} {}", record.name, record.value)).unwrap_or_default()
}

#[track_caller]
fn is(report: &Report, name: &str, grade: Grade, words: &str) {
    let check = check(report, name);
    let text = check.to_string();
    assert!(check.grade == grade && text.contains(words), "{text}");
}

#[tokio::test]
async fn a_bare_domain_learns_what_to_publish() {
    let server = DnsServer::start().await.with_texts("example.com", &["hello"]);
    let report = examine(&dns(&server), &relay(), "Example.com", None).await;
    is(&report, "MX", Grade::Fail, "no MX record and no address");
    is(&report, "PTR 192.0.2.1", Grade::Fail, "set its PTR record to relay.example.net");
    is(&report, "SPF", Grade::Fail, "example.com has no SPF record");
    is(&report, "DKIM", Grade::Warn, "no active key signs for example.com");
    is(&report, "DMARC", Grade::Warn, "publishes no DMARC policy");
    is(&report, "MTA-STS", Grade::Warn, "not set up");
    is(&report, "TLS-RPT", Grade::Warn, "nobody hears");
    is(&report, "BIMI", Grade::Pass, "none is needed");
    assert_eq!(record(check(&report, "SPF")), "example.com v=spf1 ip4:192.0.2.1 ~all");
    let dmarc = "_dmarc.example.com v=DMARC1; p=none; rua=mailto:postmaster@example.com";
    assert_eq!(record(check(&report, "DMARC")), dmarc);
    let tls = "_smtp._tls.example.com v=TLSRPTv1; rua=mailto:postmaster@example.com";
    assert_eq!(record(check(&report, "TLS-RPT")), tls);
    assert_eq!((report.grade(), report.domain.as_str()), (Grade::Fail, "example.com"));
    let report = examine(&dns(&server), &relay(), "nowhere", None).await;
    is(&report, "domain", Grade::Fail, "is no domain");
}

#[tokio::test]
async fn a_good_domain_passes() {
    let folder = tempfile::tempdir().unwrap();
    let (key_of, made) = key(folder.path(), Kind::Rsa, "example.com", "s1");
    let records = |record| Answer::Records(vec![record]);
    let server = DnsServer::start()
        .await
        .with("example.com", Asked::Mx, records(Record::Mx(10, "mx.example.com")))
        .with_address("mx.example.com", Ipv4Addr::new(192, 0, 2, 7))
        .with_address("relay.example.net", Ipv4Addr::new(192, 0, 2, 1))
        .with("1.2.0.192.in-addr.arpa", Asked::Ptr, records(Record::Ptr("relay.example.net")))
        .with_texts("example.com", &["v=spf1 a:relay.example.net -all"])
        .with_texts(
            "_dmarc.example.com",
            &["v=DMARC1; p=reject; sp=none; adkim=s; pct=90; rua=mailto:d@example.com"],
        )
        .with_texts("_mta-sts.example.com", &["v=STSv1; id=7"])
        .with_texts("_smtp._tls.example.com", &["v=TLSRPTv1; rua=mailto:t@example.com"])
        .with_texts("default._bimi.example.com", &["v=BIMI1; l=https://example.com/l.svg"]);
    publish(&server, &made);
    let keys = signer(&[key_of]).keys().to_vec();
    let relay = Relay { keys, ..relay() };
    let policy = "version: STSv1\r\nmode: enforce\r\nmx: *.example.com\r\nmax_age: 86400\r\n";
    let report = examine(&dns(&server), &relay, "example.com", Some(policy)).await;
    for name in ["MX", "PTR 192.0.2.1", "SPF", "DKIM s1", "DMARC", "MTA-STS", "TLS-RPT"] {
        is(&report, name, Grade::Pass, "");
    }
    is(&report, "SPF", Grade::Pass, "1 of 10 look-ups");
    is(
        &report,
        "DMARC",
        Grade::Pass,
        "mail from example.com that fails is refused (record at example.com: p=reject, sp=none, np=none)",
    );
    is(
        &report,
        "DMARC",
        Grade::Pass,
        "DKIM must be exactly the same, that of SPF of the same organization; reports go to d@example.com, failures to nobody",
    );
    is(&report, "BIMI", Grade::Warn, "no effect");
    let other = policy.replace("*.example.com", "mx.other.example");
    let report = examine(&dns(&server), &relay, "example.com", Some(&other)).await;
    is(&report, "MTA-STS", Grade::Fail, "does not name the exchangers mx.example.com");
    let report = examine(&dns(&server), &relay, "example.com", None).await;
    is(&report, "MTA-STS", Grade::Fail, "no policy could be fetched");
}

#[tokio::test]
async fn an_spf_record_is_merged_and_never_doubled() {
    let server = DnsServer::start().await;
    let mut relay = relay();
    for (published, include, grade, words, want) in [
        (
            &["v=spf1 mx -all"][..],
            "",
            Grade::Fail,
            "does not let 192.0.2.1 send",
            "v=spf1 mx ip4:192.0.2.1 -all",
        ),
        (
            &["v=spf1 mx ?all"],
            "spf.relay.example.net",
            Grade::Fail,
            "a second one",
            "v=spf1 mx include:spf.relay.example.net ?all",
        ),
        (
            &["v=spf1 mx ~all", "v=spf1 ip4:198.51.100.1 -all"],
            "",
            Grade::Fail,
            "2 SPF records, which counts as an error (permerror)",
            "v=spf1 mx ip4:198.51.100.1 ip4:192.0.2.1 ~all",
        ),
        (&["v=spf1 ip4:192.0.2.0/24 +all"], "", Grade::Warn, "lets everybody send", ""),
        (
            &["v=spf1 nonsense -all"],
            "",
            Grade::Fail,
            "cannot be understood",
            "v=spf1 ip4:192.0.2.1 -all",
        ),
    ] {
        let texts = published.iter().map(|text| Record::Txt((*text).to_owned())).collect();
        server.set("example.com", Asked::Txt, Answer::Records(texts));
        include.clone_into(&mut relay.spf_include);
        // A fresh resolver, since the old one remembers.
        let report = examine(&dns(&server), &relay, "example.com", None).await;
        is(&report, "SPF", grade, words);
        let want = if want.is_empty() { String::new() } else { format!("example.com {want}") };
        assert_eq!(record(check(&report, "SPF")), want, "{published:?}");
    }
}

#[tokio::test]
async fn look_ups_are_counted_through_includes() {
    let mut server = DnsServer::start()
        .await
        .with_texts("loop.example", &["v=spf1 include:loop.example -all"])
        .with_texts(
            "void.example",
            &["v=spf1 a:n1.example a:n2.example mx:n3.example ip4:192.0.2.1 -all"],
        )
        .with_texts("macro.example", &["v=spf1 exists:%{i}.x.example ip4:192.0.2.1 -all"])
        .with("broken.example", Asked::Txt, Answer::ServFail);
    for at in 0..12 {
        let (name, next) = (format!("n{at}.chain.example"), format!("n{}.chain.example", at + 1));
        server = server.with_texts(&name, &[&format!("v=spf1 ip4:192.0.2.1 include:{next} -all")]);
    }
    let server = server.with_texts("n12.chain.example", &["v=spf1 -all"]);
    let dns = dns(&server);
    let of = async |record: &str| count(&dns, "example.com", record).await.unwrap();
    assert_eq!(of("v=spf1 include:n0.chain.example -all").await.lookups, 13);
    assert_eq!(of("v=spf1 redirect=macro.example").await.lookups, 2);
    assert_eq!(
        of("v=spf1 include:loop.example -all").await.problems,
        ["loop.example is included twice"]
    );
    assert_eq!(
        of("v=spf1 include:gone.example -all").await.problems,
        ["gone.example is included and has no SPF record"]
    );
    let voids = of("v=spf1 include:void.example -all").await;
    assert_eq!((voids.lookups, voids.voids), (4, 3));
    let many = format!("v=spf1 {}-all", "a:n1.example ".repeat(5000));
    assert_eq!(of(&many).await.lookups, 41);
    let error = count(&dns, "example.com", "v=spf1 include:broken.example").await.unwrap_err();
    assert!(error.is_temporary());
    let report = examine(&dns, &relay(), "n0.chain.example", None).await;
    is(&report, "SPF", Grade::Fail, "the record needs 12 look-ups where verifiers stop at 10");
    let report = examine(&dns, &relay(), "void.example", None).await;
    is(&report, "SPF", Grade::Warn, "3 of its names have no answer");
}

#[tokio::test]
async fn keys_are_held_against_their_state() {
    let folder = tempfile::tempdir().unwrap();
    let server = DnsServer::start().await;
    let mut keys = Vec::new();
    for (selector, state, is_published) in [
        ("fresh", KeyState::Pending, false),
        ("waits", KeyState::Pending, true),
        ("good", KeyState::Active, true),
        ("lost", KeyState::Active, false),
        ("going", KeyState::Retiring, false),
        ("gone", KeyState::Retired, false),
        ("stays", KeyState::Retired, true),
    ] {
        let (mut key, made) = key(folder.path(), Kind::Ed25519, "m.relay.example.net", selector);
        key.state = state;
        keys.push(key);
        if is_published {
            publish(&server, &made);
        }
    }
    let relay = Relay { keys: signer(&keys).keys().to_vec(), ..relay() };
    let report = examine(&dns(&server), &relay, "m.relay.example.net", None).await;
    for (selector, grade, words) in [
        ("fresh", Grade::Warn, "not published yet"),
        ("waits", Grade::Warn, "`chasqui dkim activate`"),
        ("good", Grade::Pass, "published as it is used"),
        ("lost", Grade::Fail, "worthless"),
        ("going", Grade::Fail, "not published"),
        ("gone", Grade::Pass, "retired and gone"),
        ("stays", Grade::Warn, "take the record out"),
    ] {
        is(&report, &format!("DKIM {selector}"), grade, words);
    }
    is(&report, "DKIM", Grade::Warn, "only Ed25519 keys sign");
    // Our own zone: the operator has to publish; another's: its owner.
    let lost = check(&report, "DKIM lost").advice.clone().unwrap();
    assert_eq!(lost.party, Party::Operator);
    assert!(
        lost.record
            .unwrap()
            .to_string()
            .starts_with("lost._domainkey.m.relay.example.net. IN TXT \"v=DKIM1; k=ed25519; p=")
    );
    let report = examine(&dns(&server), &relay, "own.example", None).await;
    assert_eq!(check(&report, "SPF").advice.as_ref().unwrap().party, Party::Owner);
}

#[tokio::test]
async fn a_sender_whose_provider_forbids_it_is_unsafe() {
    let server = DnsServer::start()
        .await
        .with_texts("_dmarc.freemail.example", &["v=DMARC1; p=reject"])
        .with_texts("_dmarc.lenient.example", &["v=DMARC1; p=none"])
        .with_texts("_dmarc.relay.example.net", &["v=DMARC1; p=reject"])
        .with("_dmarc.broken.example", Asked::Txt, Answer::ServFail);
    let dns = dns(&server);
    let found = unsafe_sender(&dns, &relay(), "freemail.example").await.unwrap();
    let want = "freemail.example asks all receivers to refuse mail that it did not send itself";
    assert!(found.as_ref().is_some_and(|words| words.starts_with(want)), "{found:?}");
    for domain in ["lenient.example", "a.relay.example.net", "nothing.example"] {
        assert_eq!(unsafe_sender(&dns, &relay(), domain).await, Ok(None), "{domain}");
    }
    assert!(unsafe_sender(&dns, &relay(), "broken.example").await.unwrap_err().is_temporary());
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_said() {
    let mut server = DnsServer::start().await;
    for (name, kind) in [
        ("example.com", Asked::Mx),
        ("example.com", Asked::Txt),
        ("_dmarc.example.com", Asked::Txt),
        ("_mta-sts.example.com", Asked::Txt),
        ("_smtp._tls.example.com", Asked::Txt),
        ("default._bimi.example.com", Asked::Txt),
        ("1.2.0.192.in-addr.arpa", Asked::Ptr),
    ] {
        server = server.with(name, kind, Answer::ServFail);
    }
    let report = examine(&dns(&server), &relay(), "example.com", None).await;
    for name in ["MX", "PTR 192.0.2.1", "SPF", "DMARC", "MTA-STS", "TLS-RPT", "BIMI"] {
        is(&report, name, Grade::Warn, "ask again later");
    }
}
