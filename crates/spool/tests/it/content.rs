//! Content comes back as it came, wherever it rests.

use bytes::Bytes;
use mail::Timestamp;
use spool::{BodyIo, BodyIoKind, LoadError};
use units::ByteSize;

use crate::support::{Bench, NOW, content, envelope, finish, left, read, store};

const SIZES: [usize; 10] =
    [0, 1, 16_383, 16_384, 16_385, 262_143, 262_144, 262_145, 700_000, 3_000_000];

async fn round_trip(body_io: BodyIo, kind: Option<BodyIoKind>) {
    let mut bench = Bench::new();
    bench.config.body_io = body_io;
    let spool = bench.open();
    if let Some(kind) = kind {
        assert_eq!(spool.body_io(), kind);
    }
    let mut stored = Vec::new();
    for octets in SIZES {
        let content = content(octets, octets as u64);
        let accepted = store(&spool, &content).await.unwrap();
        assert_eq!(read(&spool, accepted.id).await, content, "warm, {octets}");
        stored.push((accepted, content));
    }
    drop(spool);
    let (spool, recovered, recovery) = bench.reopen();
    assert_eq!((recovery.messages, recovery.corrupt), (SIZES.len() as u64, 0));
    for ((accepted, content), recovered) in stored.iter().zip(&recovered) {
        let stored = spool.load(accepted.id).await.unwrap();
        assert_eq!((&stored.envelope, &*stored.envelope), (&accepted.envelope, &envelope(1)));
        assert_eq!((recovered.id, &recovered.waiting), (accepted.id, &left(&stored.recipients)));
        assert_eq!(recovered.received_at, Timestamp::from_millis(NOW));
        assert_eq!(recovered.octets, content.len() as u64);
        assert_eq!(read(&spool, accepted.id).await, *content, "cold, {}", content.len());
    }
    let kind = spool.body_io();
    assert!((bench.metric(&format!("spool_body_io_info{{kind=\"{kind}\"}}")) - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn content_comes_back_through_threads() {
    round_trip(BodyIo::Threads, Some(BodyIoKind::Threads)).await;
}

#[tokio::test]
async fn content_comes_back_through_a_ring_where_there_is_one() {
    round_trip(BodyIo::Auto, None).await;
}

/// 50 MiB pass through a budget of 1 MiB: what is in flight is bounded, and nothing stalls.
#[tokio::test]
async fn a_large_message_takes_a_bounded_buffer() {
    let mut bench = Bench::new();
    bench.config.in_flight_octets_max = ByteSize::mib(1);
    bench.config.segment_octets = ByteSize::mib(16);
    bench.config.body_io = BodyIo::Auto;
    let spool = bench.open();
    let chunk = content(64 << 10, 1);
    let mut writer = spool.writer(spool.reserve(Some(50 << 20)).unwrap());
    for _ in 0..(50 << 20) / chunk.len() {
        writer.write(chunk.clone()).await.unwrap();
    }
    let accepted = writer.commit(envelope(1), Timestamp::from_millis(NOW)).await.unwrap();
    let mut content = spool.load(accepted.id).await.unwrap().content();
    let mut octets = 0;
    while let Some(read) = content.next().await.unwrap() {
        assert_eq!(read.first_chunk::<8>(), chunk.first_chunk::<8>());
        octets += read.len();
    }
    assert_eq!(octets, 50 << 20);
}

/// Many messages together have less memory than they need: each still gets through.
#[tokio::test]
async fn short_memory_slows_but_does_not_stop() {
    let mut bench = Bench::new();
    bench.config.in_flight_octets_max = ByteSize::kib(64);
    let spool = bench.open();
    let mut writers = Vec::new();
    for _ in 0..20 {
        writers.push(spool.writer(spool.reserve(None).unwrap()));
    }
    let pieces: Vec<Bytes> = (0..10).map(|n| content(10_000, n)).collect();
    for piece in &pieces {
        for writer in &mut writers {
            writer.write(piece.clone()).await.unwrap();
        }
    }
    let whole = pieces.concat();
    for writer in writers {
        let accepted = writer.commit(envelope(1), Timestamp::from_millis(NOW)).await.unwrap();
        assert_eq!(read(&spool, accepted.id).await, whole);
    }
}

#[tokio::test]
async fn what_goes_out_at_once_is_not_read_back() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let accepted = store(&spool, &content(5000, 1)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(read(&spool, accepted.id).await, content(5000, 1));
    }
    let of = |source: &str| format!("spool_load_total{{source=\"{source}\"}}");
    assert!((bench.metric(&of("memory")) - 3.0).abs() < 0.1);
    assert!(bench.metric(&of("device")).abs() < 0.1);
}

#[tokio::test]
async fn the_memory_for_fresh_messages_is_bounded() {
    let mut bench = Bench::new();
    bench.config.warm_octets_max = ByteSize::kib(512);
    let spool = bench.open();
    let mut ids = Vec::new();
    for n in 0..200 {
        ids.push(store(&spool, &content(8000, n)).await.unwrap().id);
    }
    assert!(bench.metric("spool_warm_bytes") <= 524_288.0);
    for (n, id) in (0..).zip(&ids) {
        assert_eq!(read(&spool, *id).await, content(8000, n));
    }
    assert!(bench.metric("spool_load_total{source=\"device\"}") > 50.0);
    for id in &ids {
        spool.settle(finish(*id)).await.unwrap();
    }
    assert!(bench.metric("spool_warm_bytes").abs() < 0.1);
}

#[tokio::test]
async fn a_message_that_is_not_there_is_missing() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let id = store(&spool, &content(10, 1)).await.unwrap().id;
    spool.settle(finish(id)).await.unwrap();
    assert!(matches!(spool.load(id).await, Err(LoadError::Missing(it)) if it == id));
}

/// What is finished gives its space back: segment files go, holes are punched.
#[tokio::test]
async fn space_comes_back() {
    use std::os::unix::fs::MetadataExt;
    let mut bench = Bench::new();
    let spool = bench.open();
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(store(&spool, &content(500_000, n)).await.unwrap().id);
    }
    let full = bench.segments().len();
    assert!(full >= 6, "{full} segments");
    let kept = ids.remove(0);
    for id in ids {
        spool.settle(finish(id)).await.unwrap();
    }
    // The first tick syncs and frees, the chores follow.
    spool.tick().await;
    let left = bench.segments();
    assert_eq!(left.len(), 2, "the one with a message and the active one");
    let blocks = left[0].metadata().unwrap().blocks() * 512;
    assert!(blocks < 700_000, "the rest of the segment is a hole, {blocks} octets are not");
    assert_eq!(read(&spool, kept).await, content(500_000, 0));
    assert_eq!(spool.counts().messages, 1);
    assert_eq!(spool.counts().octets, 500_000);
}

