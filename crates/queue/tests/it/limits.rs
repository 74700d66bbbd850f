//! Connectors with limits, whose mail goes another way once they are full.

use policy::config::{OnLimit, SmartHost};

use super::*;

fn connector(name: &str, domain: &str) -> OutboundConnector {
    OutboundConnector {
        name: name.to_owned(),
        recipient_domains: vec![domain.to_owned()],
        on_limit: OnLimit::Spill,
        ..OutboundConnector::default()
    }
}

fn at(destination: &str) -> Selection {
    Selection { destination: Some(destination.into()), ..Selection::default() }
}

async fn delivered(relay: &mut Relay, to: &str, by: &str) {
    relay.accept("a@a.example", &[to]).await;
    let attempt = relay.attempt().await;
    assert_eq!(attempt.destination.connector(), by, "{to}");
    relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    relay.until("its end to be written", |it| it.ready == 0 && it.in_flight <= 1).await;
}

/// As [`delivered`], while two others are under way.
async fn delivered_beside(relay: &mut Relay, to: &str, by: &str) {
    relay.accept("a@a.example", &[to]).await;
    let attempt = relay.attempt().await;
    assert_eq!(attempt.destination.connector(), by, "{to}");
    relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    relay.until("its end to be written", |it| it.ready == 0 && it.in_flight <= 2).await;
}

