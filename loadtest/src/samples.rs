//! Runs made up for tests of what is made of them.

use crate::cost::{Cost, MemorySample, Surroundings};
use crate::device::Probe;
use crate::facts::{DeviceRound, RelayFacts, ScenarioFacts};
use crate::machine::Machine;
use crate::process::MemoryMeasure;
use crate::report::Report;
use crate::run::{Class, Percentile, Run};
use crate::summary::Summary;
use crate::timeline::Sample;

fn cost() -> Cost {
    Cost {
        cpu_user_seconds: 0.2,
        cpu_system_seconds: 0.1,
        memory_peak_octets: 64 << 20,
        memory_measure: MemoryMeasure::Proportional,
        written_octets: Some(3_000_000),
        context_switches: 5000,
        processes_max: 1,
        ended_early: false,
        memory: vec![
            MemorySample { at_ms: 0, octets: 32 << 20 },
            MemorySample { at_ms: 100, octets: 64 << 20 },
        ],
    }
}

fn surroundings() -> Surroundings {
    Surroundings {
        seconds: 1.0,
        load_share: 0.4,
        relay_share: Some(0.5),
        kernel_share: 0.02,
        others_share: Some(0.01),
        idle_share: 0.07,
        device_written_octets: Some(4_000_000),
    }
}

/// A run of 1,000 messages that were delivered at `rate`.
pub(crate) fn run(relay: &str, round: u32, rate: f64) -> Run {
    let percentile = |share, ms| Percentile { share, ms };
    let sample = |at_ms, accepted, delivered| Sample { at_ms, accepted, delivered };
    Run {
        scenario: "reused".to_owned(),
        relay: relay.to_owned(),
        round,
        attempt: 1,
        at: "2026-11-21T22:00:00Z".to_owned(),
        noisy: false,
        messages: 1000,
        connections: 50,
        per_connection: 0,
        accepted: 1000,
        refused: 0,
        refusal: None,
        in_doubt: 0,
        unsent: 0,
        offered_per_second: None,
        accepted_per_second: rate * 1.25,
        delivered_per_second: rate,
        drained_per_second: None,
        accept_seconds: 0.8,
        deliver_seconds: 1.0,
        recipients: 1000,
        delivered: 1000,
        lost: 0,
        doubled: 0,
        damaged: 0,
        rejected: 0,
        unreported: 0,
        returned: 0,
        withheld: 0,
        reported: 0,
        unknown: 0,
        accept_p50_ms: 4.0,
        accept_p99_ms: 12.0,
        accept_p999_ms: 20.0,
        accept_max_ms: 25.0,
        deliver_p50_ms: 8.0,
        deliver_p99_ms: 40.0,
        deliver_p999_ms: 60.0,
        deliver_max_ms: 70.0,
        cpu_seconds_per_1000: Some(0.3),
        written_octets_per_message: Some(3000.0),
        cost: Some(cost()),
        machine: surroundings(),
        classes: Vec::new(),
        accept_percentiles: vec![
            percentile(0.0, 1.0),
            percentile(0.5, 4.0),
            percentile(0.99, 12.0),
            percentile(0.999, 20.0),
        ],
        deliver_percentiles: vec![percentile(0.0, 2.0), percentile(0.99, 40.0)],
        timeline: vec![sample(0, 0, 0), sample(100, 400, 300), sample(200, 1000, 1000)],
    }
}

/// The same run, with some recipients at next hops that fail.
pub(crate) fn with_classes(mut run: Run) -> Run {
    let class = |name: &str, delivered| Class {
        name: name.to_owned(),
        recipients: 500,
        delivered,
        lost: 0,
        doubled: 0,
        rejected: 500 - delivered,
        withheld: 0,
        deliver_seconds: 1.0,
        deliver_p50_ms: 7.0,
        deliver_p99_ms: 35.0,
    };
    run.classes = vec![class("good", 500), class("fails", 450)];
    run
}

/// A run without a relay.
pub(crate) fn direct(round: u32, rate: f64) -> Run {
    let mut run = run(crate::facts::DIRECT, round, rate);
    run.cost = None;
    run.cpu_seconds_per_1000 = None;
    run.written_octets_per_message = None;
    run
}

pub(crate) fn facts() -> ScenarioFacts {
    ScenarioFacts {
        name: "reused".to_owned(),
        about: "10 KiB over 50 connections that stay open".to_owned(),
        messages: 1000,
        connections: 50,
        octets: 10240,
    }
}

/// One round of appends: 1,000 a second of 4 KiB, 200 of 1 MiB.
pub(crate) fn device(round: u32) -> DeviceRound {
    let probe = |octets, per_second| Probe {
        octets,
        count: 100,
        seconds: 0.5,
        per_second,
        p50_ms: 1.0,
        p99_ms: 5.0,
    };
    DeviceRound { round, probes: vec![probe(4096, 1000.0), probe(1 << 20, 200.0)] }
}

pub(crate) fn report(runs: Vec<Run>) -> Report {
    let device = vec![device(1)];
    let relay = |label: &str| RelayFacts {
        label: label.to_owned(),
        about: format!("{label} of Debian"),
        version: "1.0".to_owned(),
        program: format!("/usr/sbin/{label}"),
        durability: "Synced, then 250.".to_owned(),
    };
    Report {
        version: "0.1.0".to_owned(),
        command: ["chasqui-loadtest", "compare", "--peers", "one,two"].map(str::to_owned).to_vec(),
        at: "2026-11-21T22:00:00Z".to_owned(),
        machine: Machine {
            processors: 2,
            processor_model: "A processor".to_owned(),
            memory_octets: 24 << 30,
            kernel: "6.18".to_owned(),
            system: "Debian 12".to_owned(),
            folder: "/var/tmp".to_owned(),
            file_system: "ext4".to_owned(),
            device: "/dev/vda".to_owned(),
        },
        scenarios: vec![facts()],
        relays: vec![relay("one"), relay("two")],
        missing: vec!["three is not on this machine: apt-get install three".to_owned()],
        summaries: vec![Summary::new(&facts(), &runs, &device)],
        device,
        runs,
    }
}
