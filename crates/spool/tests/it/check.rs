//! The offline check finds what is wrong, and says so in words.

use std::os::unix::fs::FileExt;

use spool::check::{CheckError, Findings, Severity};

use crate::support::{Bench, content, database, delivered, finish, note, store, store_for};

fn run(bench: &Bench) -> Findings {
    let mut steps = Vec::new();
    let findings = spool::check::run(&bench.config.path, &mut |progress| {
        assert!(progress.done <= progress.total);
        steps.push(progress.step);
    });
    for step in ["aside", "messages", "content", "progress"] {
        assert!(steps.contains(&step), "{step} is told");
    }
    findings.unwrap()
}

fn has(findings: &Findings, severity: Severity, words: &str) -> bool {
    findings.findings.iter().any(|it| it.severity == severity && it.words.contains(words))
}

#[tokio::test]
async fn a_sound_spool_has_no_faults() {
    let mut bench = Bench::new();
    let spool = bench.open();
    assert!(matches!(spool::check::run(&bench.config.path, &mut |_| ()), Err(CheckError::Open(_))));
    for n in 0..20 {
        let id = store_for(&spool, &content(usize::try_from(n).unwrap() * 30_000, n), 2)
            .await
            .unwrap()
            .id;
        spool.settle(note(id, vec![(1, delivered())])).await.unwrap();
        if n % 3 == 0 {
            spool.settle(finish(id)).await.unwrap();
        }
    }
    drop(spool);
    let findings = run(&bench);
    assert_eq!((findings.messages, findings.faults), (13, 0), "{findings:?}");
    assert_eq!(findings.octets, (0..20).filter(|n| n % 3 != 0).map(|n| n * 30_000).sum::<u64>());
    assert!(findings.segments > 0);
    // Looking changed nothing.
    assert_eq!(run(&bench), findings);
    assert_eq!(bench.reopen().1.len(), 13);
}

#[tokio::test]
async fn each_kind_of_damage_is_named() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let mut ids = Vec::new();
    for octets in [100, 200, 300, 200_000, 300_000] {
        ids.push(store_for(&spool, &content(octets, 1), 2).await.unwrap().id);
    }
    spool.settle(note(ids[2], vec![(1, delivered())])).await.unwrap();
    drop(spool);
    {
        let db = database(&bench);
        let family = |name| db.cf_handle(name).unwrap();
        db.put_cf(&family("envelope"), ids[0].to_bytes(), b"rubbish").unwrap();
        db.delete_cf(&family("body"), ids[1].to_bytes()).unwrap();
        let key = [&ids[2].to_bytes()[..], &1_u32.to_be_bytes()].concat();
        db.put_cf(&family("progress"), &key, b"rubbish").unwrap();
        let key = [&ids[2].to_bytes()[..], &9_u32.to_be_bytes()].concat();
        db.put_cf(&family("progress"), &key, b"rubbish").unwrap();
        db.put_cf(&family("body"), [7; 16], b"left over").unwrap();
        db.put_cf(&family("progress"), [7; 20], b"left over").unwrap();
    }
    let file = std::fs::File::options().write(true).open(&bench.segments()[0]).unwrap();
    file.write_all_at(b"damage", 1000).unwrap();
    let findings = run(&bench);
    for words in [
        "the envelope: ",
        "the content is missing",
        "the progress of recipient 1: ",
        "progress of recipient 9, which it does not have",
        "extent 0 in segment 0 at 0: the checksum does not match",
    ] {
        assert!(has(&findings, Severity::Fault, words), "{words}\n{findings:?}");
    }
    for words in ["content without an envelope", "progress without an envelope"] {
        assert!(has(&findings, Severity::Note, words), "{words}\n{findings:?}");
    }
    // Sound are the third, whose content is, and the fifth.
    assert_eq!((findings.messages, findings.octets), (2, 300_300));
    // After the next start the damaged envelope is a thing of the past.
    let (spool, ..) = bench.reopen();
    spool.tick().await;
    drop(spool);
    let findings = run(&bench);
    assert!(findings.aside >= 1);
    assert!(
        has(&findings, Severity::Note, "a record was set aside at 2026-11-21T"),
        "{findings:?}"
    );
}

#[tokio::test]
async fn what_a_crash_left_over_is_a_note() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let _accepted = store(&spool, &content(100_000, 1)).await.unwrap();
    let mut writer = spool.writer(spool.reserve(None).unwrap());
    writer.write(content(600_000, 2)).await.unwrap();
    drop(writer);
    drop(spool);
    let findings = run(&bench);
    assert_eq!((findings.messages, findings.faults), (1, 0));
    assert!(has(&findings, Severity::Note, "of no message"), "{findings:?}");
}
