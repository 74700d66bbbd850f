//! Connections that are kept, replaced, closed; the stop.

use mail::Fate;
use policy::config::Limits;
use testkit::peer::Act::{Close, Pause, Reply};
use testkit::peer::{DOT, Peer, Script, Seen};
use units::Span;

use crate::relay::{CONTENT, Relay, Setup, fates};

const DELIVERED: [(Fate, u16); 1] = [(Fate::Delivered, 250)];

async fn until(peer: &Peer, holds: impl Fn(&[Seen]) -> bool) {
    let wait = std::time::Duration::from_secs(20);
    let done = tokio::time::timeout(wait, peer.until(holds)).await;
    assert!(done.is_ok(), "{:?}", peer.seen());
}

fn last_line(seen: &Seen) -> &str {
    seen.lines.last().map(String::as_str).unwrap_or_default()
}

#[tokio::test]
async fn a_connection_serves_many_messages() {
    let peer = Peer::start([Script::default()]).await;
    let mut relay = Relay::to(&peer);
    for _ in 0..3 {
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
    }
    assert_eq!((peer.seen().len(), peer.messages().len()), (1, 3));
    assert!(relay.shows("chasqui_connection_reuse_total{connector=\"out\"} 2"));
    assert!(relay.shows("chasqui_connections{connector=\"out\",state=\"idle\"} 1"));
    assert!(relay.shows("chasqui_connections{connector=\"out\",state=\"active\"} 0"));
}

#[tokio::test]
async fn a_connection_is_left_in_good_order_at_its_limits() {
    let limits = [
        Limits { messages_per_connection_max: 1, ..Limits::default() },
        Limits { connection_age_max: Span::millis(0), ..Limits::default() },
    ];
    for limits in limits {
        let peer = Peer::start([Script::default()]).await;
        let mut setup = Setup::to(&[peer.address()]);
        setup.connector.limits = limits;
        let mut relay = Relay::start(setup);
        for _ in 0..2 {
            assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
        }
        until(&peer, |seen| seen.len() == 2 && seen.iter().all(|one| last_line(one) == "QUIT"))
            .await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_its_time_is_over() {
    let peer = Peer::start([Script::default()]).await;
    let mut setup = Setup::to(&[peer.address()]);
    setup.connector.limits.connection_idle_max = Span::millis(1);
    let mut relay = Relay::start(setup);
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
    until(&peer, |seen| seen.iter().all(|one| last_line(one) == "QUIT" && one.is_over)).await;
}

#[tokio::test]
async fn a_peer_that_closes_idle_connections_costs_nothing() {
    let closing = Script::default().on(DOT, &[Reply("250 2.0.0 taken"), Close]);
    let chatty =
        Script::default().on(DOT, &[Reply("250 2.0.0 taken"), Reply("421 4.4.2 idle"), Close]);
    for script in [closing, chatty] {
        let peer = Peer::start([script, Script::default()]).await;
        let mut relay = Relay::to(&peer);
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
        until(&peer, |seen| seen[0].is_over).await;
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
        assert_eq!((peer.seen().len(), peer.messages().len()), (2, 2));
        assert!(!peer.seen()[0].lines.iter().any(|line| line == "QUIT"));
        // It was seen to be dead before a message was tried on it.
        assert!(relay.shows("chasqui_connection_reuse_total{connector=\"out\"} 0"));
    }
}

#[tokio::test]
async fn a_reused_connection_that_dies_at_mail_is_replaced_at_once() {
    for acts in [vec![Close], vec![Reply("421 4.4.2 too late"), Close]] {
        let dying = Script::default().times(1, "MAIL", &[Reply("250 2.1.0 ok")]).on("MAIL", &acts);
        let peer = Peer::start([dying, Script::default()]).await;
        let mut relay = Relay::to(&peer);
        for _ in 0..2 {
            assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED, "{acts:?}");
        }
        assert_eq!((peer.seen().len(), peer.messages().len()), (2, 2), "{acts:?}");
    }
}

#[tokio::test]
async fn without_room_a_connection_is_closed_instead_of_kept() {
    let peer = Peer::start([Script::default()]).await;
    let mut setup = Setup::to(&[peer.address()]);
    setup.config.idle_connections_max = 0;
    let mut relay = Relay::start(setup);
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
    until(&peer, |seen| last_line(&seen[0]) == "QUIT" && seen[0].is_over).await;
}

#[tokio::test]
async fn transactions_at_the_same_time_are_bounded() {
    let peer = Peer::start([Script::default().on(DOT, &[Pause, Reply("250 2.0.0 taken")])]).await;
    let mut setup = Setup::to(&[peer.address()]);
    setup.connector.timeouts.dot = Span::seconds(20);
    setup.config.transactions_max = 2;
    let mut relay = Relay::start(setup);
    for _ in 0..6 {
        let id = relay.store(&["a@x.example"], CONTENT).await;
        relay.hand_out(id, "a@x.example").await;
    }
    let is_at_dot = |one: &Seen| last_line(one) == DOT;
    until(&peer, |seen| seen.iter().filter(|one| is_at_dot(one)).count() == 2).await;
    for _ in 0..6 {
        peer.go_on();
        assert_eq!(fates(relay.end().await.outcome), DELIVERED);
    }
    assert_eq!((peer.messages().len(), peer.open_max()), (6, 2));
}

#[tokio::test]
async fn stop_finishes_what_is_under_way_and_leaves_the_rest() {
    let peer = Peer::start([Script::default().on(DOT, &[Pause, Reply("250 2.0.0 taken")])]).await;
    let mut setup = Setup::to(&[peer.address()]);
    setup.connector.timeouts.dot = Span::seconds(20);
    let mut relay = Relay::start(setup);
    let id = relay.store(&["a@x.example"], CONTENT).await;
    relay.hand_out(id, "a@x.example").await;
    until(&peer, |seen| seen.first().is_some_and(|one| last_line(one) == DOT)).await;
    relay.stop();
    peer.go_on();
    assert_eq!(fates(relay.end().await.outcome), DELIVERED);
    relay.over().await;
    until(&peer, |seen| seen[0].is_over).await;
    assert_eq!(last_line(&peer.seen()[0]), "QUIT");
    assert!(relay.shows("chasqui_connections{connector=\"out\",state=\"active\"} 0"));
}

#[tokio::test]
async fn stop_does_not_wait_for_a_host_that_says_nothing() {
    let peer = Peer::start([Script::default().on(testkit::peer::CONNECT, &[Pause])]).await;
    let mut setup = Setup::to(&[peer.address()]);
    setup.connector.timeouts.greeting = Span::hours(1);
    let mut relay = Relay::start(setup);
    let id = relay.store(&["a@x.example"], CONTENT).await;
    relay.hand_out(id, "a@x.example").await;
    until(&peer, |seen| seen.len() == 1).await;
    relay.stop();
    relay.over().await;
}
