//! Limits, deadlines, closing.

use spool::{CommitError, FullCause, Health, OpenError, Spool, WriteError};
use telemetry::Registry;
use units::{ByteSize, Span};

use crate::support::{Bench, content, envelope, finish, store};

#[tokio::test]
async fn a_full_spool_says_which_limit_and_takes_mail_again() {
    let mut bench = Bench::new();
    bench.config.messages_max = 2;
    bench.config.octets_max = ByteSize::octets(1000);
    let spool = bench.open();
    let one = store(&spool, &content(600, 1)).await.unwrap().id;
    let full = spool.reserve(Some(500)).unwrap_err();
    assert_eq!(full.cause, FullCause::Octets { max: 1000 });
    assert!(full.reply().to_string().starts_with("452 4.3.1 "), "{}", full.reply());
    // Undeclared, it is noticed when it comes, and leaves nothing.
    let mut writer = spool.writer(spool.reserve(None).unwrap());
    writer.write(content(400, 2)).await.unwrap();
    let error = writer.write(content(1, 2)).await.unwrap_err();
    assert!(matches!(error, WriteError::Full(_)));
    let error = writer.commit(envelope(1), mail::Timestamp::from_millis(1)).await.unwrap_err();
    assert_eq!(error.reply().code(), 452);
    let _accepted = store(&spool, &content(100, 3)).await.unwrap();
    assert_eq!(spool.reserve(None).unwrap_err().cause, FullCause::Messages { max: 2 });
    spool.settle(finish(one)).await.unwrap();
    let _accepted = store(&spool, &content(600, 4)).await.unwrap();
}

#[tokio::test]
async fn a_device_short_of_space_takes_no_mail() {
    let mut bench = Bench::new();
    bench.config.free_octets_min = ByteSize::octets(u64::MAX);
    let spool = bench.open();
    assert_eq!(spool.reserve(None).unwrap_err().cause, FullCause::Device);
    assert_eq!(spool.health(), Health::Ready, "what is held still goes out");
}

/// A device that hangs is answered for in time, and what it writes later is not kept.
#[tokio::test]
async fn a_late_commit_is_an_error_and_not_stored() {
    let mut bench = Bench::new();
    bench.config.commit_wait_max = Span::millis(30);
    let spool = bench.open();
    bench.faults.hold();
    let error = store(&spool, &content(700, 1)).await.unwrap_err();
    assert!(matches!(error, CommitError::TimedOut));
    assert_eq!(error.reply().code(), 451);
    let error = store(&spool, &content(70_000, 2)).await.unwrap_err();
    assert!(matches!(error, CommitError::TimedOut));
    bench.faults.release();
    // Once the writes are done the messages are found unclaimed, and go.
    spool.tick().await;
    spool.tick().await;
    assert_eq!((spool.counts().messages, spool.counts().octets), (0, 0));
    drop(spool);
    let (_, recovered, _) = bench.reopen();
    assert!(recovered.is_empty());
}

/// A connection that goes while its message is being written did not hear 250.
#[tokio::test]
async fn a_commit_nobody_waits_for_is_not_kept() {
    let mut bench = Bench::new();
    let spool = bench.open();
    bench.faults.hold();
    let task = {
        let spool = spool.clone();
        tokio::spawn(async move { store(&spool, &content(700, 1)).await })
    };
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    bench.faults.release();
    spool.tick().await;
    spool.tick().await;
    assert_eq!(spool.counts().messages, 0);
    drop(spool);
    assert!(bench.reopen().1.is_empty());
}

#[tokio::test]
async fn a_closed_spool_refuses_and_lets_go_of_its_folder() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let id = store(&spool, &content(700, 1)).await.unwrap().id;
    let registry = Registry::new();
    let second = Spool::open(&bench.config, bench.clock.clone(), 1, &registry);
    assert!(matches!(second, Err(OpenError::InUse(_))));
    let other = spool.clone();
    spool.close().await;
    assert_eq!(other.reserve(None).unwrap_err().cause, FullCause::Closing);
    assert!(matches!(other.health(), Health::Refusing { .. }));
    assert!(other.settle(finish(id)).await.is_err());
    drop(other);
    assert_eq!(bench.reopen().1.len(), 1);
}

#[test]
fn the_settings_are_documented_and_print_as_they_are_read() {
    let schema = schemars::schema_for!(spool::Config);
    let properties = schema.get("properties").unwrap().as_object().unwrap();
    for (name, property) in properties {
        assert!(property.get("description").is_some(), "{name} has no sentence");
    }
}
