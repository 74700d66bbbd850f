//! What came of a run, for people and for programs.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::drive::Outcome;
use crate::scenario::Scenario;

/// How the report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
}

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    messages: u64,
    connections: usize,
    per_connection: u64,
    accepted: u64,
    refused: u64,
    refusal: Option<String>,
    /// Messages that got their 250, over the time until the last 250.
    accepted_per_second: f64,
    /// Messages that arrived, over the time until the last arrived.
    delivered_per_second: f64,
    accept_p50_ms: f64,
    accept_p99_ms: f64,
    accept_p999_ms: f64,
    /// Accepted and not arrived in time.
    pub(crate) lost: u64,
    doubled: u64,
    reports: u64,
}

impl Report {
    pub(crate) fn new(scenario: &Scenario, outcome: &Outcome) -> Self {
        let load = &scenario.load;
        let quantile_ms = |quantile| {
            Duration::from_micros(outcome.accept_latency_us.value_at_quantile(quantile))
                .as_secs_f64()
                * 1e3
        };
        Self {
            messages: outcome.messages,
            connections: load.connections,
            per_connection: load.per_connection,
            accepted: outcome.accepted,
            refused: outcome.refused,
            refusal: outcome.last_refusal.clone(),
            accepted_per_second: outcome.accepted_per_second(),
            delivered_per_second: outcome.delivered_per_second(),
            accept_p50_ms: quantile_ms(0.5),
            accept_p99_ms: quantile_ms(0.99),
            accept_p999_ms: quantile_ms(0.999),
            lost: outcome.lost,
            doubled: outcome.duplicates,
            reports: outcome.unknown,
        }
    }

    pub(crate) fn print(&self, format: Format) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if format == Format::Json {
            serde_json::to_writer(&mut out, self)?;
            return Ok(writeln!(out)?);
        }
        writeln!(out, "accepted   {:>10}   {:>10.0} /s", self.accepted, self.accepted_per_second)?;
        writeln!(
            out,
            "delivered  {:>10}   {:>10.0} /s",
            self.messages - self.lost - self.refused,
            self.delivered_per_second
        )?;
        writeln!(
            out,
            "250 after  p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
            self.accept_p50_ms, self.accept_p99_ms, self.accept_p999_ms
        )?;
        writeln!(
            out,
            "refused {}, lost {}, doubled {}, failure reports {}",
            self.refused, self.lost, self.doubled, self.reports
        )?;
        if let Some(refusal) = &self.refusal {
            writeln!(out, "last refusal: {refusal}")?;
        }
        Ok(())
    }
}

/// A bar on the terminal, silent where the output is for a program.
pub(crate) fn progress(messages: u64, format: Format) -> ProgressBar {
    let target = if format == Format::Json {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} accepted, {per_sec}, {eta} left");
    ProgressBar::with_draw_target(Some(messages), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Says on standard error why the run could not be made.
pub(crate) fn complain(error: &anyhow::Error) {
    // Nobody to tell if even that fails.
    writeln!(std::io::stderr(), "chasqui-loadtest: {error:#}").ok();
}
