//! Reports as Markdown: tables that can be pasted.

use crate::report::table::Table;
use crate::report::{Report, prose, table};

/// The whole report.
pub(crate) fn whole(report: &Report) -> String {
    let mut parts = vec![
        format!("# Load test, {}", report.at),
        prose::machine(report),
        format!("chasqui-loadtest {}: `{}`", report.version, report.command.join(" ")),
    ];
    parts.extend(prose::warnings(report).iter().map(|warning| format!("**{warning}**")));
    parts.push(scenarios(report));
    for (title, table) in [("Relays", table::relays(report)), ("Device", table::device(report))] {
        parts.extend(table.map(|table| format!("## {title}\n\n{}", markdown(&table))));
    }
    let reading: Vec<_> = prose::READING.iter().map(|line| format!("- {line}")).collect();
    parts.push(format!("## How to read it\n\n{}", reading.join("\n")));
    parts.join("\n\n") + "\n"
}

/// A heading and tables for each scenario.
pub(crate) fn scenarios(report: &Report) -> String {
    let mut parts = Vec::new();
    for (summary, facts) in report.summaries.iter().zip(&report.scenarios) {
        parts.push(format!("## {}: {}", summary.scenario, summary.about));
        let line = format!("{} {}", prose::load(facts), prose::bounds(summary));
        parts.push(line.trim_end().to_owned());
        parts.extend(table::of_scenario(report, summary).iter().map(markdown));
    }
    parts.join("\n\n")
}

fn markdown(table: &Table) -> String {
    let line = |cells: &[&str]| format!("| {} |", cells.join(" | "));
    let rule = if table.is_prose { "---" } else { "---:" };
    let rules = std::iter::once("---").chain(std::iter::repeat(rule));
    let rules: Vec<_> = rules.take(table.headings.len()).collect();
    let mut lines = vec![line(&table.headings), format!("|{}|", rules.join("|"))];
    for row in &table.rows {
        lines.push(line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use crate::samples;

    #[test]
    fn a_comparison_reads_as_it_should() {
        let mut noisy = samples::run("two", 2, 480.0);
        noisy.noisy = true;
        noisy.lost = 2;
        let runs = vec![
            samples::direct(1, 5000.0),
            samples::with_classes(samples::run("one", 1, 1000.0)),
            samples::run("two", 1, 400.0),
            samples::direct(2, 5200.0),
            samples::with_classes(samples::run("one", 2, 1200.0)),
            noisy,
        ];
        let text = super::whole(&samples::report(runs));
        let want = include_str!("golden.md");
        assert_eq!(text, want, "is it better? then write it to golden.md:\n{text}");
    }
}
