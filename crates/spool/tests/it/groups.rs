//! Many messages share one sync.

use crate::support::{Bench, content, finish, store};

/// While one write is held, all others gather and share the next: two syncs for 51 messages.
#[tokio::test]
async fn concurrent_commits_share_syncs() {
    let mut bench = Bench::new();
    let spool = bench.open();
    bench.faults.hold();
    let tasks: Vec<_> = (0..51)
        .map(|n| {
            let spool = spool.clone();
            tokio::spawn(async move { store(&spool, &content(500, n)).await })
        })
        .collect();
    // On this one thread each task runs until it waits for its answer.
    tokio::task::yield_now().await;
    bench.faults.release();
    for task in tasks {
        let _accepted = task.await.unwrap().unwrap();
    }
    let syncs = bench.metric("spool_sync_seconds_count");
    assert!((1.0..=2.0).contains(&syncs), "{syncs} syncs");
    assert!((bench.metric("spool_group_messages_sum") - 51.0).abs() < 0.1);
    assert!((bench.metric("spool_commit_seconds_count") - 51.0).abs() < 0.1);
}

/// An idle spool answers one message at once: nothing waits for company.
#[tokio::test]
async fn one_message_is_one_sync() {
    let mut bench = Bench::new();
    let spool = bench.open();
    for n in 0..5 {
        let _accepted = store(&spool, &content(500, n)).await.unwrap();
    }
    assert!((bench.metric("spool_sync_seconds_count") - 5.0).abs() < 0.1);
}

/// The end of a message costs no sync of its own.
#[tokio::test]
async fn settlements_need_no_sync() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(store(&spool, &content(500, n)).await.unwrap().id);
    }
    for id in ids {
        spool.settle(finish(id)).await.unwrap();
    }
    assert!((bench.metric("spool_sync_seconds_count") - 5.0).abs() < 0.1);
    assert!((bench.metric("spool_finished_total") - 5.0).abs() < 0.1);
}
