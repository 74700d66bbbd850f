//! `connector test`, and `--test` of a change.

use std::fmt::Write;

use admin::view::{Direction, Edit, Trial, Tried};
use anyhow::anyhow;

use super::home::Home;
use crate::arguments::{ConnectorTest, TestFirst};
use crate::failure::{Code, Failure, Result};
use crate::output;

/// Does it.
pub(super) async fn run(test: &ConnectorTest) -> Result {
    let home = Home::of(&test.ask.reach).await?;
    let all = home.connectors().await?;
    let mut named = all.iter().filter(|one| one.name == test.name).map(|one| one.direction);
    if named.next() == Some(Direction::Inbound) && named.next().is_none() {
        return Err(inbound(&test.name));
    }
    let trial =
        Trial { from: test.from.clone(), to: test.to.clone(), probe: test.probe, action: None };
    let tried = home.test(&test.name, trial).await?;
    if test.ask.json {
        output::json(&tried)?;
    } else {
        show(&tried)?;
    }
    if !tried.is_failed() {
        return Ok(());
    }
    Err(Failure {
        error: anyhow!("mail does not go by the outbound connector `{}`", tried.connector),
        hint: None,
        code: Code::Failed,
    })
}

fn inbound(name: &str) -> Failure {
    const HINT: &str =
        "only outbound connectors are tried; `chasqui connector show` says whom this one lets in";
    Failure {
        error: anyhow!("`{name}` is an inbound connector, and no mail leaves by it"),
        hint: Some(HINT.to_owned()),
        code: Code::Arguments,
    }
}

/// Tries a connector as it would be after `edit`, if that was asked for.
pub(super) async fn first(
    home: &Home<'_>,
    first: &TestFirst,
    edit: &Edit,
) -> Result<Option<Tried>> {
    let (true, Some(from), Some(to)) = (first.test, &first.from, &first.to) else {
        return Ok(None);
    };
    if edit.direction == Direction::Inbound {
        return Err(inbound(&edit.name));
    }
    let action = Some(edit.action.clone());
    let trial = Trial { from: from.clone(), to: to.clone(), probe: false, action };
    home.test(&edit.name, trial).await.map(Some)
}

/// Shows each step, and what to do.
pub(super) fn show(tried: &Tried) -> Result {
    output::line(text(tried))
}

fn text(tried: &Tried) -> String {
    let mut text = String::new();
    let longest = tried.steps.iter().map(|one| one.step.len()).max().unwrap_or_default();
    let width = longest.saturating_add(1).max(9);
    for one in &tried.steps {
        let (step, verdict) = (&one.step, &one.verdict);
        let host = one.host.as_ref().map(|host| format!("{host}: ")).unwrap_or_default();
        // Writing to a string never fails.
        let _always = if verdict == "skipped" {
            writeln!(text, "{step:<width$}{verdict:<9}          {}", one.text)
        } else {
            writeln!(
                text,
                "{step:<width$}{verdict:<9}{:>6} ms {host}{}",
                one.milliseconds, one.text
            )
        };
        if let Some(advice) = &one.advice {
            let _always = writeln!(text, "{:<1$}→ {advice}", "", width.saturating_add(19));
        }
    }
    let Tried { connector, verdict, milliseconds, .. } = tried;
    let _always = write!(text, "outbound connector {connector}: {verdict} after {milliseconds} ms");
    text
}

#[cfg(test)]
mod tests {
    use admin::view::TrialStep;

    use super::*;

    #[test]
    fn each_step_has_a_line_and_advice_another() {
        let step = |step: &str, verdict: &str, text: &str| TrialStep {
            step: step.to_owned(),
            verdict: verdict.to_owned(),
            milliseconds: 12,
            host: Some("mx.example[192.0.2.1]:25".to_owned()),
            text: text.to_owned(),
            advice: (verdict == "fail").then(|| "do it better".to_owned()),
        };
        let steps = vec![step("rcpt", "fail", "550 no"), step("reset", "skipped", "not reached")];
        let tried = Tried {
            connector: "a".to_owned(),
            verdict: "fail".to_owned(),
            milliseconds: 30,
            steps,
        };
        assert!(tried.is_failed());
        assert_eq!(
            text(&tried),
            "rcpt     fail         12 ms mx.example[192.0.2.1]:25: 550 no
                            → do it better
reset    skipped            not reached
outbound connector a: fail after 30 ms"
        );
    }
}
