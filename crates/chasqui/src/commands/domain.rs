//! `chasqui domain`.

use admin::view::{DomainAdvice, DomainCheck, DomainReport, Grade, Party};
use anyhow::anyhow;

use crate::arguments::{self, Domain};
use crate::domains::{Known, examine};
use crate::failure::{Code, Failure, Result};
use crate::output;

/// Does it.
pub(crate) async fn run(domain: &Domain) -> Result {
    let Domain::Check(check) = domain;
    self::check(check).await
}

async fn check(check: &arguments::DomainCheck) -> Result {
    let settings = settings::load(&check.file.config)?;
    let known = Known { sources: check.ip.clone(), helo: check.helo.clone() };
    let report = examine(settings, known, &check.domain).await?;
    if check.file.json {
        output::json(&report)?;
    } else {
        output::line(text(&report))?;
    }
    let failed = report.checks.iter().filter(|check| check.grade == Grade::Fail).count();
    if failed == 0 {
        return Ok(());
    }
    let checks =
        if failed == 1 { "1 check fails".to_owned() } else { format!("{failed} checks fail") };
    Err(Failure {
        error: anyhow!("{checks} for {}", report.domain),
        hint: None,
        code: Code::Failed,
    })
}

/// A table, and below it what to do, with each record in a line of its own so that it can be copied.
fn text(report: &DomainReport) -> String {
    let mut table = output::table(["", "check", "found"]);
    for check in &report.checks {
        table.add_row([word(check.grade), &check.name, &check.found]);
    }
    let mut text = table.to_string();
    for check in &report.checks {
        if let Some(advice) = &check.advice {
            text.push_str(&to_do(check, advice));
        }
    }
    text
}

fn to_do(check: &DomainCheck, advice: &DomainAdvice) -> String {
    let party = match advice.party {
        Party::Owner => "the domain's owner",
        Party::Operator => "the operator of this relay",
    };
    let mut text = format!("\n\n{}, {party}: {}", check.name, advice.words);
    if let Some(record) = &advice.record {
        text.extend(["\n    ", &record.line]);
    }
    text
}

const fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::Pass => "pass",
        Grade::Warn => "warn",
        Grade::Fail => "fail",
    }
}
