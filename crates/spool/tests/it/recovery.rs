//! What the next start finds.

use std::ops::ControlFlow;
use std::path::Path;

use mail::{Fate, Peer, Timestamp};
use spool::{Owed, RecipientState, RecoverError, Recovered, Report, Settlement, Tally};

use crate::support::{
    Bench, Found, NOW, content, database, delivered, envelope, files, finish, left, note, read,
    scan, store, store_for, waiting,
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
    assert_eq!(recovered[0].waiting, left(&want));
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
    let recovery = scan(&spool, |it| found.push(it.id));
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
            content: content(octets, n).into(),
            received_at: Timestamp::from_millis(NOW + 7),
        };
        let settlement = Settlement {
            id,
            recipients: vec![(0, delivered())],
            is_finished: true,
            report: Some(report),
            tally: None,
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

/// What the sender is still to be told is known after a crash, also of a message of which nobody waits.
#[tokio::test]
async fn what_is_owed_is_found_again() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let peer = Peer {
        host: "mx.there.example".into(),
        address: "192.0.2.1:25".parse().unwrap(),
        tls: None,
        offers_dsn: false,
        is_final: false,
        offers_deliver_by: false,
    };
    let owed = RecipientState::Settled {
        fate: Fate::Delivered,
        at: Timestamp::from_millis(NOW + 5),
        reply: "250 2.0.0 ok".into(),
        owed: Some(Box::new(Owed { tries: 1, peer: Some(peer) })),
    };
    let id = store(&spool, &content(100, 1)).await.unwrap().id;
    let told = store(&spool, &content(100, 2)).await.unwrap().id;
    spool.settle(note(id, vec![(0, owed.clone())])).await.unwrap();
    spool.settle(note(told, vec![(0, owed.clone())])).await.unwrap();
    spool.settle(note(told, vec![(0, delivered())])).await.unwrap();
    drop(spool);
    let spool = bench.open();
    let mut owing = Vec::new();
    let mut each = |it: Recovered<'_>| {
        owing.push((it.id, it.owes));
        ControlFlow::Continue(())
    };
    spool.recover(&mut each).unwrap();
    assert_eq!(owing, [(id, true), (told, false)]);
    assert_eq!(spool.load(id).await.unwrap().recipients[0], owed);
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
            ControlFlow::Continue(())
        })
    }));
    assert!(broken.is_err());
    let _recovery = scan(&spool, |it| found.extend([it.id]));
    assert_eq!(found.len(), 600);
    let counts = spool.counts();
    assert!(counts.messages <= 601 && counts.octets <= 601 * 50, "{counts:?}");
}

/// Over many pages each message gets what is written about it and nothing of its neighbours; a scan that
/// is wanted no more ends at once, and another one goes on behind it.
#[tokio::test]
async fn a_long_scan_tells_the_progress_of_each_and_can_be_stopped() {
    const MESSAGES: usize = 2600;
    let mut bench = Bench::new();
    let spool = bench.open();
    let one = content(50, 1);
    let store = |n: usize| {
        let (spool, one) = (spool.clone(), one.clone());
        tokio::spawn(async move { store_for(&spool, &one, 1 + n % 3).await.unwrap().id })
    };
    let stored: Vec<_> = (0..MESSAGES).map(store).collect();
    let fresh = RecipientState::fresh(Timestamp::from_millis(NOW));
    let mut want = Vec::new();
    for (n, accepted) in stored.into_iter().enumerate() {
        let (id, mut states) = (accepted.await.unwrap(), vec![fresh.clone(); 1 + n % 3]);
        let state = if n % 2 == 0 { waiting(u16::try_from(n).unwrap()) } else { delivered() };
        if n % 5 > 0 {
            let last = n % 3;
            states[last] = state.clone();
            let recipient = u32::try_from(last).unwrap();
            spool.settle(note(id, vec![(recipient, state)])).await.unwrap();
        }
        want.push((id, left(&states)));
    }
    want.sort();
    drop(spool);
    let spool = bench.open();
    let mut found = Vec::new();
    let stopped = spool.recover(&mut |it| {
        found.push(Found::from(it));
        if found.len() < 1500 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(matches!(stopped, Err(RecoverError::Stopped)));
    assert_eq!((found.len(), spool.counts().messages), (1500, 1500));
    scan(&spool, |it| found.push(Found::from(it)));
    let found: Vec<_> = found.into_iter().map(|it| (it.id, it.waiting)).collect();
    assert_eq!(found, want);
    assert_eq!(spool.counts().messages, MESSAGES as u64);
}

/// What is counted with settlements is there after a start; the largest count of a day stands, whatever the order.
#[tokio::test]
async fn counts_are_kept_with_settlements() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let count = |name: &str, day, count| Tally { name: name.into(), day, count };
    for (name, day, so_many) in [("a", 1, 9), ("a", 2, 1), ("a", 2, 3), ("a", 2, 2), ("b", 2, 7)] {
        let id = store(&spool, &content(100, 1)).await.unwrap().id;
        let tally = Some(Box::new(count(name, day, so_many)));
        spool.settle(Settlement { tally, ..finish(id) }).await.unwrap();
    }
    let want = [count("a", 2, 3), count("b", 2, 7)];
    assert_eq!(spool.tallies(), want);
    drop(spool);
    let (spool, found, _) = bench.reopen();
    assert_eq!((spool.tallies(), found.len()), (want.to_vec(), 0));
}

/// What is counted with a message is on the device with it, however the relay ends.
#[tokio::test]
async fn counts_are_kept_with_messages() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let count = |name: &str, count| Tally { name: name.into(), day: 2, count };
    let put = async |tallies: Vec<Tally>| {
        let writer = spool.writer(spool.reserve(None).unwrap()).counting(tallies);
        drop(writer.commit(envelope(1), Timestamp::from_millis(1)).await.unwrap());
    };
    put(vec![count("in/messages", 2), count("in/recipients", 9)]).await;
    // Two commits may be written in another order than they were counted in.
    put(vec![count("in/messages", 1)]).await;
    put(Vec::new()).await;
    let want = [count("in/messages", 2), count("in/recipients", 9)];
    drop(spool);
    let (spool, found, _) = bench.reopen();
    assert_eq!((spool.tallies(), found.len()), (want.to_vec(), 3));
}
