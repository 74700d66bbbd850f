//! The device fails: at each write in turn, and for want of space.

use mail::Timestamp;
use spool::{FullCause, Health, RecipientState, Report, SettleError, Settlement};

use crate::support::{
    Bench, content, delivered, envelope, finish, left, note, read, store, store_for, waiting,
};

/// Whichever write fails, before or after it is done: the sender hears 250 and the message is there,
/// or it hears an error and it is not. Never both, never neither; and the spool goes on.
#[tokio::test]
async fn each_failing_write_is_all_or_nothing() {
    for octets in [3000, 300_000] {
        let (mut n, mut errors) = (1, 0);
        loop {
            let mut bench = Bench::new();
            let spool = bench.open();
            let before = store(&spool, &content(100, 1)).await.unwrap().id;
            bench.faults.fail_nth(n);
            let result = store(&spool, &content(octets, 2)).await;
            if !bench.faults.has_failed() {
                let _accepted = result.unwrap();
                break;
            }
            errors += u32::from(result.is_err());
            let after = store(&spool, &content(octets, 3)).await.unwrap().id;
            let want: Vec<_> = [Some(before), result.ok().map(|it| it.id), Some(after)]
                .into_iter()
                .flatten()
                .collect();
            assert_eq!(spool.counts().messages, want.len() as u64);
            drop(spool);
            let (spool, recovered, recovery) = bench.reopen();
            let found: Vec<_> = recovered.iter().map(|it| it.id).collect();
            assert_eq!(found, want, "fault {n}, {octets} octets");
            assert_eq!(recovery.corrupt, 0);
            assert_eq!(read(&spool, after).await, content(octets, 3));
            n += 1;
        }
        // A failed write of the database is repeated; one of a segment file is not.
        assert_eq!((n > 2, errors > 0), (true, octets > 16_384), "{n} faults, {errors} errors");
    }
}

/// As above, and the database cannot be opened again at once: what became of the write is only seen
/// later, and a message that was refused is then taken back.
#[tokio::test]
async fn a_write_in_doubt_is_taken_back() {
    for n in 1..=2 {
        let mut bench = Bench::new();
        let spool = bench.open();
        bench.faults.fail_nth_and_fill(n);
        let error = store(&spool, &content(3000, 2)).await.unwrap_err();
        assert!(matches!(error.reply().code(), 451 | 452));
        assert!(matches!(spool.health(), Health::Refusing { .. }));
        assert!(spool.reserve(None).is_err());
        bench.faults.empty();
        spool.tick().await;
        assert_eq!(spool.health(), Health::Ready, "fault {n}");
        assert_eq!((spool.counts().messages, spool.counts().octets), (0, 0));
        let id = store(&spool, &content(3000, 3)).await.unwrap().id;
        drop(spool);
        let (_, recovered, _) = bench.reopen();
        assert_eq!(recovered.iter().map(|it| it.id).collect::<Vec<_>>(), [id], "fault {n}");
    }
}

/// A full device: mail is refused with 452, settlements are kept, held mail can be read, and all goes
/// on by itself when there is space.
#[tokio::test]
async fn a_full_device_loses_nothing_and_recovers() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let done = store(&spool, &content(3000, 1)).await.unwrap().id;
    let tried = store_for(&spool, &content(3000, 2), 2).await.unwrap().id;
    bench.faults.fill();
    for octets in [100, 300_000] {
        let error = store(&spool, &content(octets, 3)).await.unwrap_err();
        assert_eq!(error.reply().code(), 452, "{error}");
    }
    let refused = spool.reserve(None).unwrap_err();
    assert_eq!(refused.cause, FullCause::Device);
    assert!(matches!(spool.health(), Health::Refusing { .. }));
    assert_eq!(read(&spool, done).await, content(3000, 1));
    spool.settle(finish(done)).await.unwrap();
    spool.settle(note(tried, vec![(1, waiting(1))])).await.unwrap();
    assert_eq!(spool.counts().unsaved_settlements, 2);
    spool.tick().await;
    assert!(matches!(spool.health(), Health::Refusing { .. }), "still full");
    bench.faults.empty();
    spool.tick().await;
    assert_eq!(spool.health(), Health::Ready);
    assert_eq!(spool.counts().unsaved_settlements, 0);
    assert_eq!((spool.counts().messages, spool.counts().octets), (1, 3000));
    let new = store(&spool, &content(300_000, 4)).await.unwrap().id;
    drop(spool);
    let (_, recovered, recovery) = bench.reopen();
    assert_eq!(recovered.iter().map(|it| it.id).collect::<Vec<_>>(), [tried, new]);
    let fresh = RecipientState::fresh(recovered[0].received_at);
    assert_eq!(recovered[0].waiting, left(&[fresh, waiting(1)]));
    assert_eq!(recovery.corrupt, 0);
}

