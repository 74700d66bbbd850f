//! Several hosts, by order or by MX.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mail::{Fate, Outcome};
use testkit::dns::{Answer, DnsServer, Kind, Record};
use testkit::peer::Act::{Close, Reply};
use testkit::peer::{Act, CONNECT, Peer, Script};
use units::Span;

use crate::relay::{Relay, Setup, answered, domain, fates, unreachable};

const DELIVERED: [(Fate, u16); 1] = [(Fate::Delivered, 250)];

fn a(address: [u8; 4]) -> Answer {
    Answer::Records(vec![Record::A(Ipv4Addr::from(address))])
}

fn mx(hosts: &[(u16, &'static str)]) -> Answer {
    Answer::Records(hosts.iter().map(|(preference, host)| Record::Mx(*preference, host)).collect())
}

#[tokio::test]
async fn the_next_host_serves_when_the_first_does_not() {
    let cases: [(&'static str, &[Act]); 6] = [
        (CONNECT, &[Close]),
        (CONNECT, &[Reply("421 4.3.2 busy"), Close]),
        (CONNECT, &[Reply("554 5.7.1 go away"), Close]),
        ("EHLO", &[Reply("421 4.3.2 busy"), Close]),
        ("MAIL", &[Close]),
        ("RCPT", &[Close]),
    ];
    for (prefix, acts) in cases {
        let first = Peer::start([Script::default().on(prefix, acts)]).await;
        let second = Peer::start([Script::default()]).await;
        let mut relay = Relay::start(Setup::to(&[first.address(), second.address()]));
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED, "{prefix} {acts:?}");
        assert_eq!(second.messages().len(), 1);
    }
}

#[tokio::test]
async fn after_the_dot_no_other_host_is_tried() {
    let first = Peer::start([Script::default().on(testkit::peer::DOT, &[Close])]).await;
    let second = Peer::start([Script::default()]).await;
    let mut relay = Relay::start(Setup::to(&[first.address(), second.address()]));
    let outcomes = answered(relay.deliver(&["a@x.example"]).await);
    assert_eq!(outcomes[0].fate, Fate::Deferred);
    assert!(second.seen().is_empty());
}

#[tokio::test]
async fn a_host_that_just_failed_is_tried_last() {
    let first = Peer::start([Script::default().on(CONNECT, &[Close])]).await;
    let second = Peer::start([Script::default()]).await;
    let mut setup = Setup::to(&[first.address(), second.address()]);
    setup.connector.limits.messages_per_connection_max = 1;
    let mut relay = Relay::start(setup);
    for _ in 0..3 {
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
    }
    assert_eq!((first.seen().len(), second.seen().len()), (1, 3));
}

#[tokio::test]
async fn tries_per_attempt_are_bounded() {
    let peers = [
        Peer::start([Script::default().on(CONNECT, &[Close])]).await,
        Peer::start([Script::default().on(CONNECT, &[Close])]).await,
        Peer::start([Script::default()]).await,
    ];
    let mut setup = Setup::to(&peers.each_ref().map(Peer::address));
    setup.config.addresses_per_attempt_max = 2;
    let mut relay = Relay::start(setup);
    let reply = unreachable(relay.deliver(&["a@x.example"]).await);
    assert_eq!(reply.code(), 451);
    assert!(peers[2].seen().is_empty());
}

#[tokio::test]
async fn exchangers_are_tried_by_preference() {
    let best =
        Peer::start([Script::default().on(CONNECT, &[Reply("451 4.3.2 busy"), Close])]).await;
    let port = best.address().port();
    let next_at = SocketAddr::from(([127, 0, 0, 2], port));
    let next = Peer::start_at(next_at, [Script::default()], None).await;
    let dns = DnsServer::start()
        .await
        .with("x.example", Kind::Mx, mx(&[(20, "next.example"), (10, "best.example")]))
        .with("best.example", Kind::A, a([127, 0, 0, 1]))
        .with("next.example", Kind::A, a([127, 0, 0, 2]));
    let mut relay = Relay::start(Setup::by_mx(dns, port));
    let outcomes = answered(relay.deliver(&["a@x.example"]).await);
    assert_eq!(
        outcomes[0].peer.as_ref().unwrap().to_string(),
        format!("next.example[127.0.0.2]:{port}")
    );
    assert_eq!((best.seen().len(), next.messages().len()), (1, 1));
}

#[tokio::test]
async fn a_domain_without_mx_is_its_own_host_and_a_literal_needs_no_look_up() {
    let peer = Peer::start([Script::default()]).await;
    let dns = DnsServer::start().await.with("x.example", Kind::A, a([127, 0, 0, 1]));
    let mut relay = Relay::start(Setup::by_mx(dns, peer.address().port()));
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
    assert_eq!(fates(relay.deliver(&["a@[127.0.0.1]"]).await), DELIVERED);
    assert_eq!(peer.seen().len(), 2, "two destinations share no connection");
}

#[tokio::test]
async fn each_kind_of_no_from_the_dns_has_its_reply() {
    let dns = DnsServer::start()
        .await
        .with("null.example", Kind::Mx, mx(&[(0, ".")]))
        .with("servfail.example", Kind::Mx, Answer::ServFail)
        .with("servfail.example", Kind::A, a([127, 0, 0, 1]))
        .with("ours.example", Kind::Mx, mx(&[(10, "RELAY.example"), (20, "b.example")]))
        .with("lost.example", Kind::Mx, mx(&[(10, "gone.example")]))
        .with("unsure.example", Kind::Mx, mx(&[(10, "gone.example"), (20, "sick.example")]))
        .with("sick.example", Kind::A, Answer::ServFail)
        .with("bare.example", Kind::A, Answer::NoData);
    let mut relay = Relay::start(Setup::by_mx(dns, 1));
    for (host, want) in [
        ("null.example", "556 5.1.10 null.example takes no mail (null MX)"),
        ("absent.example", "550 5.1.2 absent.example does not exist (NXDOMAIN)"),
        ("ours.example", "554 5.4.6 mail for ours.example loops back to this relay"),
        ("lost.example", "550 5.4.4 gone.example does not exist (NXDOMAIN)"),
        ("bare.example", "550 5.4.4 bare.example has no address"),
    ] {
        let outcomes = answered(relay.deliver(&[&format!("a@{host}")]).await);
        assert_eq!(
            (outcomes[0].fate, outcomes[0].reply.to_string()),
            (Fate::Failed, want.to_owned())
        );
    }
    for host in ["servfail.example", "unsure.example"] {
        let reply = unreachable(relay.deliver(&[&format!("a@{host}")]).await);
        assert!(reply.to_string().starts_with("451 4.4.3 "), "{host}: {reply}");
    }
}

/// Which of the hosts `h0.example` to `h31.example` addresses were asked for.
fn asked_for(relay: &Relay) -> Vec<usize> {
    let queries = relay.dns.as_ref().unwrap().queries();
    let is_asked = |host: &usize| {
        let name = format!("h{host}.example");
        queries.iter().any(|(asked, kind)| asked == &name && *kind == Kind::A)
    };
    (0..32).filter(is_asked).collect()
}

/// 32 exchangers, the first of preference 0.
async fn thirty_two() -> DnsServer {
    let host = |number: u16| (number, &*Box::leak(format!("h{number}.example").into_boxed_str()));
    let hosts: Vec<_> = (0..32).map(host).collect();
    DnsServer::start().await.with("x.example", Kind::Mx, mx(&hosts))
}

#[tokio::test]
async fn the_best_host_is_looked_up_alone() {
    let peer = Peer::start([Script::default()]).await;
    let dns = thirty_two().await.with("h0.example", Kind::A, a([127, 0, 0, 1]));
    let mut relay = Relay::start(Setup::by_mx(dns, peer.address().port()));
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
    assert_eq!(asked_for(&relay), [0]);
}

#[tokio::test]
async fn hosts_behind_one_that_is_not_found_are_looked_up_several_at_a_time() {
    let mut dns = thirty_two().await;
    for host in 1..32 {
        dns = dns.with(&format!("h{host}.example"), Kind::A, Answer::Silence);
    }
    let mut setup = Setup::by_mx(dns, 25);
    setup.answer_wait_max = Span::minutes(5);
    let relay = Relay::start(setup);
    let id = relay.store(&["a@x.example"], crate::relay::CONTENT).await;
    relay.hand_out(id, "a@x.example").await;
    let look = async {
        while asked_for(&relay).len() < 9 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look).await.expect("one after another");
    assert_eq!(asked_for(&relay), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

/// The last of many hosts still gets the mail.
#[tokio::test]
async fn a_long_list_is_gone_through_in_order() {
    let peer = Peer::start([Script::default()]).await;
    let dns = thirty_two().await.with("h31.example", Kind::A, a([127, 0, 0, 1]));
    let mut relay = Relay::start(Setup::by_mx(dns, peer.address().port()));
    let outcomes = answered(relay.deliver(&["a@x.example"]).await);
    assert_eq!(outcomes[0].fate, Fate::Delivered);
    assert_eq!(&*outcomes[0].peer.as_ref().unwrap().host, "h31.example");
    assert_eq!(asked_for(&relay).len(), 32);
}

#[tokio::test]
async fn a_smart_host_that_does_not_exist_is_no_fault_of_the_mail() {
    let dns = DnsServer::start().await;
    let mut setup = Setup::by_mx(dns, 25);
    setup.connector.smart_hosts = vec![policy::config::SmartHost {
        host: "smart.example".to_owned(),
        ..policy::config::SmartHost::default()
    }];
    let mut relay = Relay::start(setup);
    let reply = unreachable(relay.deliver(&["a@x.example"]).await);
    assert_eq!(reply.to_string(), "451 4.4.4 smart.example does not exist (NXDOMAIN)");
}

#[tokio::test]
async fn only_the_recipients_of_the_destination_are_sent() {
    let peer = Peer::start([Script::default()]).await;
    let dns = DnsServer::start().await.with("x.example", Kind::A, a([127, 0, 0, 1])).with(
        "y.example",
        Kind::A,
        a([127, 0, 0, 1]),
    );
    let mut relay = Relay::start(Setup::by_mx(dns, peer.address().port()));
    let id =
        relay.store(&["a@y.example", "b@x.example", "c@y.example"], crate::relay::CONTENT).await;
    relay.hand_out(id, "any@y.example").await;
    let end = relay.end().await;
    assert_eq!(end.attempt.destination.domain(), Some(&domain("y.example")));
    let Outcome::Answered(outcomes) = end.outcome else { panic!("{:?}", end.outcome) };
    assert_eq!(outcomes.iter().map(|one| one.recipient).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(peer.messages()[0].envelope.len(), 3);
}
