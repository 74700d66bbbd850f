//! Lines of plots, from runs.

use crate::facts::DIRECT;
use crate::report::Report;
use crate::report::plot::Line;
use crate::run::{Percentile, Run};
use crate::summary::Summary;
use crate::timeline::Sample;

/// Of each relay the run that was nearest to its median.
pub(crate) fn chosen<'a>(report: &'a Report, summary: &Summary) -> Vec<&'a Run> {
    let of_row = |row: &crate::summary::Row| {
        let runs = report.runs.iter().filter(|run| {
            run.scenario == summary.scenario && run.relay == row.relay && run.noisy == row.noisy
        });
        let distance =
            |run: &&Run| (run.delivered_per_second - row.delivered_per_second.median).abs();
        runs.min_by(|one, other| distance(one).total_cmp(&distance(other)))
    };
    summary.rows.iter().filter_map(of_row).collect()
}

/// Accepted messages, faint, and delivered recipients; without a relay it is over so soon that it would hide the others.
pub(crate) fn throughput(runs: &[&Run]) -> Vec<Line> {
    let relays = runs.iter().enumerate().filter(|(_, run)| run.relay != DIRECT || runs.len() == 1);
    let lines = relays.flat_map(|(colour, run)| {
        let line = |what: &str, is_faint, points| Line {
            name: format!("{}, {what}", run.relay),
            colour,
            is_faint,
            points,
        };
        [
            line("accepted", true, rates(&run.timeline, |sample| sample.accepted)),
            line("delivered", false, rates(&run.timeline, |sample| sample.delivered)),
        ]
    });
    lines.collect()
}

/// Points that a line has at most.
const POINTS_MAX: usize = 80;

/// What came per second, over spans long enough to be read.
#[expect(clippy::cast_precision_loss, reason = "a plot needs no more than 52 bits")]
fn rates(samples: &[Sample], count: fn(&Sample) -> u64) -> Vec<(f64, f64)> {
    let step = samples.len().div_ceil(POINTS_MAX).max(1);
    let mut ends: Vec<&Sample> = samples.iter().step_by(step).collect();
    // The last span may be shorter; it must not be missing.
    if let Some(last) = samples.last()
        && ends.last().is_none_or(|end| end.at_ms < last.at_ms)
    {
        ends.push(last);
    }
    let pairs = ends.iter().zip(ends.iter().skip(1)).filter(|(from, to)| to.at_ms > from.at_ms);
    let point = |(from, to): (&&Sample, &&Sample)| {
        let seconds = (to.at_ms - from.at_ms) as f64 / 1e3;
        let came = count(to).saturating_sub(count(from)) as f64;
        (to.at_ms as f64 / 1e3, came / seconds)
    };
    pairs.map(point).collect()
}

/// Until the 250, and, faint, until the arrival.
pub(crate) fn latencies(runs: &[&Run]) -> Vec<Line> {
    let points =
        |percentiles: &[Percentile]| percentiles.iter().map(|one| (one.share, one.ms)).collect();
    let lines = runs.iter().enumerate().flat_map(|(colour, run)| {
        let line = |what: &str, is_faint, points| Line {
            name: format!("{}, {what}", run.relay),
            colour,
            is_faint,
            points,
        };
        [
            line("until 250", false, points(&run.accept_percentiles)),
            line("until there", true, points(&run.deliver_percentiles)),
        ]
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a plot needs no more than 52 bits")]
pub(crate) fn memory(runs: &[&Run]) -> Vec<Line> {
    let lines = runs.iter().enumerate().filter_map(|(colour, run)| {
        let memory = &run.cost.as_ref()?.memory;
        let point = |sample: &crate::cost::MemorySample| {
            (sample.at_ms as f64 / 1e3, sample.octets as f64 / f64::from(1 << 20))
        };
        let points = memory.iter().map(point).collect();
        Some(Line { name: run.relay.clone(), colour, is_faint: false, points })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_what_came_in_between() {
        let sample = |at_ms, accepted| Sample { at_ms, accepted, delivered: 0 };
        let accepted = |sample: &Sample| sample.accepted;
        let samples = [sample(0, 0), sample(100, 50), sample(200, 50), sample(250, 75)];
        assert_eq!(rates(&samples, accepted), [(0.1, 500.0), (0.2, 0.0), (0.25, 500.0)]);
        assert!(rates(&[], accepted).is_empty() && rates(&[sample(0, 0)], accepted).is_empty());
    }

    #[test]
    fn long_runs_have_few_points_and_lose_nothing() {
        let samples: Vec<_> = (0..=1001)
            .map(|at| Sample { at_ms: at * 100, accepted: at * 7, delivered: at })
            .collect();
        let points = rates(&samples, |sample| sample.accepted);
        assert!(points.len() <= POINTS_MAX + 1, "{}", points.len());
        assert!(points.iter().all(|(_, rate)| (rate - 70.0).abs() < 1e-9), "{points:?}");
        assert_eq!(points.last().map(|point| point.0), Some(100.1));
    }
}
