//! What senders ask for: reports, messages that wait for their time, deadlines.

use mail::{ByMode, DeliverBy, EnvelopeId, Notify, OriginalRecipient, Wishes};

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn at(from_now: Duration) -> Timestamp {
    Timestamp::from_millis(START_MILLIS).plus(from_now)
}

/// The next attempt once time has passed.
async fn after(relay: &mut Relay, wait: Duration) -> Attempt {
    relay.advance(wait);
    relay.queue.summary(0).await.unwrap();
    relay.attempt().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_message_is_told_of_once_even_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    let id = relay
        .accept_with(&["b@x.example"], |it| {
            it.wishes.envelope_id = EnvelopeId::parse("order 7");
            it.recipients[0].original = OriginalRecipient::new("rfc822", "first@x.example");
        })
        .await;
    let attempt = relay.attempt().await;
    relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
    relay.until("it rests", |it| it.resting == 1).await;
    // The relay is down when the time comes: it is told after the next try.
    relay.stop().await;
    clock.advance(5 * HOUR);
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    let attempt = relay.attempt().await;
    assert_eq!(attempt.id, id);
    relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
    let report = relay.attempt().await;
    let text = content(&relay.spool, report.id).await;
    assert_eq!(told(&text), [("b@x.example".to_owned(), "delayed".to_owned())]);
    for line in [
        "Subject: Your message is delayed",
        "Original-Envelope-Id: order 7",
        "Original-Recipient: rfc822; first@x.example",
        "Status: 4.7.1",
        "Content-Type: text/rfc822-headers",
        &format!("Arrival-Date: {}", at(Duration::ZERO).rfc5322()),
        &format!("Last-Attempt-Date: {}", at(5 * HOUR).rfc5322()),
        &format!("Will-Retry-Until: {}", at(120 * HOUR).rfc5322()),
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} is missing in\n{text}");
    }
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until("it rests", |it| it.resting == 1 && it.messages == 1).await;
    relay.stop().await;
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    for _ in 0..3 {
        let attempt = after(&mut relay, 5 * HOUR).await;
        assert_eq!(attempt.id, id, "no further report");
        relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
        relay.until("it rests", |it| it.resting == 1 && it.messages == 1).await;
    }
    let attempt = after(&mut relay, 5 * HOUR).await;
    relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.stop().await;
}

/// Only the one that probes is tried; the senders of all the others hear of the delay too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_wait_at_a_dead_destination_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    relay.accept("a@a.example", &["b@x.example"]).await;
    let first = relay.attempt().await;
    relay.end(first, unreachable()).await;
    relay.until("it rests", |it| it.resting == 1).await;
    for _ in 0..5 {
        relay.accept("a@a.example", &["b@x.example"]).await;
    }
    relay.until("all rest", |it| it.resting == 6).await;
    let probe = after(&mut relay, 4 * HOUR).await;
    assert_eq!(probe.destination.to_string(), "internet/x.example");
    relay.end(probe, unreachable()).await;
    for _ in 0..6 {
        let report = relay.attempt().await;
        let text = content(&relay.spool, report.id).await;
        assert_eq!(told(&text), [("b@x.example".to_owned(), "delayed".to_owned())]);
        assert!(text.contains("\r\n      mx.x.example: refused\r\n"), "{text}");
        relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    }
    relay.until("all rest again", |it| it.resting == 6 && it.messages == 6).await;
    let probe = after(&mut relay, 2 * HOUR).await;
    relay.end(probe, unreachable()).await;
    relay.until("all rest again", |it| it.resting == 6 && it.messages == 6).await;
    relay.no_attempt().await;
    relay.metric("chasqui_dsn_total{action=\"delayed\"} 6");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_no_word_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    for (notify, config) in [
        (Some(Notify::NEVER), Config::default()),
        (Some(Notify::FAILURE), Config::default()),
        (None, Config { delay_report_after: Span::seconds(0), ..Config::default() }),
    ] {
        let mut relay = Relay::start(folder.path(), &clock(), Shape { config, ..Shape::default() });
        let id = relay.accept_with(&["b@x.example"], |it| it.recipients[0].notify = notify).await;
        for hours in [0, 5, 5] {
            let attempt = after(&mut relay, hours * HOUR).await;
            assert_eq!(attempt.id, id, "no report");
            relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
            relay.until("it rests", |it| it.resting == 1 && it.messages == 1).await;
        }
        let attempt = after(&mut relay, 5 * HOUR).await;
        relay.end(attempt, answered(&[(0, Fate::Failed)])).await;
        if notify == Some(Notify::NEVER) {
            relay.until_empty().await;
        } else {
            let report = relay.attempt().await;
            relay.end(report, answered(&[(0, Fate::Delivered)])).await;
            relay.until_empty().await;
        }
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn success_is_told_where_the_next_hop_will_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let wants = |it: &mut Envelope| {
        it.recipients[0].notify = Some(Notify::SUCCESS.with(Notify::FAILURE));
    };
    relay.accept_with(&["b@x.example", "c@x.example"], wants).await;
    let attempt = relay.attempt().await;
    relay.end(attempt, answered(&[(0, Fate::Delivered), (1, Fate::Delivered)])).await;
    let report = relay.attempt().await;
    let text = content(&relay.spool, report.id).await;
    assert_eq!(told(&text), [("b@x.example".to_owned(), "relayed".to_owned())]);
    assert!(text.contains("Status: 2.0.0\r\nRemote-MTA: dns; mx.x.example"), "{text}");
    let stored = relay.spool.load(report.id).await.unwrap();
    assert_eq!(stored.envelope.recipients[0].notify, Some(Notify::NEVER));
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.accept_with(&["b@x.example"], wants).await;
    let attempt = relay.attempt().await;
    let Outcome::Answered(mut outcomes) = answered(&[(0, Fate::Delivered)]) else { panic!() };
    let peer = outcomes[0].peer.as_deref().unwrap().clone();
    outcomes[0].peer = Some(Arc::new(Peer { offers_dsn: true, ..peer }));
    relay.end(attempt, Outcome::Answered(outcomes)).await;
    relay.until_empty().await;
    relay.metric("chasqui_dsn_total{action=\"relayed\"} 1");
    relay.stop().await;
}

