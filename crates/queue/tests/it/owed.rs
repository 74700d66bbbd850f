//! What the sender is told of recipients that are taken while the attempt goes on, as with one transaction for each.

use mail::Notify;

use super::*;

const RECIPIENTS: u32 = 40;

/// A message whose sender wants to hear of success.
async fn wanted(relay: &Relay) -> MessageId {
    let recipients: Vec<_> = (0..RECIPIENTS).map(|at| format!("r{at}@x.example")).collect();
    let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
    let change = |envelope: &mut Envelope| {
        for recipient in &mut envelope.recipients {
            recipient.notify = Some(Notify::SUCCESS);
        }
    };
    relay.accept_with(&recipients, change).await
}

async fn take(relay: &Relay, attempt: &Attempt, places: std::ops::Range<u32>) {
    for place in places {
        let end = relay.taken(attempt, &[place]).await;
        relay.tell(AttemptEnd { is_further: place > 0, ..end }).await;
    }
}

/// Waits until so many are settled and owed.
async fn until_owed(relay: &Relay, id: MessageId, count: usize) {
    let writing = async {
        loop {
            let stored = relay.spool.load(id).await.unwrap();
            if stored.recipients.iter().filter(|it| it.is_owed()).count() == count {
                break;
            }
            relay.queue.summary(0).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, writing).await.unwrap();
}

/// Whom a report names, if it says of all that they were handed on.
async fn relayed(relay: &Relay, report: &Attempt) -> usize {
    let text = content(&relay.spool, report.id).await;
    assert!(text.contains("Remote-MTA: dns; mx.x.example"), "{text}");
    assert!(text.contains("Diagnostic-Code: smtp; 250 queued"), "{text}");
    assert!(text.contains("mx.x.example [192.0.2.1]"), "{text}");
    let told = told(&text);
    assert!(told.iter().all(|(_, action)| action == "relayed"), "{told:?}");
    told.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_makes_one_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let id = wanted(&relay).await;
    let attempt = relay.attempt().await;
    take(&relay, &attempt, 0..RECIPIENTS - 2).await;
    until_owed(&relay, id, 38).await;
    relay.no_attempt().await;
    // One waits on: what is told is not told again with it.
    let last = answered(&[(38, Fate::Delivered), (39, Fate::Deferred)]);
    relay.tell(AttemptEnd { is_further: true, ..end_of(attempt, last) }).await;
    let report = relay.attempt().await;
    assert_eq!(relayed(&relay, &report).await, 39);
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until("one rests", |it| (it.messages, it.resting) == (1, 1)).await;
    until_owed(&relay, id, 0).await;
    relay.advance(7 * MINUTE);
    relay.queue.summary(0).await.unwrap();
    let attempt = relay.attempt().await;
    relay.end(attempt, answered(&[(39, Fate::Delivered)])).await;
    let report = relay.attempt().await;
    assert_eq!(relayed(&relay, &report).await, 1);
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.metric("chasqui_dsn_total{action=\"relayed\"} 2");
    relay.stop().await;
}

/// An attempt may take long: who was taken early is told of before its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_does_not_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let id = wanted(&relay).await;
    let attempt = relay.attempt().await;
    take(&relay, &attempt, 0..10).await;
    until_owed(&relay, id, 10).await;
    relay.advance(16 * MINUTE);
    take(&relay, &attempt, 10..11).await;
    // The queue may learn of the tenth, which is written, only now.
    let report = relay.attempt().await;
    let early = relayed(&relay, &report).await;
    assert!(early == 10 || early == 11, "{early}");
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    take(&relay, &attempt, 11..12).await;
    until_owed(&relay, id, 12 - early).await;
    relay.no_attempt().await;
    let rest: Vec<_> = (12..RECIPIENTS).map(|place| (place, Fate::Delivered)).collect();
    let end = end_of(attempt, answered(&rest));
    relay.tell(AttemptEnd { is_further: true, ..end }).await;
    let report = relay.attempt().await;
    assert_eq!(relayed(&relay, &report).await, 40 - early);
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.stop().await;
}

/// A crash in the midst of an attempt loses no report: what is owed is told at the next start, whether or not others of
/// the message still wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_no_report() {
    for taken in [10, RECIPIENTS] {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let mut relay = Relay::start(folder.path(), &clock, Shape::default());
        let id = wanted(&relay).await;
        let attempt = relay.attempt().await;
        take(&relay, &attempt, 0..taken).await;
        until_owed(&relay, id, usize::try_from(taken).unwrap()).await;
        // The end never comes.
        relay.stop().await;

        let mut relay = Relay::start(folder.path(), &clock, Shape::default());
        let is_finished = taken == RECIPIENTS;
        let mut attempts = Vec::new();
        for _ in 0..2 - u32::from(is_finished) {
            attempts.push(relay.attempt().await);
        }
        let is_report = |it: &Attempt| it.destination.to_string() == "internet/a.example";
        let at = attempts.iter().position(is_report).unwrap();
        let report = attempts.remove(at);
        assert_eq!(relayed(&relay, &report).await, usize::try_from(taken).unwrap());
        relay.end(report, answered(&[(0, Fate::Delivered)])).await;
        if let Some(attempt) = attempts.pop() {
            let rest: Vec<_> = (taken..RECIPIENTS).map(|at| (at, Fate::Delivered)).collect();
            relay.end(attempt, answered(&rest)).await;
            let report = relay.attempt().await;
            assert_eq!(relayed(&relay, &report).await, 30);
            relay.end(report, answered(&[(0, Fate::Delivered)])).await;
        }
        relay.until_empty().await;
        relay.no_attempt().await;
        relay.stop().await;
    }
}
