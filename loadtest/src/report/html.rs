//! Reports as one HTML page that needs nothing else.

mod lines;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::plot::{self, Axes, Corner};
use crate::report::table::Table;
use crate::report::{Report, prose, table};
use crate::summary::Summary;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.8rem 0; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 0.25rem 0.6rem; text-align: right; border-bottom: 1px solid #e5e5e5; }
td:nth-child(-n+3) { white-space: nowrap; }
th { background: #f6f6f6; vertical-align: bottom; }
th:first-child, td:first-child, .prose th, .prose td { text-align: left; }
code { background: #f6f6f6; padding: 0.1rem 0.3rem; overflow-wrap: anywhere; }
.alarm { color: #b00020; font-weight: 600; }
svg { max-width: 100%; height: auto; display: block; margin: 0.5rem 0; }
";

/// The page.
pub(crate) fn page(report: &Report) -> anyhow::Result<String> {
    let pairs = report.summaries.iter().zip(&report.scenarios);
    let scenarios: Vec<Markup> = pairs
        .map(|(summary, facts)| scenario(report, summary, &prose::load(facts)))
        .collect::<anyhow::Result<_>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Load test, " (report.at) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Load test, " (report.at) }
                p { (prose::machine(report)) }
                p { "chasqui-loadtest " (report.version) ": " code { (report.command.join(" ")) } }
                @for warning in prose::warnings(report) { p.alarm { (warning) } }
                @for scenario in &scenarios { (scenario) }
                @if let Some(table) = table::relays(report) { h2 { "Relays" } (markup(&table)) }
                @if let Some(table) = table::device(report) {
                    h2 { "Device" }
                    p { "Appends by one writer, each synced (fdatasync), in the folder of the mail." }
                    (markup(&table))
                }
                h2 { "How to read it" }
                ul { @for line in prose::READING { li { (line) } } }
            }
        }
    };
    Ok(page.into_string())
}

fn markup(table: &Table) -> Markup {
    html! {
        div.wide {
            table.prose[table.is_prose] {
                tr { @for heading in &table.headings { th { (heading) } } }
                @for row in &table.rows { tr { @for cell in row { td { (cell) } } } }
            }
        }
    }
}

fn scenario(report: &Report, summary: &Summary, load: &str) -> anyhow::Result<Markup> {
    let plots = plots(report, summary)?;
    Ok(html! {
        h2 { (summary.scenario) ": " (summary.about) }
        p { (load) " " (prose::bounds(summary)) }
        @for table in table::of_scenario(report, summary) { (markup(&table)) }
        @for plot in plots { (PreEscaped(plot)) }
    })
}

fn plots(report: &Report, summary: &Summary) -> anyhow::Result<Vec<String>> {
    let chosen = lines::chosen(report, summary);
    let throughput = Axes {
        title: "Throughput over time",
        x: "seconds since the start",
        y: "messages accepted, recipients delivered, per second",
        names: Corner::Upper,
    };
    let latency = Axes {
        title: "Latency: this share of messages waited no longer",
        x: "share of messages",
        y: "milliseconds",
        names: Corner::Lower,
    };
    let memory = Axes {
        title: "Memory of the relay's processes",
        x: "seconds since the start",
        y: "MiB",
        names: Corner::Lower,
    };
    let mut plots = vec![
        plot::over_time(throughput, &lines::throughput(&chosen))?,
        plot::percentiles(latency, &lines::latencies(&chosen))?,
    ];
    let lines = lines::memory(&chosen);
    if !lines.is_empty() {
        plots.push(plot::over_time(memory, &lines)?);
    }
    Ok(plots)
}

#[cfg(test)]
mod tests {
    use crate::samples;

    #[test]
    fn a_page_holds_tables_and_plots_and_asks_for_nothing() {
        let mut broken = samples::run("two", 1, 400.0);
        broken.lost = 7;
        let mut report = samples::report(vec![samples::run("one", 1, 1000.0), broken]);
        report.command.push("<b>".to_owned());
        let page = super::page(&report).unwrap();
        assert_eq!(page.matches("<svg").count(), 3);
        for want in [
            "Throughput over time",
            "Latency",
            "Memory",
            "one, delivered",
            "two, delivered",
            "p99",
            "&lt;b&gt;",
            "reused, two, round 1: 7 lost, 0 damaged, 0 given up.",
        ] {
            assert!(page.contains(want), "{want}");
        }
        // Nothing is fetched: the only addresses are names of formats.
        let rest = page.replace("http://www.w3.org/", "");
        assert!(!rest.contains("http") && !rest.contains("src=") && !rest.contains("<script"));
    }
}