/// RFC 4865: not before its time, whatever the usual rests and over a restart; its age counts from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_waits_for_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    let hold = |it: &mut Envelope| it.wishes.hold_until = Some(at(150 * HOUR));
    let id = relay.accept_with(&["b@x.example"], hold).await;
    let sooner = relay.accept_with(&["b@x.example"], hold).await;
    relay.until("they are there", |it| it.resting == 2).await;
    relay.no_attempt().await;
    let lines = relay.queue.list(Selection::default(), 10).await.unwrap().lines;
    assert!(lines.iter().all(|it| it.is_held && it.next_try_at == Some(at(150 * HOUR))));
    let shown = relay.queue.show(id).await.unwrap().unwrap();
    assert!(shown.recipients[0].is_held);
    // An operator may release it.
    let named = Selection { ids: vec![sooner], ..Selection::default() };
    assert_eq!(relay.queue.retry(named).await.unwrap().retried, 1);
    let attempt = relay.attempt().await;
    assert_eq!(attempt.id, sooner);
    relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    relay.until("one is left", |it| it.messages == 1).await;
    relay.stop().await;
    clock.advance(149 * HOUR);
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    relay.until("it is recovered", |it| !it.is_recovering && it.resting == 1).await;
    relay.no_attempt().await;
    let attempt = after(&mut relay, HOUR).await;
    relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
    relay.until("it rests, and is not too old", |it| it.resting == 1).await;
    let line = relay.queue.list(Selection::default(), 1).await.unwrap().lines.remove(0);
    assert!(!line.is_held);
    let attempt = after(&mut relay, HOUR).await;
    relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.stop().await;
}

fn by(seconds: u64, mode: ByMode) -> impl Fn(&mut Envelope) {
    move |it| {
        let at = at(Duration::from_secs(seconds));
        let by = DeliverBy { at, mode, is_traced: false };
        it.wishes = Wishes { deliver_by: Some(by), ..Wishes::default() };
    }
}

/// RFC 2852: at rest, at a dead destination and over a restart the sender hears in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_to_deliver_by_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    relay.accept_with(&["b@x.example"], by(120, ByMode::Return)).await;
    let attempt = relay.attempt().await;
    relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
    relay.until("it rests", |it| it.resting == 1).await;
    relay.advance(Duration::from_secs(119));
    relay.no_attempt().await;
    let report = after(&mut relay, Duration::from_secs(1)).await;
    let text = content(&relay.spool, report.id).await;
    assert_eq!(told(&text), [("b@x.example".to_owned(), "failed".to_owned())]);
    for words in ["Status: 5.4.7", "The time was over by which you wanted it delivered"] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;

    let id = relay.accept_with(&["b@y.example"], by(3600, ByMode::Notify)).await;
    let attempt = relay.attempt().await;
    relay.end(attempt, unreachable()).await;
    relay.until("it rests", |it| it.resting == 1).await;
    relay.stop().await;
    clock.advance(HOUR);
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    // It is told before any try has ended, and tried on.
    let mut both = [relay.attempt().await, relay.attempt().await];
    both.sort_by_key(|it| it.id != id);
    let [attempt, report] = both;
    let text = content(&relay.spool, report.id).await;
    assert_eq!(told(&text), [("b@y.example".to_owned(), "delayed".to_owned())]);
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    assert_eq!(attempt.id, id);
    relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
    relay.until("it rests", |it| it.resting == 1 && it.messages == 1).await;
    // Told once.
    let attempt = after(&mut relay, 5 * HOUR).await;
    relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    let relayed = relay.attempt().await;
    let text = content(&relay.spool, relayed.id).await;
    assert_eq!(told(&text), [("b@y.example".to_owned(), "relayed".to_owned())]);
    relay.end(relayed, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.stop().await;
}

/// A clock that is set ahead by days returns nothing; what really became too old is returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_ahead_gives_no_mail_up() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    let id = relay.accept("a@a.example", &["b@x.example"]).await;
    let attempt = relay.attempt().await;
    relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
    relay.until("it rests", |it| it.resting == 1).await;
    clock.step(6 * 24 * 3_600_000);
    let attempt = after(&mut relay, HOUR).await;
    relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
    relay.until("it rests again", |it| it.resting == 1 && it.messages == 1).await;
    relay.metric("chasqui_queue_clock_steps_total 1");
    relay.metric("chasqui_dsn_total{action=\"delayed\"} 0");
    let attempt = after(&mut relay, 5 * HOUR).await;
    assert_eq!(attempt.id, id);
    relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
    let report = relay.attempt().await;
    let text = content(&relay.spool, report.id).await;
    assert_eq!(told(&text), [("b@x.example".to_owned(), "delayed".to_owned())], "late by now");
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until("it rests", |it| it.resting == 1 && it.messages == 1).await;
    let attempt = after(&mut relay, 115 * HOUR).await;
    relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
    let report = relay.attempt().await;
    let text = content(&relay.spool, report.id).await;
    assert_eq!(told(&text), [("b@x.example".to_owned(), "failed".to_owned())], "too old by now");
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.stop().await;
}