/// Abandoned content gives place and space back, in whatever state it is left.
#[tokio::test]
async fn an_abandoned_message_leaves_nothing() {
    let mut bench = Bench::new();
    let spool = bench.open();
    for octets in [0, 100, 50_000, 2_000_000] {
        let mut writer = spool.writer(spool.reserve(Some(10)).unwrap());
        writer.write(content(octets, 1)).await.unwrap();
        assert_eq!((spool.counts().messages, spool.counts().octets), (1, 10.max(octets as u64)));
        drop(writer);
        assert_eq!((spool.counts().messages, spool.counts().octets), (0, 0));
    }
    spool.tick().await;
    assert!(bench.segments().len() <= 1);
    drop(spool);
    let (spool, recovered, recovery) = bench.reopen();
    assert_eq!((recovered.len(), recovery.corrupt), (0, 0));
    spool.tick().await;
    assert_eq!(bench.segments().len(), 0);
}

/// What next hops said is held with a fresh message, and counts.
#[tokio::test]
async fn the_words_of_next_hops_count_as_memory() {
    let mut bench = Bench::new();
    bench.config.warm_octets_max = ByteSize::kib(512);
    let spool = bench.open();
    let words: Box<str> = "x".repeat(4000).into();
    let mut ids = Vec::new();
    for n in 0..200 {
        let id = store(&spool, &content(100, n)).await.unwrap().id;
        let next_try_at = Timestamp::from_millis(NOW);
        let last = Some(words.clone());
        let state = spool::RecipientState::Waiting { tries: 1, next_try_at, last, is_told: false };
        spool.settle(crate::support::note(id, vec![(0, state)])).await.unwrap();
        ids.push(id);
    }
    for id in &ids {
        let _stored = spool.load(*id).await.unwrap();
    }
    let from_device = bench.metric("spool_load_total{source=\"device\"}");
    assert!(from_device >= 60.0, "at most 131 fit, yet only {from_device} were read");
    for id in &ids {
        spool.settle(finish(*id)).await.unwrap();
    }
    assert!(bench.metric("spool_warm_bytes").abs() < 0.1);
}

/// A client that drips while memory is short gets no block of the device for each octet.
#[tokio::test]
async fn dripped_content_takes_no_more_blocks_than_it_needs() {
    let mut bench = Bench::new();
    bench.config.in_flight_octets_max = ByteSize::octets(0);
    let spool = bench.open();
    for (piece, count) in [(1, 2000), (100, 1000)] {
        let mut writer = spool.writer(spool.reserve(None).unwrap());
        let whole = content(piece * count, 1);
        for n in 0..count {
            writer.write(whole.slice(n * piece..(n + 1) * piece)).await.unwrap();
        }
        let accepted = writer.commit(envelope(1), Timestamp::from_millis(NOW)).await.unwrap();
        assert_eq!(read(&spool, accepted.id).await, whole);
        assert!(bench.segments().len() <= 1, "{} MiB for it", bench.segments().len());
    }
}