/// A message has a recipient under way by another way than its own, which opens again; then the way of its other
/// recipient is full. What is under way is not sent a second time.
#[tokio::test]
async fn what_is_under_way_is_not_sent_by_a_way_that_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let hourly = OutboundConnector {
        rate_max: Some("1/1h".parse().unwrap()),
        ..connector("a", "x.example")
    };
    let daily = OutboundConnector { daily_messages_max: Some(2), ..connector("b", "y.example") };
    let shape = Shape { further: vec![hourly, daily], ..Shape::default() };
    let mut relay = Relay::start(folder.path(), &clock(), shape);
    delivered(&mut relay, "r@x.example", "a").await;
    delivered(&mut relay, "r@y.example", "b").await;
    delivered(&mut relay, "r@x.example", "internet").await;

    relay.accept("a@a.example", &["one@x.example", "two@y.example"]).await;
    let mut both = [relay.attempt().await, relay.attempt().await];
    both.sort_by(|one, two| one.destination.connector().cmp(two.destination.connector()));
    let [by_b, under_way] = both;
    assert_eq!(
        (by_b.destination.connector(), under_way.destination.connector()),
        ("b", "internet")
    );
    relay.end(by_b, answered(&[(1, Fate::Deferred)])).await;
    relay.until("one that rests", |it| (it.resting, it.in_flight) == (1, 1)).await;
    delivered(&mut relay, "r@y.example", "b").await;

    // Now `a` has room again, and `b` has none for the recipient that is due. That one goes at once, as it cannot be under way.
    relay.advance(Duration::from_hours(1));
    let last = relay.attempt().await;
    assert_eq!(last.destination.to_string(), "internet/y.example");
    relay.no_attempt().await;
    relay.no_attempt().await;
    relay.end(under_way, answered(&[(0, Fate::Delivered)])).await;
    relay.end(last, answered(&[(1, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.stop().await;
}

/// A message has an entry that rests at `a`, whose rate is full, and its recipient is under way by another connector.
async fn under_way_elsewhere(relay: &mut Relay) -> (MessageId, Attempt) {
    let id = relay.accept("a@a.example", &["one@x.example", "two@z.example"]).await;
    let mut both = [relay.attempt().await, relay.attempt().await];
    both.sort_by(|one, two| one.destination.connector().cmp(two.destination.connector()));
    let [by_a, other] = both;
    assert_eq!(by_a.destination.connector(), "a");
    relay.end(by_a, answered(&[(0, Fate::Deferred)])).await;
    relay.until("one that rests", |it| (it.resting, it.in_flight) == (1, 1)).await;
    delivered(relay, "r@x.example", "a").await;
    delivered(relay, "r@x.example", "internet").await;

    // Handed out before that, it is told apart anew, and the recipient that rests at `a` now rests here too.
    relay.end(other, Outcome::Elsewhere).await;
    let other = relay.attempt().await;
    assert_eq!(other.destination.to_string(), "internet/z.example");
    relay.end(other, answered(&[(1, Fate::Delivered)])).await;
    relay.until("two that rest", |it| (it.resting, it.in_flight) == (2, 0)).await;
    relay.queue.retry(at("internet/x.example")).await.unwrap();
    let under_way = relay.attempt().await;
    assert_eq!(under_way.destination.to_string(), "internet/x.example");
    (id, under_way)
}

/// A message has an entry that rests at a connector, and is sent by another one while that is full. When it has room
/// again, the entry there is not sent as well.
#[tokio::test]
async fn what_is_under_way_elsewhere_is_not_sent_by_an_older_entry() {
    let folder = tempfile::tempdir().unwrap();
    let rate_max = Some("2/10m".parse().unwrap());
    let limited = OutboundConnector { rate_max, ..connector("a", "x.example") };
    let shape = Shape { further: vec![limited], ..Shape::default() };
    let mut relay = Relay::start(folder.path(), &clock(), shape);
    let (_, under_way) = under_way_elsewhere(&mut relay).await;

    relay.advance(Duration::from_mins(10));
    relay.no_attempt().await;
    relay.end(under_way, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.stop().await;
}

/// An operator takes out what rests at a connector while its recipient is under way by another one: it leaves once that has
/// ended, if anything of it still waits.
#[tokio::test]
async fn what_is_under_way_elsewhere_is_not_cancelled() {
    for (fate, line) in [
        (Fate::Delivered, "{connector=\"internet\",result=\"delivered\"} 3"),
        (Fate::Deferred, "{connector=\"a\",result=\"cancelled\"} 1"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let rate_max = Some("2/1m".parse().unwrap());
        let limited = OutboundConnector { rate_max, ..connector("a", "x.example") };
        let shape = Shape { further: vec![limited], ..Shape::default() };
        let mut relay = Relay::start(folder.path(), &clock(), shape);
        let (id, under_way) = under_way_elsewhere(&mut relay).await;
        relay.advance(MINUTE);
        let cancelled = relay.queue.cancel(at("a/x.example")).await.unwrap();
        assert_eq!((cancelled.cancelled, cancelled.after_this_try), (0, 1));
        relay.no_attempt().await;
        // Behind whatever was to be written of it.
        let one = relay.accept("a@a.example", &["r@z.example"]).await;
        let attempt = relay.attempt().await;
        assert_eq!(attempt.id, one);
        relay.end(attempt, answered(&[(0, Fate::Failed)])).await;
        let report = relay.attempt().await;
        relay.end(report, answered(&[(0, Fate::Failed)])).await;
        relay.until("it waits", |it| it.messages == 1).await;
        assert!(relay.spool.load(id).await.unwrap().recipients[0].is_waiting());
        relay.end(under_way, answered(&[(0, fate)])).await;
        relay.until_empty().await;
        relay.metric(&format!("chasqui_delivery_total{line}"));
        relay.stop().await;
    }
}

/// A host is slow, and a connector with a rate fills and opens meanwhile: what goes by neither is tried as ever, and what
/// the connector cannot take goes by the next one at once.
#[tokio::test]
async fn a_slow_host_does_not_hold_up_the_rest_of_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let rate_max = Some("1/10s".parse().unwrap());
    let limited = OutboundConnector { rate_max, ..connector("a", "x.example") };
    let shape = Shape { further: vec![limited], ..Shape::default() };
    let mut relay = Relay::start(folder.path(), &clock(), shape);
    let to = ["slow@z.example", "two@y.example"];
    relay.accept("a@a.example", &to).await;
    let mut both = [relay.attempt().await, relay.attempt().await];
    both.sort_by(|one, two| one.destination.cmp(&two.destination));
    let [by_y, slow] = both;
    relay.end(by_y, answered(&[(1, Fate::Deferred)])).await;
    relay.until("one that rests", |it| (it.resting, it.in_flight) == (1, 1)).await;
    delivered(&mut relay, "r@x.example", "a").await;
    delivered(&mut relay, "r@x.example", "internet").await;
    relay.advance(7 * MINUTE);
    let again = relay.attempt().await;
    assert_eq!((again.destination.to_string().as_str(), again.tries), ("internet/y.example", 1));
    relay.end(again, answered(&[(1, Fate::Delivered)])).await;
    relay.end(slow, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;

    let to = ["slow@z.example", "two@x.example"];
    delivered(&mut relay, "r@x.example", "a").await;
    relay.accept("a@a.example", &to).await;
    let mut both = [relay.attempt().await, relay.attempt().await];
    both.sort_by(|one, two| one.destination.cmp(&two.destination));
    let [spilled, slow] = both;
    assert_eq!(spilled.destination.to_string(), "internet/x.example");
    relay.end(spilled, answered(&[(1, Fate::Deferred)])).await;
    relay.until("one that rests", |it| (it.resting, it.in_flight) == (1, 1)).await;
    // It is due where it no longer goes.
    relay.advance(7 * MINUTE);
    let in_vain = relay.attempt().await;
    assert_eq!(in_vain.destination.to_string(), "internet/x.example");
    relay.end(in_vain, Outcome::Elsewhere).await;
    let again = relay.attempt().await;
    assert_eq!(again.destination.to_string(), "a/x.example");
    relay.end(again, answered(&[(1, Fate::Delivered)])).await;
    relay.end(slow, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.stop().await;
}

/// A way opens while its recipient is under way by another one, and a place is kept there for the time after: it is gone
/// once the recipient was taken, and so is the message.
#[tokio::test]
async fn a_place_that_nobody_needs_any_more_is_gone_with_the_message() {
    let folder = tempfile::tempdir().unwrap();
    let rate_max = Some("1/10m".parse().unwrap());
    let limited = OutboundConnector { rate_max, ..connector("a", "x.example") };
    let shape = Shape { further: vec![limited], ..Shape::default() };
    let mut relay = Relay::start(folder.path(), &clock(), shape);
    delivered(&mut relay, "r@x.example", "a").await;
    delivered(&mut relay, "r@x.example", "internet").await;
    relay.advance(9 * MINUTE);
    relay.accept("a@a.example", &["one@x.example", "two@z.example", "three@y.example"]).await;
    let mut all = [relay.attempt().await, relay.attempt().await, relay.attempt().await];
    all.sort_by(|one, two| one.destination.cmp(&two.destination));
    let [by_x, by_y, by_z] = all;
    assert_eq!(by_x.destination.to_string(), "internet/x.example");
    relay.end(by_x, answered(&[(0, Fate::Deferred)])).await;
    relay.end(by_y, answered(&[(2, Fate::Deferred)])).await;
    relay.until("two that rest", |it| (it.resting, it.in_flight) == (2, 1)).await;
    relay.queue.retry(at("internet/x.example")).await.unwrap();
    let under_way = relay.attempt().await;
    // `a` opens, and whoever looks for the ways of the message finds that it goes there when its time comes.
    relay.advance(MINUTE);
    relay.end(by_z, Outcome::Elsewhere).await;
    let by_z = relay.attempt().await;
    assert_eq!(by_z.destination.to_string(), "internet/z.example");
    relay.end(by_z, answered(&[(1, Fate::Delivered)])).await;
    relay.until("a place that is kept", |it| (it.resting, it.in_flight) == (2, 1)).await;
    relay.end(under_way, answered(&[(0, Fate::Delivered)])).await;
    relay.until("nothing is under way", |it| it.in_flight == 0).await;
    relay.queue.retry(at("internet/y.example")).await.unwrap();
    let last = relay.attempt().await;
    relay.end(last, answered(&[(2, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.metric("chasqui_queue_missing_total 0");
    relay.stop().await;
}

/// What an attempt held is counted as tried, whatever has filled meanwhile: else it would never be given up.
#[tokio::test]
async fn a_try_counts_though_the_ways_have_changed() {
    let folder = tempfile::tempdir().unwrap();
    let rate_max = Some("1/1h".parse().unwrap());
    let limited = OutboundConnector { rate_max, ..connector("a", "x.example") };
    let shape = Shape { further: vec![limited], ..Shape::default() };
    let mut relay = Relay::start(folder.path(), &clock(), shape);
    let id = relay.accept("a@a.example", &["one@y.example", "two@y.example"]).await;
    let attempt = relay.attempt().await;
    delivered(&mut relay, "r@x.example", "a").await;
    delivered(&mut relay, "r@x.example", "internet").await;
    let held = Some([1].into());
    relay.tell(AttemptEnd { held, ..end_of(attempt, unreachable()) }).await;
    relay.until("it rests", |it| (it.resting, it.in_flight) == (1, 0)).await;
    let tries = |state: &spool::RecipientState| match state {
        spool::RecipientState::Waiting { tries, .. } => *tries,
        spool::RecipientState::Settled { .. } => 99,
    };
    let stored = relay.spool.load(id).await.unwrap();
    assert_eq!(stored.recipients.iter().map(tries).collect::<Vec<_>>(), [0, 1]);
    relay.stop().await;
}

/// The parts of a message with three recipients: one that goes by a smart host for all, one by a connector with a rate, and
/// one that neither takes.
async fn three_ways(relay: &mut Relay) -> (MessageId, [Attempt; 3]) {
    let to = ["one@z.example", "two@x.example", "three@y.example"];
    let id = relay.accept("a@a.example", &to).await;
    let mut all = [relay.attempt().await, relay.attempt().await, relay.attempt().await];
    all.sort_by(|one, two| one.destination.cmp(&two.destination));
    let names = all.each_ref().map(|it| it.destination.to_string());
    assert_eq!(names, ["a/x.example", "internet/y.example", "smart"]);
    (id, all)
}

fn three_ways_of(rate: &str) -> Shape {
    let host = SmartHost { host: "smart.example".to_owned(), ..SmartHost::default() };
    let smart = OutboundConnector { smart_hosts: vec![host], ..connector("smart", "*") };
    let limited =
        OutboundConnector { rate_max: Some(rate.parse().unwrap()), ..connector("a", "x.example") };
    let domains = vec!["y.example".to_owned()];
    Shape { domains, further: vec![limited, smart], ..Shape::default() }
}

/// A recipient now goes where another one of its message has long been under way, and a third one rests: it is sent as soon
/// as that has ended, whatever rests.
#[tokio::test]
async fn who_joins_one_that_is_under_way_is_sent_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), three_ways_of("1/1h"));
    let (id, [limited, third, by_smart]) = three_ways(&mut relay).await;
    relay.end(third, answered(&[(2, Fate::Deferred)])).await;
    relay.until("one that rests", |it| (it.resting, it.in_flight) == (1, 2)).await;
    relay.queue.retry(at("internet/y.example")).await.unwrap();
    // It rests for longer than the other.
    let third = relay.attempt().await;
    relay.end(third, answered(&[(2, Fate::Deferred)])).await;
    relay.end(limited, answered(&[(1, Fate::Deferred)])).await;
    relay.until("two that rest", |it| (it.resting, it.in_flight) == (2, 1)).await;
    relay.advance(7 * MINUTE);
    relay.until("one that rests", |it| (it.ready, it.resting, it.in_flight) == (0, 1, 1)).await;
    relay.end(by_smart, answered(&[(0, Fate::Delivered)])).await;
    let joined = relay.attempt().await;
    assert_eq!((joined.id, joined.destination.to_string().as_str()), (id, "smart"));
    relay.end(joined, answered(&[(1, Fate::Delivered)])).await;
    relay.queue.retry(at("internet/y.example")).await.unwrap();
    let third = relay.attempt().await;
    relay.end(third, answered(&[(2, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.stop().await;
}

/// Somebody is to be looked for again once what may hold it has ended; that is not forgotten where another part ends first.
#[tokio::test]
async fn an_end_that_frees_nobody_leaves_the_others_to_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), three_ways_of("2/1h"));
    let (id, [limited, third, by_smart]) = three_ways(&mut relay).await;
    relay.end(limited, answered(&[(1, Fate::Deferred)])).await;
    relay.until("one that rests", |it| (it.resting, it.in_flight) == (1, 2)).await;
    for by in ["a", "smart"] {
        relay.accept("a@a.example", &["r@x.example"]).await;
        let attempt = relay.attempt().await;
        assert_eq!(attempt.destination.connector(), by);
        relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
        relay.until("its end to be written", |it| (it.ready, it.in_flight) == (0, 2)).await;
    }
    relay.advance(7 * MINUTE);
    relay.until("none that rests", |it| (it.ready, it.resting, it.in_flight) == (0, 0, 2)).await;
    relay.end(third, answered(&[(2, Fate::Deferred)])).await;
    relay.until("one that rests", |it| (it.resting, it.in_flight) == (1, 1)).await;
    relay.no_attempt().await;
    relay.end(by_smart, answered(&[(0, Fate::Delivered)])).await;
    let joined = relay.attempt().await;
    assert_eq!((joined.id, joined.destination.to_string().as_str()), (id, "smart"));
    relay.end(joined, answered(&[(1, Fate::Delivered)])).await;
    relay.queue.retry(at("internet/y.example")).await.unwrap();
    let third = relay.attempt().await;
    relay.end(third, answered(&[(2, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.stop().await;
}

/// An operator takes a message out while it is handed out, and it turns out to have been handed out in vain.
#[tokio::test]
async fn what_is_cancelled_and_handed_out_in_vain_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let id = relay.accept("a@a.example", &["one@x.example"]).await;
    let attempt = relay.attempt().await;
    let selection = Selection { ids: vec![id], ..Selection::default() };
    assert_eq!(relay.queue.cancel(selection).await.unwrap().after_this_try, 1);
    relay.end(attempt, Outcome::Elsewhere).await;
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.stop().await;
}

/// A filter discards what an attempt holds, and by then a recipient that is under way by another connector would belong to
/// it: that one is not discarded.
#[tokio::test]
async fn what_an_attempt_did_not_hold_is_not_ended_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let rate_max = Some("2/1h".parse().unwrap());
    let limited = OutboundConnector { rate_max, ..connector("a", "x.example") };
    let shape = Shape { further: vec![limited], ..Shape::default() };
    let mut relay = Relay::start(folder.path(), &clock(), shape);
    let recipients = ["one@x.example", "two@x.example"];
    let id =
        relay.accept_with(&recipients, |it| it.recipients[1].via = Some("internet".into())).await;
    let mut both = [relay.attempt().await, relay.attempt().await];
    both.sort_by(|one, two| one.destination.connector().cmp(two.destination.connector()));
    let [by_a, by_internet] = both;
    assert_eq!(by_a.destination.connector(), "a");
    delivered_beside(&mut relay, "r@x.example", "a").await;
    delivered_beside(&mut relay, "r@x.example", "internet").await;

    let discarded = Outcome::Discarded;
    relay.end(by_internet, discarded).await;
    relay.until("one is under way", |it| it.in_flight == 1).await;
    let stored = relay.spool.load(id).await.unwrap();
    assert!(stored.recipients.iter().all(spool::RecipientState::is_waiting));
    relay.end(by_a, answered(&[(0, Fate::Delivered)])).await;
    let again = relay.attempt().await;
    assert_eq!((again.id, again.destination.connector()), (id, "internet"));
    relay.end(again, answered(&[(1, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.stop().await;
}
