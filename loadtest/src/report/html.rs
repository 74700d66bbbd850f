//! Reports as one HTML page that needs nothing else.

mod lines;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::Report;
use crate::report::markdown::{
    HEADINGS, RATIOS, READING, bounds, cells, compared, device_rows, machine_lines, ratio,
    scenario_line,
};
use crate::report::plot::{self, Axes};
use crate::summary::Summary;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.8rem 0; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 0.25rem 0.6rem; text-align: right; border-bottom: 1px solid #e5e5e5; }
th { background: #f6f6f6; vertical-align: bottom; } th:first-child, td:first-child { text-align: left; }
td.text { text-align: left; }
code { background: #f6f6f6; padding: 0.1rem 0.3rem; overflow-wrap: anywhere; }
.alarm { color: #b00020; font-weight: 600; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } .plots svg { max-width: 100%; height: auto; }
";

/// The page.
pub(crate) fn page(report: &Report) -> anyhow::Result<String> {
    let summaries = report.summaries.iter().zip(&report.scenarios);
    let scenarios: Vec<Markup> = summaries
        .map(|(summary, facts)| {
            Ok(scenario(report, summary, &scenario_line(facts), plots(report, summary)?))
        })
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
                @for line in machine_lines(report) { p { (without_marks(&line)) } }
                @for missing in &report.missing { p { "Left out: " (missing) "." } }
                @for scenario in &scenarios { (scenario) }
                (relays(report))
                @if !report.device.is_empty() { (device(report)) }
                h2 { "How to read it" }
                p { (READING) }
            }
        }
    };
    Ok(page.into_string())
}

/// Markdown's marks mean nothing here.
fn without_marks(line: &str) -> String {
    line.replace(['`', '*'], "").trim_end().to_owned()
}

fn scenario(report: &Report, summary: &Summary, line: &str, plots: Vec<String>) -> Markup {
    let rows = compared(summary);
    html! {
        h2 { (summary.scenario) ": " (summary.about) }
        p { (line) " " (bounds(summary)) }
        div.wide { table {
            tr { @for heading in HEADINGS { th { (heading) } } }
            @for row in &summary.rows {
                tr.alarm[row.lost + row.damaged > 0] { @for cell in cells(row) { td { (cell) } } }
            }
        } }
        @if rows.len() > 1 {
            table {
                tr { th { (RATIOS) } @for row in &rows { th { (row.relay) } } }
                @for row in &rows {
                    tr { td { (row.relay) } @for other in &rows { td { (ratio(row, other)) } } }
                }
            }
        }
        (classes(report, summary))
        div.plots { @for plot in plots { (PreEscaped(plot)) } }
    }
}

/// Good and bad next hops, where a scenario has both.
fn classes(report: &Report, summary: &Summary) -> Markup {
    let runs =
        report.runs.iter().filter(|run| run.scenario == summary.scenario && run.classes.len() > 1);
    let headings = [
        "relay",
        "round",
        "class",
        "recipients",
        "delivered",
        "rejected",
        "lost",
        "there p50 ms",
        "p99 ms",
    ];
    html! {
        @for (at, run) in runs.enumerate() {
            @if at == 0 { h3 { "By class of domains" } }
            table {
                tr { @for heading in headings { th { (heading) } } }
                @for class in &run.classes {
                    tr {
                        td { (run.relay) } td { (run.round) } td { (class.name) } td { (class.recipients) }
                        td { (class.delivered) } td { (class.rejected) } td { (class.lost) }
                        td { (format!("{:.1}", class.deliver_p50_ms)) } td { (format!("{:.1}", class.deliver_p99_ms)) }
                    }
                }
            }
        }
    }
}

fn relays(report: &Report) -> Markup {
    html! {
        h2 { "Relays" }
        table {
            tr { th { "relay" } th { "version" } th { "program" } th { "before it says 250" } }
            @for relay in &report.relays {
                tr {
                    td { (relay.label) } td.text { (relay.version) }
                    td.text { code { (relay.program) } } td.text { (relay.durability) }
                }
            }
        }
    }
}

fn device(report: &Report) -> Markup {
    html! {
        h2 { "Device" }
        p { "Appends by one writer, each synced (fdatasync), in the folder of the mail." }
        table {
            tr { th { "size" } th { "syncs/s" } th { "p50 ms" } th { "p99 ms" } }
            @for row in device_rows(report) { tr { @for cell in row { td { (cell) } } } }
        }
    }
}

fn plots(report: &Report, summary: &Summary) -> anyhow::Result<Vec<String>> {
    let chosen = lines::chosen(report, summary);
    let throughput =
        Axes { title: "Throughput over time", x: "seconds since the start", y: "per second" };
    let latency = Axes {
        title: "Latency: this share of messages waited no longer",
        x: "share of messages",
        y: "milliseconds",
    };
    let memory =
        Axes { title: "Memory of the relay's processes", x: "seconds since the start", y: "MiB" };
    Ok(vec![
        plot::over_time(throughput, &lines::throughput(&chosen))?,
        plot::percentiles(latency, &lines::latencies(&chosen))?,
        plot::over_time(memory, &lines::memory(&chosen))?,
    ])
}

#[cfg(test)]
mod tests {
    use crate::samples;

    #[test]
    fn a_page_holds_tables_and_plots_and_asks_for_nothing() {
        let mut broken = samples::run("two", 1, 400.0);
        broken.lost = 7;
        broken.refusal = Some("<script>".to_owned());
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
        ] {
            assert!(page.contains(want), "{want}");
        }
        assert!(page.contains("class=\"alarm\""), "a loss stands out");
        // Nothing is fetched: the only addresses are names of formats.
        let rest = page.replace("http://www.w3.org/", "");
        assert!(
            !rest.contains("http") && !rest.contains("src=") && !rest.contains("<script"),
            "{rest}"
        );
    }
}
