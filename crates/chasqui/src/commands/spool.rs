//! `chasqui spool`.

use ::spool::check::{self, Finding, Findings, Progress, Severity};
use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::arguments::{Spool, SpoolCheck};
use crate::failure::Result;
use crate::output;

/// What `spool check --json` says.
#[derive(Debug, Serialize)]
struct Said {
    ok: bool,
    messages: u64,
    octets: u64,
    segments: u64,
    set_aside: u64,
    faults: u64,
    notes: u64,
    findings: Vec<SaidFinding>,
}

#[derive(Debug, Serialize)]
struct SaidFinding {
    severity: &'static str,
    message: Option<String>,
    finding: String,
}

/// Does it.
pub(crate) fn run(spool: &Spool) -> Result {
    match spool {
        Spool::Check(arguments) => checked(arguments),
    }
}

fn checked(arguments: &SpoolCheck) -> Result {
    let path = match &arguments.path {
        Some(path) => path.clone(),
        None => settings::load(&arguments.config)?.spool.path,
    };
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut tell = |progress: Progress| {
        bar.set_message(progress.step);
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let findings = check::run(&path, &mut tell);
    bar.finish_and_clear();
    let findings =
        findings.with_context(|| format!("the spool in {} cannot be checked", path.display()))?;
    if arguments.json {
        output::json(&said(&findings))?;
    } else {
        output::line(text(&findings))?;
    }
    if findings.faults == 0 {
        return Ok(());
    }
    let error = anyhow!("{} faults in the spool {}", findings.faults, path.display());
    Err(error.into())
}

fn said(findings: &Findings) -> Said {
    let finding = |finding: &Finding| SaidFinding {
        severity: severity(finding),
        message: finding.message.map(|id| id.to_string()),
        finding: finding.words.clone(),
    };
    Said {
        ok: findings.faults == 0,
        messages: findings.messages,
        octets: findings.octets,
        segments: findings.segments,
        set_aside: findings.aside,
        faults: findings.faults,
        notes: findings.notes,
        findings: findings.findings.iter().map(finding).collect(),
    }
}

const fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Fault => "fault",
        Severity::Note => "note",
    }
}

fn text(findings: &Findings) -> String {
    let mut lines: Vec<_> = findings
        .findings
        .iter()
        .map(|finding| {
            let message = finding.message.map(|id| format!("message {id}: ")).unwrap_or_default();
            format!("{}: {message}{}", severity(finding), finding.words)
        })
        .collect();
    let untold = findings.faults + findings.notes - findings.findings.len() as u64;
    if untold > 0 {
        lines.push(format!("and {untold} more"));
    }
    lines.push(format!(
        "{} messages, {} in all, {} segments; {} faults, {} notes, {} records set aside before",
        findings.messages,
        output::octets(findings.octets),
        findings.segments,
        findings.faults,
        findings.notes,
        findings.aside,
    ));
    lines.join("\n")
}
