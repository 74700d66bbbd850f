//! Reports as Markdown: tables that can be pasted.

use std::fmt::Write;

use crate::facts::DIRECT;
use crate::report::Report;
use crate::report::number::{kibi, mebi, percent, short, size, spread, whole};
use crate::summary::{Row, Spread, Summary};

/// The whole report.
pub(crate) fn whole_report(report: &Report) -> String {
    let mut out = format!("# Load test, {}\n\n", report.at);
    for line in machine_lines(report) {
        push(&mut out, &line);
    }
    for missing in &report.missing {
        push(&mut out, &format!("Left out: {missing}."));
    }
    out += "\n";
    out += &tables(report);
    out += "## Relays\n\n| relay | version | program | before it says 250 |\n|---|---|---|---|\n";
    for relay in &report.relays {
        let (version, program) = (&relay.version, &relay.program);
        push(
            &mut out,
            &format!("| {} | {version} | `{program}` | {} |", relay.label, relay.durability),
        );
    }
    out += &device(report);
    out += "\n";
    out += READING;
    out
}

/// How the columns are meant, for all forms of reports.
pub(crate) const READING: &str = "\
Medians over rounds, with the range in brackets. accepted: messages with their 250, over the time until the last 250. \
delivered: messages that arrived, over the time until the last arrived. CPU, memory (pages that processes share count \
once) and written octets are those of all processes of the relay. of two hops: delivered over half of `direct`, where the \
source talks to the sink. of device: delivered over what one writer can keep with a sync for each batch of one message per \
connection. noisy: runs during which others used more than 10 % of the processors, of all runs; they count only where \
there are no others.
";

/// Machine, program and command line.
pub(crate) fn machine_lines(report: &Report) -> Vec<String> {
    let machine = &report.machine;
    #[expect(clippy::cast_precision_loss, reason = "memory needs no more than 52 bits")]
    let memory = mebi(machine.memory_octets as f64);
    let mut lines = vec![
        format!(
            "{} processors ({}), {memory} MiB, {}, Linux {}; mail kept in {} ({} on {}).  ",
            machine.processors,
            machine.processor_model,
            machine.system,
            machine.kernel,
            machine.folder,
            machine.file_system,
            machine.device
        ),
        format!("chasqui-loadtest {}: `{}`  ", report.version, report.command.join(" ")),
    ];
    if machine.forgets() {
        lines.push("**Not to be quoted: mail was kept in memory. Name a folder on a device with --folder.**  ".to_owned());
    }
    lines
}

/// A heading and tables for each scenario.
pub(crate) fn tables(report: &Report) -> String {
    let mut out = String::new();
    for (summary, facts) in report.summaries.iter().zip(&report.scenarios) {
        push(&mut out, &format!("## {}: {}\n", summary.scenario, summary.about));
        push(&mut out, &format!("{}\n", scenario_line(facts)));
        push(&mut out, &format!("| {} |", HEADINGS.join(" | ")));
        push(&mut out, &format!("|---{}|", "|---:".repeat(HEADINGS.len() - 1)));
        for row in &summary.rows {
            push(&mut out, &format!("| {} |", cells(row).join(" | ")));
        }
        push(&mut out, &format!("\n{}\n", bounds(summary)));
        out += &ratios(summary);
    }
    out
}

pub(crate) fn scenario_line(facts: &crate::facts::ScenarioFacts) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts need no more than 52 bits")]
    let messages = whole(facts.messages as f64);
    format!("{messages} messages of {}, {} connections.", size(facts.octets), facts.connections)
}

/// The columns of a scenario's table.
pub(crate) const HEADINGS: [&str; 15] = [
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

/// A row of a scenario's table.
pub(crate) fn cells(row: &Row) -> Vec<String> {
    let known = |figure: Option<Spread>, form: fn(f64) -> String| {
        figure.map_or_else(|| "–".to_owned(), |figure| spread(figure, form))
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

/// What the machine allows.
pub(crate) fn bounds(summary: &Summary) -> String {
    let mut out = Vec::new();
    if let Some(bound) = summary.two_hop_per_second {
        out.push(format!("Two hops on this machine: {}/s.", whole(bound)));
    }
    if let Some(bound) = summary.device_per_second {
        let shares = summary.rows.iter().filter_map(|row| Some((&row.relay, row.device_share?)));
        let shares: Vec<_> =
            shares.map(|(relay, share)| format!("{relay} {}", percent(share))).collect();
        out.push(format!("The device keeps {}/s: {}.", whole(bound), shares.join(", ")));
    }
    out.join(" ")
}

/// The relays that were compared, without the row that has none.
pub(crate) fn compared(summary: &Summary) -> Vec<&Row> {
    summary.rows.iter().filter(|row| row.relay != DIRECT).collect()
}

/// One relay over another, in words for a table's cell; empty for a relay and itself.
pub(crate) fn ratio(row: &Row, other: &Row) -> String {
    row.ratios.get(&other.relay).map_or_else(String::new, |ratios| {
        let cpu = ratios.cpu.map_or_else(|| "–".to_owned(), short);
        format!("{}, {}, {cpu}", short(ratios.accepted), short(ratios.delivered))
    })
}

/// What stands above the ratios.
pub(crate) const RATIOS: &str = "accepted/s, delivered/s, CPU: row over column";

fn ratios(summary: &Summary) -> String {
    let rows = compared(summary);
    if rows.len() < 2 {
        return String::new();
    }
    let names: Vec<_> = rows.iter().map(|row| row.relay.as_str()).collect();
    let mut out =
        format!("| {RATIOS} | {} |\n|---{}|\n", names.join(" | "), "|---:".repeat(rows.len()));
    for row in &rows {
        let cells: Vec<_> = rows.iter().map(|other| ratio(row, other)).collect();
        push(&mut out, &format!("| {} | {} |", row.relay, cells.join(" | ")));
    }
    out + "\n"
}

fn device(report: &Report) -> String {
    if report.device.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "\n## Device\n\nAppends by one writer, each synced (fdatasync), in the folder of the mail.\n\n\
         | size | syncs/s | p50 ms | p99 ms |\n|---:|---:|---:|---:|\n",
    );
    for row in device_rows(report) {
        push(&mut out, &format!("| {} |", row.join(" | ")));
    }
    out
}

/// For each size: the size, syncs a second with their range, and waits.
pub(crate) fn device_rows(report: &Report) -> Vec<Vec<String>> {
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
    sizes.into_iter().flatten().filter_map(row).collect()
}

fn push(out: &mut String, line: &str) {
    // Writing to a string does not fail.
    writeln!(out, "{line}").ok();
}

#[cfg(test)]
mod tests {
    use crate::samples;

    #[test]
    fn a_comparison_reads_as_it_should() {
        let mut noisy = samples::run("two", 2, 480.0);
        noisy.noisy = true;
        let runs = vec![
            samples::direct(1, 5000.0),
            samples::run("one", 1, 1000.0),
            samples::run("two", 1, 400.0),
            samples::direct(2, 5200.0),
            samples::run("one", 2, 1200.0),
            noisy,
        ];
        let text = super::whole_report(&samples::report(runs));
        let want = include_str!("golden.md");
        assert_eq!(text, want, "is it better? then write it to golden.md:\n{text}");
    }
}
