//! One bad record never stops the rest.

use std::os::unix::fs::FileExt;

use spool::{LoadError, ReadError, RecipientState};

use crate::support::{
    Bench, content, database, delivered, files, left, note, read, scan, store, store_for, waiting,
};

/// Damages the value under `key` in `family`.
fn damage(bench: &Bench, family: &str, key: &[u8]) {
    let db = database(bench);
    let handle = db.cf_handle(family).unwrap();
    let mut value = db.get_cf(&handle, key).unwrap().expect("there is such a record");
    let middle = value.len() / 2;
    value[middle] ^= 1;
    db.put_cf(&handle, key, value).unwrap();
}

fn is_aside(bench: &Bench, key: &[u8]) -> bool {
    let db = database(bench);
    let handle = db.cf_handle("aside").unwrap();
    db.get_cf(&handle, key).unwrap().is_some()
}

#[tokio::test]
async fn a_corrupt_envelope_is_set_aside() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(store(&spool, &content(100_000, n)).await.unwrap().id);
    }
    drop(spool);
    let bad = ids.remove(2);
    damage(&bench, "envelope", &bad.to_bytes());
    for (round, corrupt) in [(0, 1), (1, 0)] {
        let (spool, recovered, recovery) = bench.reopen();
        assert_eq!(recovered.iter().map(|it| it.id).collect::<Vec<_>>(), ids, "round {round}");
        assert_eq!(recovery.corrupt, corrupt);
        assert_eq!(spool.counts().corrupt, corrupt);
        let counted = bench.metric("spool_corrupt_total{record=\"envelope\"}");
        assert!((counted - if round == 0 { 1.0 } else { 0.0 }).abs() < 0.1);
        for (n, id) in [0, 1, 3, 4].into_iter().zip(&ids) {
            assert_eq!(read(&spool, *id).await, content(100_000, n));
        }
        assert!(matches!(
            spool.load(bad).await,
            Err(LoadError::Missing(_) | LoadError::Corrupt(_))
        ));
        spool.tick().await;
    }
    assert!(is_aside(&bench, &[b"e", &bad.to_bytes()[..]].concat()));
    // Its content stays for a person to rescue.
    let (mut found, content) = (false, content(100_000, 2));
    for segment in bench.segments() {
        let octets = std::fs::read(segment).unwrap();
        found |= octets.windows(64).any(|it| it == &content[..64]);
    }
    assert!(found);
}

/// Found only when it is loaded.
#[tokio::test]
async fn a_corrupt_body_is_set_aside_when_it_is_wanted() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let bad = store(&spool, &content(500, 1)).await.unwrap().id;
    let good = store(&spool, &content(500, 2)).await.unwrap().id;
    drop(spool);
    damage(&bench, "body", &bad.to_bytes());
    let (spool, recovered, _) = bench.reopen();
    assert_eq!(recovered.len(), 2);
    assert!(matches!(spool.load(bad).await, Err(LoadError::Corrupt(id)) if id == bad));
    spool.tick().await;
    assert!(matches!(spool.load(bad).await, Err(LoadError::Missing(_))));
    assert_eq!(read(&spool, good).await, content(500, 2));
    assert_eq!((spool.counts().messages, spool.counts().octets), (1, 500));
    drop(spool);
    assert_eq!(bench.reopen().1.len(), 1);
    assert!(is_aside(&bench, &[b"b", &bad.to_bytes()[..]].concat()));
    assert!(is_aside(&bench, &[b"e", &bad.to_bytes()[..]].concat()));
}

/// A recipient of whom nothing can be read is tried again rather than never.
#[tokio::test]
async fn a_corrupt_progress_counts_as_not_written() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let id = store_for(&spool, &content(500, 1), 3).await.unwrap().id;
    spool
        .settle(note(id, vec![(0, delivered()), (1, delivered()), (2, waiting(3))]))
        .await
        .unwrap();
    drop(spool);
    let key = [&id.to_bytes()[..], &1_u32.to_be_bytes()].concat();
    damage(&bench, "progress", &key);
    let (spool, recovered, recovery) = bench.reopen();
    assert_eq!(recovery.corrupt, 1);
    let fresh = RecipientState::fresh(recovered[0].received_at);
    let want = [delivered(), fresh, waiting(3)];
    assert_eq!(recovered[0].waiting, left(&want));
    assert_eq!(spool.load(id).await.unwrap().recipients, want);
    spool.tick().await;
    drop(spool);
    assert!(is_aside(&bench, &[b"p", &key[..]].concat()));
    assert_eq!(bench.reopen().2.corrupt, 0);
}

