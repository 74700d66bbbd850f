//! What counts as secure, and what follows from an answer that is not.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

use mail::Domain;
use resolver::{Config, LookupError, Pins, Resolver, Tlsa};
use telemetry::Registry;
use testkit::dns::{Answer, DnsServer, Kind, Record};
use units::Span;

fn config(server: &DnsServer) -> Config {
    Config {
        servers: vec![server.address()],
        answer_wait_max: Span::millis(100),
        tries_max: 1,
        trusts_dnssec: true,
        ..Config::default()
    }
}

fn resolver(server: &DnsServer) -> Resolver {
    Resolver::open(&config(server), 1, &Registry::new()).unwrap()
}

fn here() -> Vec<Record> {
    vec![Record::A([127, 0, 0, 1].into())]
}

fn record() -> Record {
    Record::Tlsa(3, 1, 1, vec![7; 32])
}

/// What a host with that record is known by.
fn pinned(base: &str) -> Pins {
    let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: [7; 32].into() };
    Pins::Records { base: base.into(), records: vec![tlsa] }
}

#[tokio::test]
async fn records_count_only_if_the_server_vouches_for_them_and_for_the_address() {
    let long = ["abcdefghi"; 25].join(".");
    let server = DnsServer::start()
        .await
        .with("good.example", Kind::A, Answer::Secure(here()))
        .with("_25._tcp.good.example", Kind::Tlsa, Answer::Secure(vec![record(), record()]))
        .with("none.example", Kind::A, Answer::Secure(here()))
        .with(&long, Kind::A, Answer::Secure(here()))
        .with("insecure-address.example", Kind::A, Answer::Records(here()))
        .with("_25._tcp.insecure-address.example", Kind::Tlsa, Answer::Secure(vec![record()]))
        .with("insecure-records.example", Kind::A, Answer::Secure(here()))
        .with("_25._tcp.insecure-records.example", Kind::Tlsa, Answer::Records(vec![record()]))
        .with("six.example", Kind::Aaaa, Answer::Secure(vec![Record::Aaaa([0; 16].into())]))
        .with("_25._tcp.six.example", Kind::Tlsa, Answer::Secure(vec![record()]));
    let resolver = resolver(&server);
    let Ok(Pins::Records { base, records }) = resolver.pins("Good.example.", 25).await else {
        panic!("no records")
    };
    assert_eq!((&*base, records.len()), ("good.example", 2));
    assert_eq!(resolver.pins("good.example", 587).await, Ok(Pins::None), "another port");
    assert_eq!(resolver.pins("none.example", 25).await, Ok(Pins::None));
    assert_eq!(resolver.pins(&long, 25).await, Ok(Pins::None), "too long to have records");
    assert_eq!(resolver.pins("insecure-records.example", 25).await, Ok(Pins::None));
    assert_eq!(resolver.pins("insecure-address.example", 25).await, Ok(Pins::Insecure));
    assert_eq!(resolver.pins("six.example", 25).await, Ok(pinned("six.example")));
    for host in ["absent.example", "192.0.2.1", "2001:db8::1", "unix:/run/lmtp"] {
        assert_eq!(resolver.pins(host, 25).await, Ok(Pins::Insecure), "{host}");
    }
    let asked = |name: &str| server.queries().iter().filter(|(asked, _)| asked == name).count();
    assert_eq!(asked("_25._tcp.insecure-address.example"), 0, "RFC 7672 §2.2.2");
    assert_eq!(asked("good.example"), 1, "the answer is kept");
    resolver.pins("good.example", 25).await.unwrap();
    assert_eq!(asked("_25._tcp.good.example"), 1, "and so are the records");
}

#[tokio::test]
async fn without_trust_nothing_is_secure() {
    let server = DnsServer::start()
        .await
        .with("mx.example", Kind::A, Answer::Secure(here()))
        .with("_25._tcp.mx.example", Kind::Tlsa, Answer::Secure(vec![record()]))
        .with("a.example", Kind::Mx, Answer::Secure(vec![Record::Mx(1, "mx.example")]));
    let config = Config { trusts_dnssec: false, ..config(&server) };
    let resolver = Resolver::open(&config, 1, &Registry::new()).unwrap();
    assert_eq!(resolver.pins("mx.example", 25).await, Ok(Pins::Insecure));
    let domain = Domain::parse("a.example").unwrap();
    assert!(!resolver.vouched_exchangers(&domain).await.unwrap().is_secure);
}

