//! Rounds put together: medians, ranges, ratios, and shares of what the machine allows.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::device;
use crate::facts::{DIRECT, DeviceRound, ScenarioFacts};
use crate::run::Run;

/// One scenario: a row for each relay, in the order in which they were named.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) scenario: String,
    pub(crate) about: String,
    /// Messages a second that a relay on this machine passes on at most, as each goes over two hops: half of what the
    /// source sends to the sink.
    pub(crate) two_hop_per_second: Option<f64>,
    /// Messages a second that the device keeps at most, one writer gathering a message of each connection for a sync.
    pub(crate) device_per_second: Option<f64>,
    pub(crate) rows: Vec<Row>,
}

/// One relay in one scenario. Where there are rounds that others did not disturb, the disturbed ones count only for
/// what was lost, doubled and damaged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) relay: String,
    /// Runs in all.
    pub(crate) all_runs: usize,
    /// Runs that the figures are made of.
    pub(crate) runs: usize,
    /// Runs that were disturbed, those that were repeated included.
    pub(crate) noisy_runs: usize,
    /// Whether all were disturbed: the figures are not worth quoting.
    pub(crate) noisy: bool,
    pub(crate) accepted_per_second: Spread,
    pub(crate) delivered_per_second: Spread,
    pub(crate) accept_p50_ms: Spread,
    pub(crate) accept_p99_ms: Spread,
    pub(crate) accept_p999_ms: Spread,
    pub(crate) deliver_p50_ms: Spread,
    pub(crate) deliver_p99_ms: Spread,
    pub(crate) cpu_seconds_per_1000: Option<Spread>,
    pub(crate) memory_peak_octets: Option<Spread>,
    pub(crate) written_octets_per_message: Option<Spread>,
    /// Over all runs, as are the next three.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) damaged: u64,
    pub(crate) refused: u64,
    /// Delivered messages, as a share of both bounds.
    pub(crate) two_hop_share: Option<f64>,
    pub(crate) device_share: Option<f64>,
    /// This relay over each other one.
    pub(crate) ratios: BTreeMap<String, Ratios>,
}

/// One relay over another: the medians of what each round gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratios {
    pub(crate) accepted: f64,
    pub(crate) delivered: f64,
    pub(crate) cpu: Option<f64>,
}

/// The middle of some figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None of nothing.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let (below, above) = ((figures.len() - 1) / 2, figures.len() / 2);
        let median = f64::midpoint(*figures.get(below)?, *figures.get(above)?);
        Some(Self { median, min, max })
    }
}

impl Summary {
    /// Puts the runs of one scenario together; runs of others are left out.
    pub(crate) fn new(facts: &ScenarioFacts, runs: &[Run], device: &[DeviceRound]) -> Self {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.scenario == facts.name).collect();
        let mut relays: Vec<&str> = Vec::new();
        for run in &runs {
            if !relays.contains(&run.relay.as_str()) {
                relays.push(&run.relay);
            }
        }
        // The rows of one round may come in any order; that with no relay stands last.
        relays.sort_by_key(|relay| *relay == DIRECT);
        let direct = of_relay(&runs, DIRECT);
        let two_hop = Spread::of(quiet(&direct).iter().map(|run| run.delivered_per_second / 2.0));
        let connections = facts.connections as u64;
        let bounds = device.iter().filter_map(|round| {
            device::messages_per_second_max(&round.probes, facts.octets, connections)
        });
        let (two_hop, device) =
            (two_hop.map(|it| it.median), Spread::of(bounds).map(|it| it.median));
        let rows = relays.iter().filter_map(|relay| row(relay, &relays, &runs, (two_hop, device)));
        Self {
            scenario: facts.name.clone(),
            about: facts.about.clone(),
            two_hop_per_second: two_hop,
            device_per_second: device,
            rows: rows.collect(),
        }
    }
}

fn of_relay<'a>(runs: &[&'a Run], relay: &str) -> Vec<&'a Run> {
    runs.iter().filter(|run| run.relay == relay).copied().collect()
}

