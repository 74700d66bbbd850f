//! Look-ups against a DNS server on loopback.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use mail::Domain;
use resolver::config::Families;
use resolver::{Config, LookupError, Resolver};
use telemetry::Registry;
use testkit::dns::{Answer, DnsServer, Kind, Record};
use units::Span;

fn config(server: &DnsServer) -> Config {
    Config {
        servers: vec![server.address()],
        answer_wait_max: Span::millis(100),
        tries_max: 1,
        ..Config::default()
    }
}

fn resolver(server: &DnsServer) -> Resolver {
    Resolver::open(&config(server), 1, &Registry::new()).unwrap()
}

async fn hosts(server: &DnsServer, domain: &str) -> Result<Vec<(u16, String)>, LookupError> {
    let found = resolver(server).exchangers(&Domain::parse(domain).unwrap()).await?;
    Ok(found.into_iter().map(|one| (one.preference, one.host.into())).collect())
}

fn mx(hosts: &[(u16, &'static str)]) -> Answer {
    Answer::Records(hosts.iter().map(|(preference, host)| Record::Mx(*preference, host)).collect())
}

fn a(addresses: &[&str]) -> Answer {
    Answer::Records(addresses.iter().map(|one| Record::A(one.parse().unwrap())).collect())
}

fn aaaa(addresses: &[&str]) -> Answer {
    Answer::Records(addresses.iter().map(|one| Record::Aaaa(one.parse().unwrap())).collect())
}

#[tokio::test]
async fn exchangers_come_best_first_and_equals_in_any_order() {
    let records = mx(&[(20, "C.example"), (10, "a.example"), (10, "b.example")]);
    let server = DnsServer::start().await.with("mail.example", Kind::Mx, records);
    let resolver = resolver(&server);
    let mut firsts = BTreeSet::new();
    for _ in 0..64 {
        let found = resolver.exchangers(&Domain::parse("mail.example").unwrap()).await.unwrap();
        assert_eq!((found[2].preference, &*found[2].host), (20, "c.example"));
        firsts.insert(found[0].host.clone());
    }
    assert_eq!(firsts, ["a.example".into(), "b.example".into()].into());
    assert_eq!(server.queries().len(), 1, "the answer is kept");
}

#[tokio::test]
async fn each_kind_of_no_means_what_it_should() {
    let server = DnsServer::start()
        .await
        .with("null.example", Kind::Mx, mx(&[(0, ".")]))
        .with("half-null.example", Kind::Mx, mx(&[(0, "."), (10, "mx.example")]))
        .with("implicit.example", Kind::A, a(&["192.0.2.1"]))
        .with("servfail.example", Kind::Mx, Answer::ServFail)
        .with("servfail.example", Kind::A, a(&["192.0.2.1"]))
        .with("refused.example", Kind::Mx, Answer::Refused)
        .with("silent.example", Kind::Mx, Answer::Silence)
        .with("odd.example", Kind::Mx, mx(&[(10, "not a host.example")]));
    let host = |preference, host: &str| Ok(vec![(preference, host.to_owned())]);
    assert_eq!(
        hosts(&server, "null.example").await,
        Err(LookupError::NullMx("null.example".into()))
    );
    assert_eq!(hosts(&server, "half-null.example").await, host(10, "mx.example"));
    assert_eq!(hosts(&server, "implicit.example").await, host(0, "implicit.example"));
    assert_eq!(
        hosts(&server, "absent.example").await,
        Err(LookupError::NoDomain("absent.example".into()))
    );
    assert_eq!(
        hosts(&server, "odd.example").await,
        Err(LookupError::NoAddress("odd.example".into()))
    );
    for name in ["servfail.example", "refused.example", "silent.example"] {
        let error = hosts(&server, name).await.unwrap_err();
        assert!(error.is_temporary(), "{name}: {error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let asked_for_address = server.queries().iter().any(|(_, kind)| *kind != Kind::Mx);
    assert!(!asked_for_address, "a failed look-up of MX must not fall back to the address");
}

#[tokio::test]
async fn an_alias_is_followed_and_its_missing_target_is_no_domain() {
    let server = DnsServer::start()
        .await
        .with("alias.example", Kind::Mx, Answer::Records(vec![Record::Cname("real.example")]))
        .with("real.example", Kind::Mx, mx(&[(5, "mx.example")]))
        .with("lost.example", Kind::Mx, Answer::Records(vec![Record::Cname("gone.example")]))
        .with("bare.example", Kind::Mx, Answer::Records(vec![Record::Cname("real2.example")]))
        .with("real2.example", Kind::Mx, Answer::NoData);
    assert_eq!(hosts(&server, "alias.example").await, Ok(vec![(5, "mx.example".to_owned())]));
    assert!(matches!(hosts(&server, "lost.example").await, Err(LookupError::NoDomain(_))));
    assert_eq!(hosts(&server, "bare.example").await, Ok(vec![(0, "bare.example".to_owned())]));
}

#[tokio::test]
async fn literals_and_addresses_need_no_look_up_and_u_labels_become_a_labels() {
    let server = DnsServer::start().await.with(
        "xn--bcher-kva.example",
        Kind::Mx,
        mx(&[(1, "mx.xn--bcher-kva.example")]),
    );
    assert_eq!(hosts(&server, "[192.0.2.7]").await, Ok(vec![(0, "192.0.2.7".to_owned())]));
    assert_eq!(hosts(&server, "[IPv6:2001:db8::7]").await, Ok(vec![(0, "2001:db8::7".to_owned())]));
    let resolver = resolver(&server);
    for host in ["192.0.2.7", "2001:db8::7", "[2001:db8::7]"] {
        assert_eq!(resolver.addresses(host).await.unwrap().len(), 1, "{host}");
    }
    assert!(server.queries().is_empty());
    let found = hosts(&server, "Bücher.example").await;
    assert_eq!(found, Ok(vec![(1, "mx.xn--bcher-kva.example".to_owned())]));
}

#[tokio::test]
async fn addresses_of_both_families_come_by_turns() {
    let server = DnsServer::start()
        .await
        .with("mx.example", Kind::A, a(&["192.0.2.1", "192.0.2.2"]))
        .with("mx.example", Kind::Aaaa, aaaa(&["2001:db8::1"]));
    let found = resolver(&server).addresses("mx.example").await.unwrap();
    assert_eq!(found.iter().map(IpAddr::is_ipv6).collect::<Vec<_>>(), [true, false, false]);
    for (families, want) in [(Families::Ipv4, 2), (Families::Ipv6, 1)] {
        let config = Config { families, ..config(&server) };
        let resolver = Resolver::open(&config, 1, &Registry::new()).unwrap();
        assert_eq!(resolver.addresses("mx.example").await.unwrap().len(), want);
    }
}

#[tokio::test]
async fn one_family_is_enough_and_a_failure_is_not_a_no() {
    let server = DnsServer::start()
        .await
        .with("half.example", Kind::A, a(&["192.0.2.1"]))
        .with("half.example", Kind::Aaaa, Answer::ServFail)
        .with("unsure.example", Kind::A, Answer::NoData)
        .with("unsure.example", Kind::Aaaa, Answer::ServFail)
        .with("unsure2.example", Kind::A, Answer::ServFail)
        .with("unsure2.example", Kind::Aaaa, Answer::NoData)
        .with("none.example", Kind::Mx, mx(&[(1, "x.example")]));
    let resolver = resolver(&server);
    assert_eq!(resolver.addresses("half.example").await.unwrap().len(), 1);
    for host in ["unsure.example", "unsure2.example"] {
        assert!(resolver.addresses(host).await.unwrap_err().is_temporary(), "{host}");
    }
    let none = resolver.addresses("none.example").await;
    assert_eq!(none, Err(LookupError::NoAddress("none.example".into())));
    let absent = resolver.addresses("absent.example").await;
    assert_eq!(absent, Err(LookupError::NoDomain("absent.example".into())));
    let loopback = resolver.addresses("localhost").await.unwrap();
    assert!(loopback.iter().all(IpAddr::is_loopback), "{loopback:?}");
}

#[tokio::test]
async fn results_are_counted() {
    let server = DnsServer::start()
        .await
        .with("a.example", Kind::Mx, mx(&[(1, "mx.example")]))
        .with("b.example", Kind::Mx, Answer::ServFail);
    let registry = Registry::new();
    let resolver = Resolver::open(&config(&server), 1, &registry).unwrap();
    for domain in ["a.example", "a.example", "b.example", "c.example"] {
        drop(resolver.exchangers(&Domain::parse(domain).unwrap()).await);
    }
    let text = registry.render();
    for line in ["{result=\"found\"} 2", "{result=\"failed\"} 1", "{result=\"none\"} 1"] {
        assert!(text.contains(&format!("chasqui_dns_lookups_total{line}")), "{text}");
    }
}
