//! How fast the device keeps what is appended: the bound that no relay with one writer passes.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use units::Clock;

/// Appends of one size, each followed by `fdatasync`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Probe {
    /// Octets of each append.
    pub(crate) octets: u64,
    /// How many were made.
    pub(crate) count: u64,
    /// Seconds that all took.
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// How much is tried of each size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) time: Duration,
    /// So many appends even if that takes longer.
    pub(crate) count_min: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { time: Duration::from_millis(400), count_min: 20 }
    }
}

const SIZES: [usize; 4] = [4 << 10, 64 << 10, 256 << 10, 1 << 20];

/// Appends pieces of 4 KiB to 1 MiB to a file in `folder`, with one writer.
///
/// # Errors
/// If the folder cannot be written to.
pub(crate) fn probe(folder: &Path, clock: &Clock, effort: Effort) -> anyhow::Result<Vec<Probe>> {
    SIZES.iter().map(|size| probe_size(folder, clock, effort, *size)).collect()
}

fn probe_size(folder: &Path, clock: &Clock, effort: Effort, size: usize) -> anyhow::Result<Probe> {
    let what = || format!("the device below {} cannot be tried", folder.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(what)?;
    // Not zeros: some devices keep those without writing them.
    let piece: Vec<u8> = (0_u32..).map(|at| at.to_le_bytes()[0] ^ 0x5a).take(size).collect();
    let started_at = clock.now();
    let mut waits = Vec::new();
    let mut last_at = started_at;
    while last_at.duration_since(started_at) < effort.time || waits.len() as u64 <= effort.count_min
    {
        file.write_all(&piece).with_context(what)?;
        file.as_file().sync_data().with_context(what)?;
        let now = clock.now();
        waits.push(now.duration_since(last_at));
        last_at = now;
    }
    // The first makes the file.
    let first = waits.remove(0);
    let seconds = last_at.duration_since(started_at).saturating_sub(first).as_secs_f64();
    waits.sort_unstable();
    let at = |hundredth: usize| {
        let place = (waits.len() * hundredth / 100).min(waits.len() - 1);
        waits.get(place).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    let count = waits.len() as u64;
    Ok(Probe {
        octets: size as u64,
        count,
        seconds,
        per_second: per_second(count, seconds),
        p50_ms: at(50),
        p99_ms: at(99),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// Messages a second that the device keeps at most, if one writer gathers one message of each connection for each sync;
/// none without probes.
#[expect(clippy::cast_precision_loss, reason = "a bound needs no more than 52 bits")]
pub(crate) fn messages_per_second_max(
    probes: &[Probe],
    message_octets: u64,
    connections: u64,
) -> Option<f64> {
    let connections = connections.max(1);
    let batch = (message_octets * connections) as f64;
    let (largest, smallest) = (probes.last()?, probes.first()?);
    if batch >= largest.octets as f64 {
        let octets_per_second = largest.per_second * largest.octets as f64;
        return Some(octets_per_second / message_octets.max(1) as f64);
    }
    let mut before = smallest;
    for probe in probes {
        if probe.octets as f64 >= batch {
            let seconds = between(before, probe, batch);
            return (seconds > 0.0).then(|| connections as f64 / seconds);
        }
        before = probe;
    }
    None
}

/// Seconds of one append of `octets`, which lie between those of two probes.
#[expect(clippy::cast_precision_loss, reason = "a bound needs no more than 52 bits")]
fn between(before: &Probe, after: &Probe, octets: f64) -> f64 {
    let (low, high) = (before.octets as f64, after.octets as f64);
    let share = if high > low { ((octets - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
    let seconds = |probe: &Probe| 1.0 / probe.per_second.max(f64::MIN_POSITIVE);
    seconds(before) * (1.0 - share) + seconds(after) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let effort = Effort { time: Duration::ZERO, count_min: 3 };
        let probes = probe(folder.path(), &Clock::system(), effort).unwrap();
        let sizes: Vec<_> = probes.iter().map(|probe| probe.octets).collect();
        assert_eq!(sizes, [4096, 65536, 262_144, 1_048_576]);
        for probe in &probes {
            assert_eq!(probe.count, 3);
            assert!(probe.per_second > 0.0 && probe.p50_ms <= probe.p99_ms, "{probe:?}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = probe(Path::new("/nowhere/at/all"), &Clock::system(), Effort::default());
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "the device below /nowhere/at/all cannot be tried");
    }

    #[track_caller]
    fn check(message_octets: u64, connections: u64, want: f64) {
        let probe = |octets, per_second| Probe {
            octets,
            count: 1,
            seconds: 1.0,
            per_second,
            p50_ms: 0.0,
            p99_ms: 0.0,
        };
        let probes = [probe(4096, 1000.0), probe(65536, 500.0), probe(1 << 20, 100.0)];
        let bound = messages_per_second_max(&probes, message_octets, connections).unwrap();
        assert!((bound - want).abs() < 1e-6, "{bound} {want}");
    }

    #[test]
    fn the_bound_follows_the_batch() {
        // One sync of the smallest size for one connection, shared by ten.
        check(100, 1, 1000.0);
        check(100, 10, 10_000.0);
        // A batch of just 64 KiB, and one half way to it.
        check(4096, 16, 16.0 * 500.0);
        check(34816, 1, 1.0 / 0.0015);
        // Beyond the largest size it is octets that count.
        check(1 << 20, 50, 100.0);
        check(10 << 20, 1, 10.0);
        assert_eq!(messages_per_second_max(&[], 1, 1), None);
    }
}