/// The runs that nobody disturbed, or all if there is none.
fn quiet<'a>(runs: &[&'a Run]) -> Vec<&'a Run> {
    let quiet: Vec<_> = runs.iter().filter(|run| !run.noisy).copied().collect();
    if quiet.is_empty() { runs.to_vec() } else { quiet }
}

fn row(
    relay: &str,
    relays: &[&str],
    runs: &[&Run],
    (two_hop, device): (Option<f64>, Option<f64>),
) -> Option<Row> {
    let all = of_relay(runs, relay);
    let counted = quiet(&all);
    let spread = |figure: fn(&Run) -> f64| Spread::of(counted.iter().map(|run| figure(run)));
    let known =
        |figure: fn(&Run) -> Option<f64>| Spread::of(counted.iter().filter_map(|run| figure(run)));
    let sum = |figure: fn(&Run) -> u64| all.iter().map(|run| figure(run)).sum();
    let delivered = spread(|run| run.delivered_per_second)?;
    let is_relay = relay != DIRECT;
    let share = |bound: Option<f64>| {
        let bound = bound.filter(|bound| is_relay && *bound > 0.0)?;
        Some(delivered.median / bound)
    };
    let others = relays.iter().filter(|other| **other != relay && **other != DIRECT && is_relay);
    let ratios = others.filter_map(|other| {
        let ratios = ratios(&all, &of_relay(runs, other))?;
        Some(((*other).to_owned(), ratios))
    });
    Some(Row {
        relay: relay.to_owned(),
        all_runs: all.len(),
        runs: counted.len(),
        noisy_runs: all.iter().filter(|run| run.noisy).count(),
        noisy: all.iter().all(|run| run.noisy),
        accepted_per_second: spread(|run| run.accepted_per_second)?,
        delivered_per_second: delivered,
        accept_p50_ms: spread(|run| run.accept_p50_ms)?,
        accept_p99_ms: spread(|run| run.accept_p99_ms)?,
        accept_p999_ms: spread(|run| run.accept_p999_ms)?,
        deliver_p50_ms: spread(|run| run.deliver_p50_ms)?,
        deliver_p99_ms: spread(|run| run.deliver_p99_ms)?,
        cpu_seconds_per_1000: known(|run| run.cpu_seconds_per_1000),
        memory_peak_octets: known(memory_peak),
        written_octets_per_message: known(|run| run.written_octets_per_message),
        lost: sum(|run| run.lost),
        doubled: sum(|run| run.doubled),
        damaged: sum(|run| run.damaged),
        refused: sum(|run| run.refused),
        two_hop_share: share(two_hop),
        device_share: share(device),
        ratios: ratios.collect(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "memory needs no more than 52 bits")]
fn memory_peak(run: &Run) -> Option<f64> {
    run.cost.as_ref().map(|cost| cost.memory_peak_octets as f64)
}

/// The medians over rounds of `ours` over `theirs`, each taken within one attempt at a round; attempts in which neither
/// was disturbed count alone where there are any.
fn ratios(ours: &[&Run], theirs: &[&Run]) -> Option<Ratios> {
    let pairs: Vec<(&Run, &Run)> = ours
        .iter()
        .filter_map(|our| {
            let same = |their: &&&Run| (their.round, their.attempt) == (our.round, our.attempt);
            Some((*our, *theirs.iter().find(same)?))
        })
        .collect();
    let quiet: Vec<_> =
        pairs.iter().filter(|(our, their)| !our.noisy && !their.noisy).copied().collect();
    let pairs = if quiet.is_empty() { pairs } else { quiet };
    let median = |figure: fn(&Run) -> Option<f64>| {
        let ratio = |(our, their): &(&Run, &Run)| {
            let their = figure(their).filter(|their| *their > 0.0)?;
            Some(figure(our)? / their)
        };
        Spread::of(pairs.iter().filter_map(ratio)).map(|spread| spread.median)
    };
    Some(Ratios {
        accepted: median(|run| Some(run.accepted_per_second))?,
        delivered: median(|run| Some(run.delivered_per_second))?,
        cpu: median(|run| run.cpu_seconds_per_1000),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn row<'a>(summary: &'a Summary, relay: &str) -> &'a Row {
        summary.rows.iter().find(|row| row.relay == relay).unwrap()
    }

    #[track_caller]
    fn check_spread(figures: &[f64], want: Option<(f64, f64, f64)>) {
        let want = want.map(|(median, min, max)| Spread { median, min, max });
        assert_eq!(Spread::of(figures.iter().copied()), want);
    }

    #[test]
    fn medians_are_in_the_middle() {
        check_spread(&[], None);
        check_spread(&[3.0], Some((3.0, 3.0, 3.0)));
        check_spread(&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0)));
        check_spread(&[4.0, 1.0, 2.0, 9.0], Some((3.0, 1.0, 9.0)));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine was slow in the second round, for both.
        let runs = vec![
            samples::run("one", 1, 2000.0),
            samples::run("two", 1, 1000.0),
            samples::run("one", 2, 600.0),
            samples::run("two", 2, 200.0),
            samples::run("one", 3, 2400.0),
            samples::run("two", 3, 960.0),
        ];
        let summary = Summary::new(&samples::facts(), &runs, &[]);
        let one = row(&summary, "one");
        assert_eq!(one.delivered_per_second, Spread { median: 2000.0, min: 600.0, max: 2400.0 });
        assert_eq!(one.ratios["two"], Ratios { accepted: 2.5, delivered: 2.5, cpu: Some(1.0) });
        assert!((row(&summary, "two").ratios["one"].delivered - 0.4).abs() < 1e-9);
        assert_eq!(
            (summary.two_hop_per_second, one.two_hop_share, one.device_share),
            (None, None, None)
        );
    }

    #[test]
    fn bounds_come_from_direct_runs_and_the_device() {
        let runs = vec![samples::direct(1, 8000.0), samples::run("one", 1, 3000.0)];
        let summary = Summary::new(&samples::facts(), &runs, &[samples::device(1)]);
        assert_eq!(summary.two_hop_per_second, Some(4000.0));
        assert_eq!(row(&summary, "one").two_hop_share, Some(0.75));
        // 50 messages of 10 KiB are not quite half of the way from 4 KiB to 1 MiB, so one sync takes 2.945 ms.
        let bound = summary.device_per_second.unwrap();
        assert!((16_970.0..16_980.0).contains(&bound), "{bound}");
        let direct = row(&summary, DIRECT);
        assert!(direct.two_hop_share.is_none() && direct.ratios.is_empty());
        assert_eq!(summary.rows.last().map(|row| row.relay.as_str()), Some(DIRECT));
    }

    #[test]
    fn disturbed_runs_count_only_where_there_is_nothing_else() {
        let noisy = |mut run: Run| {
            run.noisy = true;
            run.lost = 1;
            run
        };
        let mut repeated = samples::run("one", 1, 2000.0);
        repeated.attempt = 2;
        let runs = vec![
            noisy(samples::run("one", 1, 500.0)),
            repeated,
            noisy(samples::run("two", 1, 400.0)),
        ];
        let summary = Summary::new(&samples::facts(), &runs, &[]);
        let (one, two) = (row(&summary, "one"), row(&summary, "two"));
        assert_eq!((one.runs, one.noisy_runs, one.noisy), (1, 1, false));
        assert!((one.delivered_per_second.median - 2000.0).abs() < 1e-9);
        assert_eq!(one.lost, 1, "what is lost is lost, whoever was noisy");
        assert_eq!((two.runs, two.noisy_runs, two.noisy), (1, 1, true));
        // Both ran in the first attempt only.
        assert!((one.ratios["two"].delivered - 1.25).abs() < 1e-9);
    }
}
