//! What the next start finds.

use std::path::Path;

use mail::Timestamp;
use spool::{RecipientState, Report, Settlement};

use crate::support::{
    Bench, NOW, content, database, delivered, envelope, files, finish, note, read, store,
    store_for, waiting,
};

#[tokio::test]
async fn states_survive() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let id = store_for(&spool, &content(100, 1), 4).await.unwrap().id;
    let fresh = RecipientState::fresh(Timestamp::from_millis(NOW));
    assert_eq!(spool.load(id).await.unwrap().recipients, vec![fresh.clone(); 4]);
    spool.settle(note(id, vec![(1, delivered()), (2, waiting(1))])).await.unwrap();
    spool.settle(note(id, vec![(2, waiting(2))])).await.unwrap();
    let want = vec![fresh.clone(), delivered(), waiting(2), fresh];
    assert_eq!(spool.load(id).await.unwrap().recipients, want);
    drop(spool);
    let (spool, recovered, _) = bench.reopen();
    assert_eq!(recovered[0].recipients, want);
    assert_eq!(spool.load(id).await.unwrap().recipients, want);
    spool.settle(finish(id)).await.unwrap();
    // Settling what is gone does nothing.
    spool.settle(finish(id)).await.unwrap();
    spool.settle(note(id, vec![(0, waiting(9))])).await.unwrap();
    assert_eq!((spool.counts().messages, spool.counts().octets), (0, 0));
    drop(spool);
    let (_, recovered, _) = bench.reopen();
    assert!(recovered.is_empty());
    // Nothing at all is left of it.
    let db = database(&bench);
    for family in ["envelope", "body", "progress", "aside"] {
        let handle = db.cf_handle(family).unwrap();
        assert_eq!(db.iterator_cf(&handle, rocksdb::IteratorMode::Start).count(), 0, "{family}");
    }
}

/// The scan hands over what was there before, and mail accepted meanwhile is not doubled.
#[tokio::test]
async fn mail_comes_in_while_the_scan_runs() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let mut old = Vec::new();
    for n in 0..600 {
        old.push(store(&spool, &content(50, n)).await.unwrap().id);
    }
    drop(spool);
    let spool = bench.open();
    let new = store(&spool, &content(50, 9)).await.unwrap().id;
    let mut found = Vec::new();
    let recovery = spool.recover(&mut |it| found.push(it.id)).unwrap();
    assert_eq!(recovery.messages, 600);
    old.sort();
    assert_eq!(found, old);
    assert!(new > old[599]);
    assert_eq!(spool.counts().messages, 601);
}

#[tokio::test]
async fn a_report_and_the_end_of_its_message_are_one() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let id = store(&spool, &content(100, 1)).await.unwrap().id;
    for (n, octets) in [(2, 300), (3, 100_000)] {
        let report = Report {
            envelope: envelope(1),
            content: content(octets, n),
            received_at: Timestamp::from_millis(NOW + 7),
        };
        let settlement = Settlement {
            id,
            recipients: vec![(0, delivered())],
            is_finished: true,
            report: Some(report),
        };
        let accepted = spool.settle(settlement).await.unwrap().unwrap();
        assert_eq!(accepted.octets, octets as u64);
        assert_eq!(read(&spool, accepted.id).await, content(octets, n));
    }
    assert_eq!(spool.counts().messages, 2);
    drop(spool);
    let (spool, recovered, _) = bench.reopen();
    assert_eq!(recovered.len(), 2);
    assert!(recovered.iter().all(|it| it.id != id));
    assert_eq!(recovered[0].received_at, Timestamp::from_millis(NOW + 7));
    assert_eq!((spool.counts().messages, spool.counts().octets), (2, 100_300));
}

/// A copy of the open spool is what a crash leaves; a torn end of its log loses the end only.
#[tokio::test]
async fn a_torn_log_loses_only_its_end() {
    let mut bench = Bench::new();
    let spool = bench.open();
    for n in 0..20 {
        let _accepted = store(&spool, &content(1000, n)).await.unwrap();
    }
    let crashed = bench.folder.path().join("crashed");
    copy(&bench.config.path, &crashed);
    drop(spool);
    let logs = files(&crashed.join("database"), "log");
    let log = logs.iter().max_by_key(|log| written(log)).unwrap();
    let end = written(log);
    assert!(end > 20_000, "the log holds the messages");
    let whole = log.metadata().unwrap().len();
    for (n, cut, least) in [(0, whole, 20), (1, end - 30, 19), (2, end - 5000, 14)] {
        bench.config.path = bench.folder.path().join(format!("cut-{n}"));
        copy(&crashed, &bench.config.path);
        let log = bench.database().join(log.file_name().unwrap());
        std::fs::File::options().write(true).open(log).unwrap().set_len(cut).unwrap();
        let (spool, recovered, recovery) = bench.reopen();
        assert!((least..=20).contains(&recovered.len()), "{} of 20 after cut {n}", recovered.len());
        assert!(n == 0 || recovered.len() < 20, "cut {n} cuts");
        assert_eq!(recovery.corrupt, 0);
        for (n, recovered) in (0..).zip(&recovered) {
            assert_eq!(read(&spool, recovered.id).await, content(1000, n));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) =
            (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            std::fs::copy(entry, to).unwrap();
        }
    }
}

/// Octets of a log up to the last that is not zero: it may be longer than what is in it.
fn written(log: &Path) -> u64 {
    let octets = std::fs::read(log).unwrap();
    octets.iter().rposition(|octet| *octet != 0).map_or(0, |at| at as u64 + 1)
}

/// A scan that broke off and begins again goes on where it was: no message is counted twice.
#[tokio::test]
async fn a_scan_that_broke_off_goes_on() {
    let mut bench = Bench::new();
    let spool = bench.open();
    for n in 0..600 {
        let _accepted = store(&spool, &content(50, n)).await.unwrap();
    }
    drop(spool);
    let spool = bench.open();
    let mut found = std::collections::BTreeSet::new();
    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        spool.recover(&mut |it| {
            if found.len() == 300 {
                // As a fault would, but without its words.
                std::panic::resume_unwind(Box::new(()));
            }
            found.insert(it.id);
        })
    }));
    assert!(broken.is_err());
    let _recovery = spool.recover(&mut |it| found.extend([it.id])).unwrap();
    assert_eq!(found.len(), 600);
    let counts = spool.counts();
    assert!(counts.messages <= 601 && counts.octets <= 601 * 50, "{counts:?}");
}