/// RFC 7672 §2.1.2: a failure is no "there is none".
#[tokio::test]
async fn what_could_not_be_found_out_is_an_error() {
    let server = DnsServer::start()
        .await
        .with("a.example", Kind::A, Answer::Secure(here()))
        .with("_25._tcp.a.example", Kind::Tlsa, Answer::ServFail)
        .with("b.example", Kind::A, Answer::Secure(here()))
        .with("_25._tcp.b.example", Kind::Tlsa, Answer::Silence)
        .with("c.example", Kind::A, Answer::ServFail);
    let resolver = resolver(&server);
    for (host, words) in [
        ("a.example", "look-up of TLSA for _25._tcp.a.example failed: "),
        ("b.example", "no DNS server answered in time"),
        ("c.example", "look-up of A for c.example failed: "),
    ] {
        let error = resolver.pins(host, 25).await.unwrap_err();
        assert!(error.is_temporary() && error.to_string().contains(words), "{error}");
    }
}

/// RFC 7672 §2.2.2: the name behind the alias is asked for first; one insecure link makes the whole chain so.
#[tokio::test]
async fn an_alias_is_followed_as_far_as_it_is_secure() {
    let alias = |target| Record::Cname(target);
    let of = |name| Record::Of(name, Box::new(Record::A([127, 0, 0, 1].into())));
    let server = DnsServer::start()
        .await
        .with(
            "one.example",
            Kind::A,
            Answer::Secure(vec![alias("real.example"), of("real.example")]),
        )
        .with("_25._tcp.real.example", Kind::Tlsa, Answer::Secure(vec![record()]))
        .with(
            "two.example",
            Kind::A,
            Answer::Secure(vec![alias("bare.example"), of("bare.example")]),
        )
        .with("_25._tcp.two.example", Kind::Tlsa, Answer::Secure(vec![record()]))
        .with(
            "bad.example",
            Kind::A,
            Answer::Records(vec![alias("real.example"), of("real.example")]),
        )
        .with(
            "odd.example",
            Kind::A,
            Answer::Secure(vec![alias("real.example"), of("other.example")]),
        )
        .with("loop.example", Kind::A, Answer::Secure(vec![alias("loop.example")]));
    let resolver = resolver(&server);
    assert_eq!(resolver.pins("one.example", 25).await, Ok(pinned("real.example")));
    assert_eq!(resolver.pins("two.example", 25).await, Ok(pinned("two.example")));
    for host in ["bad.example", "odd.example", "loop.example"] {
        assert_eq!(resolver.pins(host, 25).await, Ok(Pins::Insecure), "{host}");
    }
}

#[tokio::test]
async fn exchangers_are_as_before_and_secure_if_their_answer_is() {
    let server = DnsServer::start()
        .await
        .with("a.example", Kind::Mx, Answer::Secure(vec![Record::Mx(1, "mx.example")]))
        .with("b.example", Kind::Mx, Answer::Records(vec![Record::Mx(1, "mx.example")]))
        .with("c.example", Kind::A, Answer::Secure(here()))
        .with("null.example", Kind::Mx, Answer::Secure(vec![Record::Mx(0, ".")]))
        .with("bad.example", Kind::Mx, Answer::ServFail);
    let resolver = resolver(&server);
    let hosts = async |domain: &str| {
        let found = resolver.vouched_exchangers(&Domain::parse(domain).unwrap()).await?;
        Ok((found.found[0].host.clone(), found.is_secure))
    };
    assert_eq!(hosts("a.example").await, Ok(("mx.example".into(), true)));
    assert_eq!(hosts("b.example").await, Ok(("mx.example".into(), false)));
    assert_eq!(hosts("c.example").await, Ok(("c.example".into(), true)), "its address decides");
    assert_eq!(hosts("[192.0.2.7]").await, Ok(("192.0.2.7".into(), false)));
    assert_eq!(hosts("null.example").await, Err(LookupError::NullMx("null.example".into())));
    assert_eq!(hosts("no.example").await, Err(LookupError::NoDomain("no.example".into())));
    assert!(hosts("bad.example").await.unwrap_err().is_temporary());
}
