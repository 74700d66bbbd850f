//! Times each case, and the spool's commits, by the clock.
//!
//! **Takes** criterion's arguments; `--quick` leaves out what takes minutes. **Gives** times and rates.
//! **Never** passes judgement: the clock depends on who else uses the machine.

#[path = "timing/spool_commit.rs"]
mod spool_commit;

use std::time::Duration;

use benches::case::{Amount, Case, Measured};
use benches::cases;
use criterion::{BenchmarkId, Criterion, Throughput};

/// The relay's own allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Short,
    Full,
}

fn main() {
    let is_short = std::env::args().any(|word| word == "--quick");
    let extent = if is_short { Extent::Short } else { Extent::Full };
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let cases: Vec<_> = cases::all()
        .into_iter()
        .filter(|case| extent == Extent::Full || case.measured == Measured::Always)
        .collect();
    for group in cases.chunk_by(|one, next| one.group == next.group) {
        measure(&mut criterion, group);
    }
    spool_commit::measure(&mut criterion, extent);
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, cases: &[Case]) {
    let Some(first) = cases.first() else { return };
    let mut group = criterion.benchmark_group(first.group);
    for case in cases {
        group.throughput(match case.amount {
            Amount::Octets(octets) => Throughput::Bytes(octets as u64),
            Amount::Elements(elements) => Throughput::Elements(elements as u64),
        });
        let samples = if case.measured == Measured::Always { 50 } else { 10 };
        group.sample_size(samples);
        // Set up once, and only if it is measured at all: some cases take long to fill.
        let mut turn = None;
        group.bench_function(BenchmarkId::from_parameter(&case.input), |bencher| {
            let turn = turn.get_or_insert_with(|| case.prepare());
            bencher.iter(turn);
        });
    }
    group.finish();
}