#[tokio::test]
async fn a_flipped_bit_in_a_segment_is_noticed() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let bad = store(&spool, &content(400_000, 1)).await.unwrap().id;
    let good = store(&spool, &content(400_000, 2)).await.unwrap().id;
    let file = std::fs::File::options().read(true).write(true).open(&bench.segments()[0]).unwrap();
    let mut octet = [0];
    file.read_exact_at(&mut octet, 300_000).unwrap();
    file.write_all_at(&[octet[0] ^ 4], 300_000).unwrap();
    let mut reading = spool.load(bad).await.unwrap().content();
    assert_eq!(reading.next().await.unwrap().unwrap().len(), 262_144, "the first extent is sound");
    assert!(matches!(reading.next().await, Err(ReadError::Corrupt(id)) if id == bad));
    spool.tick().await;
    assert!(matches!(spool.load(bad).await, Err(LoadError::Missing(_))));
    assert_eq!(read(&spool, good).await, content(400_000, 2));
    assert_eq!((spool.counts().messages, spool.counts().octets), (1, 400_000));
    assert!((bench.metric("spool_corrupt_total{record=\"body\"}") - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_lost_segment_file_loses_only_its_messages() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(store(&spool, &content(700_000, n)).await.unwrap().id);
    }
    drop(spool);
    std::fs::remove_file(&bench.segments()[1]).unwrap();
    let (spool, recovered, _) = bench.reopen();
    assert_eq!(recovered.len(), 4);
    let mut sound = 0;
    for id in ids {
        let mut content = spool.load(id).await.unwrap().content();
        sound += loop {
            match content.next().await {
                Ok(Some(_)) => {}
                Ok(None) => break 1,
                Err(ReadError::Corrupt(_)) => break 0,
                Err(error) => panic!("{error}"),
            }
        };
    }
    assert!((1..4).contains(&sound), "{sound} of 4 are sound");
}

/// Damage in a table of the database itself, at many places: the database names blocks, the spool
/// still gives every message whose own record is whole.
#[tokio::test]
async fn damage_in_a_table_costs_few_messages() {
    const MESSAGES: u64 = 400;
    let mut bench = Bench::new();
    let spool = bench.open();
    for n in 0..MESSAGES {
        let _accepted = store(&spool, &content(100, n)).await.unwrap();
    }
    drop(spool);
    // Opened again, what the log held is in tables.
    drop(bench.open());
    let tables = files(&bench.database(), "sst");
    let envelopes = tables
        .iter()
        .find(|table| {
            let octets = std::fs::read(table).unwrap();
            octets.windows(9).any(|it| it == b"r0@there.")
        })
        .expect("a table holds the envelopes");
    let octets = std::fs::read(envelopes).unwrap();
    let records: Vec<_> =
        (0..octets.len() - 9).filter(|at| &octets[*at..at + 9] == b"r0@there.").collect();
    // In values, in keys, and in what the database has between them.
    for at in [records[0], records[80] - 60, records[160] + 90] {
        let mut bad = octets.clone();
        bad[at] ^= 0x10;
        std::fs::write(envelopes, &bad).unwrap();
        let path = bench.config.path.clone();
        let spool = bench.open();
        let mut found = 0;
        let recovery = scan(&spool, |_| found += 1);
        assert!(found + 1 >= MESSAGES - 40, "{found} of {MESSAGES}, damage at {at}");
        assert!(recovery.corrupt >= 1, "the damage at {at} is told");
        // And the spool goes on taking mail.
        let id = store(&spool, &content(100, 7)).await.unwrap().id;
        assert_eq!(read(&spool, id).await, content(100, 7));
        spool.settle(crate::support::finish(id)).await.unwrap();
        drop(spool);
        assert_eq!(path, bench.config.path);
        if !envelopes.exists() {
            // Compacted away meanwhile: the damage is no more where it was.
            break;
        }
    }
}

/// The greatest key says how far the scan at start goes: damage there must not hide all that stands before it,
/// nor give their content away.
#[tokio::test]
async fn damage_at_the_end_of_a_table_does_not_hide_the_rest() {
    const SMALL: u64 = 200;
    let mut bench = Bench::new();
    let spool = bench.open();
    let large = store(&spool, &content(200_000, 1)).await.unwrap().id;
    for n in 0..SMALL {
        let _accepted = store(&spool, &content(100, n)).await.unwrap();
    }
    drop(spool);
    drop(bench.open());
    let place = |octets: &[u8]| octets.windows(9).rposition(|it| it == b"r0@there.");
    let tables = files(&bench.database(), "sst");
    let is_envelopes =
        |table: &&std::path::PathBuf| place(&std::fs::read(table).unwrap()).is_some();
    let table = tables.iter().find(is_envelopes).expect("a table holds the envelopes");
    let mut octets = std::fs::read(table).unwrap();
    let last = place(&octets).unwrap();
    octets[last] ^= 0x10;
    std::fs::write(table, &octets).unwrap();
    let (spool, recovered, recovery) = bench.reopen();
    assert!(recovered.len() as u64 >= SMALL, "{} of {}", recovered.len(), SMALL + 1);
    assert!(recovery.corrupt >= 1);
    spool.tick().await;
    assert_eq!(read(&spool, large).await, content(200_000, 1));
    let new = store(&spool, &content(100, 7)).await.unwrap().id;
    assert!(recovered.iter().all(|it| it.id < new));
}
