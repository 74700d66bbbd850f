//! How long until messages are on the device, and finished again: by size, in the database or in segment files.
//!
//! Answers where `spool.inline_octets_max` should lie. Set `TMPDIR` to a folder on the device in question.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be set up shall stop")]

use std::sync::Arc;

use benches::inputs::{self, Lines};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use mail::Timestamp;
use spool::{Config, Settlement, Spool};
use telemetry::Registry;
use units::{ByteSize, Clock};

use crate::Extent;

/// Messages on their way at the same time.
const WRITERS: usize = 32;

pub(crate) fn measure(criterion: &mut Criterion, extent: Extent) {
    let sizes: &[usize] = match extent {
        Extent::Short => &[4, 64],
        Extent::Full => &[4, 16, 32, 64, 128, 256, 1024],
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("spool_commit_and_finish");
    group.sample_size(10);
    for kib in sizes {
        let content = inputs::content(kib * 1024, Lines::Plain);
        let octets = content.len() * WRITERS;
        group.throughput(Throughput::Bytes(u64::try_from(octets).unwrap()));
        for (place, inline) in [("database", ByteSize::mib(64)), ("segments", ByteSize::octets(0))]
        {
            let folder = tempfile::tempdir().unwrap();
            let config = Config {
                path: folder.path().to_owned(),
                inline_octets_max: inline,
                free_octets_min: ByteSize::mib(1),
                ..Config::default()
            };
            let spool = Spool::open(&config, Clock::system(), 1, &Registry::new()).unwrap();
            group.bench_function(BenchmarkId::new(place, format!("{kib}KiB")), |bencher| {
                bencher.iter(|| runtime.block_on(round(&spool, &content)));
            });
            runtime.block_on(spool.close());
        }
    }
    group.finish();
}

/// Stores `WRITERS` messages at the same time and finishes them.
async fn round(spool: &Spool, content: &Bytes) {
    let envelope = Arc::new(inputs::envelope(1));
    let tasks: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (spool, content, envelope) =
                (spool.clone(), content.clone(), Arc::clone(&envelope));
            tokio::spawn(async move {
                let place = spool.reserve(None).unwrap();
                let mut writer = spool.writer(place);
                // As it comes from a socket.
                for start in (0..content.len()).step_by(64 * 1024) {
                    let end = content.len().min(start + 64 * 1024);
                    writer.write(content.slice(start..end)).await.unwrap();
                }
                let accepted =
                    writer.commit((*envelope).clone(), Timestamp::from_millis(0)).await.unwrap();
                let settlement = Settlement {
                    id: accepted.id,
                    recipients: Vec::new(),
                    is_finished: true,
                    report: None,
                    tally: None,
                };
                spool.settle(settlement).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
