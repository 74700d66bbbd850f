//! Reports for programs.

use std::io::Write;

use serde::Serialize;

use crate::facts::RelayFacts;
use crate::machine::Machine;
use crate::report::Report;
use crate::run::Run;

/// A single run: its figures stand at the top.
#[derive(Serialize)]
struct Single<'a> {
    version: &'a str,
    command: &'a [String],
    host: &'a Machine,
    relays: &'a [RelayFacts],
    #[serde(flatten)]
    run: &'a Run,
}

/// Writes each run of `report` as one line.
pub(crate) fn write_runs(report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
    for run in &report.runs {
        let Report { version, command, machine: host, relays, .. } = report;
        serde_json::to_writer(&mut *out, &Single { version, command, host, relays, run })?;
        writeln!(out)?;
    }
    Ok(())
}

/// Everything.
pub(crate) fn whole(report: &Report) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::samples;

    #[test]
    fn a_single_run_keeps_its_figures_at_the_top() {
        let mut out = Vec::new();
        write_runs(&samples::report(vec![samples::run("one", 1, 1000.0)]), &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        for key in [
            "messages",
            "connections",
            "per_connection",
            "accepted",
            "refused",
            "refusal",
            "accepted_per_second",
            "delivered_per_second",
            "accept_p50_ms",
            "accept_p99_ms",
            "accept_p999_ms",
            "lost",
            "doubled",
            "noisy",
            "cpu_seconds_per_1000",
            "version",
        ] {
            assert!(value.get(key).is_some(), "{key}: {value}");
        }
        assert_eq!(value["host"]["processors"], 2);
        assert_eq!(value["cost"]["memory_peak_octets"], 64 << 20);
    }

    #[test]
    fn the_whole_report_has_all_that_is_needed_to_repeat_it() {
        let runs = vec![samples::run("one", 1, 1000.0), samples::run("two", 1, 500.0)];
        let value: Value = serde_json::from_str(&whole(&samples::report(runs)).unwrap()).unwrap();
        let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "at",
                "command",
                "device",
                "machine",
                "missing",
                "relays",
                "runs",
                "scenarios",
                "summaries",
                "version"
            ]
        );
        let row = &value["summaries"][0]["rows"][0];
        assert_eq!(
            (&row["relay"], &row["ratios"]["two"]["delivered"]),
            (&"one".into(), &2.0.into())
        );
        assert_eq!(value["runs"][1]["timeline"][1]["at_ms"], 100);
    }
}