#[tokio::test]
async fn settlements_kept_in_memory_are_bounded() {
    let mut bench = Bench::new();
    bench.config.unsaved_settlements_max = 3;
    let spool = bench.open();
    let id = store(&spool, &content(100, 1)).await.unwrap().id;
    bench.faults.fill();
    for _ in 0..3 {
        spool.settle(note(id, vec![(0, waiting(1))])).await.unwrap();
    }
    let refused = spool.settle(note(id, vec![(0, waiting(2))])).await;
    assert!(matches!(refused, Err(SettleError::Engine(_))));
    bench.faults.empty();
    spool.tick().await;
    spool.settle(note(id, vec![(0, waiting(2))])).await.unwrap();
    assert_eq!(spool.load(id).await.unwrap().recipients, [waiting(2)]);
}

/// A report whose write is in doubt is neither lost nor doubled when the queue asks again.
#[tokio::test]
async fn a_report_in_doubt_is_stored_once() {
    for n in 1..=2 {
        let mut bench = Bench::new();
        let spool = bench.open();
        let id = store(&spool, &content(100, 1)).await.unwrap().id;
        let settlement = |seed| Settlement {
            id,
            recipients: vec![(0, delivered())],
            is_finished: true,
            report: Some(Report {
                envelope: envelope(1),
                content: content(400, seed).into(),
                received_at: Timestamp::from_millis(9),
            }),
            tally: None,
        };
        bench.faults.fail_nth_and_fill(n);
        let error = spool.settle(settlement(7)).await.unwrap_err();
        assert!(matches!(error, SettleError::Report(_)));
        bench.faults.empty();
        spool.tick().await;
        assert_eq!(spool.health(), Health::Ready);
        let report = spool.settle(settlement(8)).await.unwrap().unwrap();
        // Written before its answer was lost, it is the first one.
        assert_eq!(read(&spool, report.id).await, content(400, if n == 2 { 7 } else { 8 }));
        assert_eq!((spool.counts().messages, spool.counts().octets), (1, 400), "fault {n}");
        drop(spool);
        let (_, recovered, _) = bench.reopen();
        assert_eq!(recovered.iter().map(|it| it.id).collect::<Vec<_>>(), [report.id]);
    }
}

/// A segment whose sync failed is not used again.
#[tokio::test]
async fn a_failed_sync_condemns_the_segment() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let _accepted = store(&spool, &content(100_000, 1)).await.unwrap();
    assert_eq!(bench.segments().len(), 1);
    // Write, answer, sync: the sync fails.
    bench.faults.fail_nth(3);
    let error = store(&spool, &content(100_000, 2)).await.unwrap_err();
    assert_eq!(error.reply().code(), 451);
    let id = store(&spool, &content(100_000, 3)).await.unwrap().id;
    assert_eq!(bench.segments().len(), 2);
    assert_eq!(read(&spool, id).await, content(100_000, 3));
}

/// What was noted of a message and its end, both kept while the device was full, leave nothing behind.
#[tokio::test]
async fn a_note_and_an_end_in_one_write_leave_nothing() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let id = store_for(&spool, &content(100, 1), 2).await.unwrap().id;
    bench.faults.fill();
    store(&spool, &content(100, 2)).await.unwrap_err();
    spool.settle(note(id, vec![(1, waiting(1))])).await.unwrap();
    spool.settle(finish(id)).await.unwrap();
    bench.faults.empty();
    spool.tick().await;
    assert_eq!(spool.health(), Health::Ready);
    assert_eq!(spool.counts().messages, 0);
    drop(spool);
    let db = crate::support::database(&bench);
    for family in ["envelope", "body", "progress"] {
        let handle = db.cf_handle(family).unwrap();
        assert_eq!(db.iterator_cf(&handle, rocksdb::IteratorMode::Start).count(), 0, "{family}");
    }
}

/// A fault in the thread that writes is told to who waits for it, so that the process can start again; no mail is
/// taken meanwhile.
#[tokio::test]
async fn the_end_of_the_writing_thread_is_told() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let kept = store(&spool, &content(100, 1)).await.unwrap().id;
    bench.faults.panic_next();
    store(&spool, &content(100, 2)).await.unwrap_err();
    let told = tokio::time::timeout(std::time::Duration::from_secs(20), spool.broken()).await;
    told.expect("the end is told");
    assert!(matches!(spool.health(), Health::Refusing { .. }));
    assert!(spool.reserve(None).is_err());
    drop(spool);
    let (_, recovered, _) = bench.reopen();
    assert_eq!(recovered.iter().map(|it| it.id).collect::<Vec<_>>(), [kept]);
}
