//! `chasqui config`.

use anyhow::Context;
use serde::Serialize;
use settings::{Finding, LoadError, Problem, Settings};
use units::Clock;

use crate::arguments::{Config, ConfigFile};
use crate::failure::{Failure, Result};
use crate::{certificates, logins, look, output};

/// What `config check --json` says.
#[derive(Debug, Serialize)]
struct Checked {
    ok: bool,
    file: String,
    problems: Vec<Said>,
    /// What is odd and works.
    warnings: Vec<Said>,
}

#[derive(Debug, Serialize)]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    key: Option<String>,
    error: String,
    hint: Option<String>,
}

/// Does it.
pub(crate) fn run(config: &Config) -> Result {
    match config {
        Config::Check(file) => check(file),
        Config::Show(file) => show(file),
    }
}

fn check(file: &ConfigFile) -> Result {
    let look = |settings: &Settings| {
        let policy = look::all(settings)?;
        let mut findings = certificates::expired(settings, Clock::system().unix_millis() / 1000);
        findings.extend(logins::findings(settings));
        Finding::none_of(findings).map(|()| policy)
    };
    let checked = settings::load_and_make(&file.config, look, look::odd);
    let (odd, checked) = match checked {
        Ok(loaded) => (loaded.odd, Ok(())),
        Err(error) => (None, Err(Failure::from(error))),
    };
    let warnings = odd.iter().flat_map(|odd| &odd.list).map(said).collect();
    let name = file.config.display();
    let all = |problems: Vec<Said>| Checked {
        ok: problems.is_empty(),
        file: name.to_string(),
        problems,
        warnings,
    };
    match (file.json, checked) {
        (false, Ok(())) => {
            for line in odd.iter().flat_map(settings::Problems::lines) {
                output::note(format!("warning: {line}"));
            }
            output::line(format!("{name} is good"))
        }
        (false, Err(failure)) => Err(failure),
        (true, Ok(())) => output::json(&all(Vec::new())),
        (true, Err(failure)) => {
            output::json(&all(problems(&failure)))?;
            Err(failure)
        }
    }
}

fn said(problem: &Problem) -> Said {
    Said {
        file: problem.file.as_ref().map(|file| file.display().to_string()),
        line: problem.position.map(|(line, _)| line),
        column: problem.position.map(|(_, column)| column),
        key: problem.key.clone(),
        error: problem.error.clone(),
        hint: problem.hint.clone(),
    }
}

fn problems(failure: &Failure) -> Vec<Said> {
    if let Some(LoadError::Wrong(problems)) = failure.error.downcast_ref() {
        return problems.list.iter().map(said).collect();
    }
    let hint = failure.hint.clone();
    vec![said(&Problem { hint, ..Problem::new(format!("{:#}", failure.error)) })]
}

fn show(file: &ConfigFile) -> Result {
    let settings = settings::load(&file.config)?;
    if file.json {
        return output::json(&settings);
    }
    let text = settings::to_toml(&settings).context("the settings cannot be printed")?;
    output::line(text.trim_end())
}
