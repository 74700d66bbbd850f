//! The tables that reports show, before they are Markdown or HTML.

use crate::facts::DIRECT;
use crate::report::Report;
use crate::report::number::{kibi, mebi, percent, short, size, spread, whole};
use crate::run::{Class, Run};
use crate::summary::{Row, Spread, Summary};

/// Headings and rows of words; the first column is a name, the others are figures unless `is_prose`.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) headings: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) is_prose: bool,
}

impl Table {
    fn new(headings: &[&'static str], rows: impl Iterator<Item = Vec<String>>) -> Self {
        Self { headings: headings.to_vec(), rows: rows.collect(), is_prose: false }
    }

    /// None without rows.
    fn filled(self) -> Option<Self> {
        (!self.rows.is_empty()).then_some(self)
    }
}

/// The tables of one scenario, the most important first.
pub(crate) fn of_scenario(report: &Report, summary: &Summary) -> Vec<Table> {
    let main = relays_compared(summary);
    let classes = classes(report, summary);
    [Some(main), ratios(summary), classes].into_iter().flatten().collect()
}

fn relays_compared(summary: &Summary) -> Table {
    let headings = [
        "relay",
        "accepted/s",
        "delivered/s",
        "250 p50 ms",
        "p99 ms",
        "p99.9 ms",
        "there p50 ms",
        "p99 ms",
        "CPU s/1,000",
        "peak MiB",
        "written KiB each",
        "lost",
        "doubled",
        "of two hops",
        "noisy",
    ];
    Table::new(&headings, summary.rows.iter().map(figures))
}

fn figures(row: &Row) -> Vec<String> {
    let known = |figure: Option<Spread>, form: fn(f64) -> String| {
        figure.map_or_else(|| "–".to_owned(), |figure| form(figure.median))
    };
    let mark = if row.noisy { " (noisy)" } else { "" };
    let lost = row.lost + row.damaged;
    vec![
        format!("{}{mark}", row.relay),
        spread(row.accepted_per_second, whole),
        spread(row.delivered_per_second, whole),
        short(row.accept_p50_ms.median),
        short(row.accept_p99_ms.median),
        short(row.accept_p999_ms.median),
        short(row.deliver_p50_ms.median),
        short(row.deliver_p99_ms.median),
        known(row.cpu_seconds_per_1000, short),
        known(row.memory_peak_octets, mebi),
        known(row.written_octets_per_message, kibi),
        lost.to_string(),
        row.doubled.to_string(),
        row.two_hop_share.map_or_else(|| "–".to_owned(), percent),
        format!("{}/{}", row.noisy_runs, row.all_runs),
    ]
}

/// Each relay over each that was named later.
fn ratios(summary: &Summary) -> Option<Table> {
    let relays: Vec<_> = summary.rows.iter().filter(|row| row.relay != DIRECT).collect();
    let rows = relays.iter().enumerate().flat_map(|(place, row)| {
        relays.iter().skip(place + 1).filter_map(move |other| {
            let ratios = row.ratios.get(&other.relay)?;
            Some(vec![
                format!("{} over {}", row.relay, other.relay),
                short(ratios.accepted),
                short(ratios.delivered),
                ratios.cpu.map_or_else(|| "–".to_owned(), short),
            ])
        })
    });
    Table::new(&["ratio", "accepted/s", "delivered/s", "CPU"], rows).filled()
}

/// Good and bad next hops, where a scenario has both.
fn classes(report: &Report, summary: &Summary) -> Option<Table> {
    let headings =
        ["relay", "class", "recipients", "delivered", "rejected", "lost", "there p50 ms", "p99 ms"];
    let rows = summary.rows.iter().flat_map(|row| {
        let runs: Vec<&Run> = report
            .runs
            .iter()
            .filter(|run| run.scenario == summary.scenario && run.relay == row.relay)
            .collect();
        let classes = runs.first().map_or(0, |run| run.classes.len());
        (0..classes).filter(move |_| classes > 1).filter_map(move |place| {
            let classes: Vec<_> = runs.iter().filter_map(|run| run.classes.get(place)).collect();
            class(&row.relay, &classes)
        })
    });
    Table::new(&headings, rows).filled()
}

/// One class over all rounds.
#[expect(clippy::cast_precision_loss, reason = "counts are shown as they are, below 52 bits")]
fn class(relay: &str, rounds: &[&Class]) -> Option<Vec<String>> {
    let sum = |figure: fn(&Class) -> u64| {
        whole(rounds.iter().map(|class| figure(class)).sum::<u64>() as f64)
    };
    let median = |figure: fn(&Class) -> f64| {
        Spread::of(rounds.iter().map(|class| figure(class))).map(|spread| short(spread.median))
    };
    Some(vec![
        relay.to_owned(),
        rounds.first()?.name.clone(),
        sum(|class| class.recipients),
        sum(|class| class.delivered),
        sum(|class| class.rejected),
        sum(|class| class.lost),
        median(|class| class.deliver_p50_ms)?,
        median(|class| class.deliver_p99_ms)?,
    ])
}

/// What each relay is.
pub(crate) fn relays(report: &Report) -> Option<Table> {
    let rows = report.relays.iter().map(|relay| {
        let facts = [&relay.label, &relay.version, &relay.program, &relay.durability];
        facts.map(String::clone).to_vec()
    });
    let headings = ["relay", "version", "program", "before it says 250"];
    Table { is_prose: true, ..Table::new(&headings, rows) }.filled()
}

/// What the device did, over all rounds.
pub(crate) fn device(report: &Report) -> Option<Table> {
    let sizes = report.device.first().map(|round| round.probes.iter().map(|probe| probe.octets));
    let row = |octets: u64| {
        let probes = || {
            let all = report.device.iter().flat_map(|round| &round.probes);
            all.filter(move |probe| probe.octets == octets)
        };
        let rate = Spread::of(probes().map(|probe| probe.per_second))?;
        let p50 = Spread::of(probes().map(|probe| probe.p50_ms))?;
        let p99 = Spread::of(probes().map(|probe| probe.p99_ms))?;
        Some(vec![size(octets), spread(rate, whole), short(p50.median), short(p99.median)])
    };
    let rows = sizes.into_iter().flatten().filter_map(row);
    Table::new(&["append", "syncs/s", "p50 ms", "p99 ms"], rows).filled()
}
