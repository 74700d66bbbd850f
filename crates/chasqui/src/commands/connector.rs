//! `chasqui connector`.

mod home;
mod trial;

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use admin::view::{Action, Changes, Connector, Direction, Edit, ExportFormat, Fields, Run, Tried};
use anyhow::anyhow;
use settings::{Effective, exchange};

use self::home::Home;
use crate::arguments::{
    self, ConnectorAdd, ConnectorExport, ConnectorImport, ConnectorSet, ConnectorWhich, Yes,
};
use crate::failure::{Code, Failure, Result};
use crate::output;

/// Does it.
pub(crate) async fn run(connector: &arguments::Connector) -> Result {
    use arguments::Connector as Do;
    match connector {
        Do::List(ask) => {
            let all = Home::of(&ask.reach).await?.connectors().await?;
            if ask.json { output::json(&all) } else { output::line(list_text(&all)) }
        }
        Do::Show(which) => show(which).await,
        Do::Add(add) => self::add(add).await,
        Do::Set(set) => self::set(set).await,
        Do::Enable(which) => change(&which.which, &which.yes, enabled(true.into())).await,
        Do::Disable(which) => change(&which.which, &which.yes, enabled(false.into())).await,
        Do::Remove(which) => change(&which.which, &which.yes, Action::Remove).await,
        Do::Test(test) => trial::run(test).await,
        Do::Import(import) => self::import(import).await,
        Do::Export(export) => self::export(export).await,
    }
}

fn enabled(value: serde_json::Value) -> Action {
    Action::Set(std::iter::once(("enabled".to_owned(), value)).collect())
}

async fn show(which: &ConnectorWhich) -> Result {
    let home = Home::of(&which.ask.reach).await?;
    let all = home.connectors().await?;
    let found = find(&all, &which.name, which.direction.direction())?;
    if which.ask.json {
        return output::json(found);
    }
    let mut table = output::table(["field", "value"]);
    for Effective { field, value, is_default } in settings::effective(found) {
        let value = value.map_or_else(|| "not set".to_owned(), |value| value.to_string());
        table.add_row([field, if is_default { format!("{value} (default)") } else { value }]);
    }
    let usage = said(found).map(|usage| format!("\n{usage}")).unwrap_or_default();
    let state = if found.enabled { "" } else { ", disabled" };
    let file = found.file.display();
    output::line(format!(
        "{} connector {}{state}, in {file}\n{table}{usage}",
        found.direction, found.name
    ))
}

/// How much has gone or come by it, if that is limited.
fn said(one: &Connector) -> Option<String> {
    let sent = one.usage.as_ref().map(ToString::to_string);
    sent.or_else(|| one.intake.as_ref().map(ToString::to_string))
}

fn list_text(all: &[Connector]) -> String {
    if all.is_empty() {
        return "there are no connectors".to_owned();
    }
    let mut table = output::table(["direction", "name", "enabled", "limits", "file"]);
    for one in all {
        let enabled = if one.enabled { "yes" } else { "no" };
        let file = one.file.display().to_string();
        let usage = said(one).unwrap_or_default();
        let direction = one.direction.to_string();
        table.add_row([direction, one.name.clone(), enabled.to_owned(), usage, file]);
    }
    table.to_string()
}

async fn add(add: &ConnectorAdd) -> Result {
    let direction = add.direction.direction().ok_or_else(|| Failure {
        error: anyhow!("which way mail goes is not said"),
        hint: Some("add --inbound or --outbound".to_owned()),
        code: Code::Arguments,
    })?;
    let action = Action::Add(fields(&add.fields)?);
    let home = Home::of(&add.ask.reach).await?;
    let edit = Edit { direction, name: add.name.clone(), action };
    let tried = trial::first(&home, &add.first, &edit).await?;
    done(&home, &add.ask.json, &add.yes, (vec![edit], tried)).await
}

async fn set(set: &ConnectorSet) -> Result {
    let action = Action::Set(fields(&set.fields)?);
    let home = Home::of(&set.which.ask.reach).await?;
    let edit = found(&home, &set.which, action).await?;
    let tried = trial::first(&home, &set.first, &edit).await?;
    done(&home, &set.which.ask.json, &set.yes, (vec![edit], tried)).await
}

async fn change(which: &ConnectorWhich, yes: &Yes, action: Action) -> Result {
    let home = Home::of(&which.ask.reach).await?;
    let edit = found(&home, which, action).await?;
    done(&home, &which.ask.json, yes, (vec![edit], None)).await
}

/// The edit of a connector that is there.
async fn found(home: &Home<'_>, which: &ConnectorWhich, action: Action) -> Result<Edit> {
    let all = home.connectors().await?;
    let found = find(&all, &which.name, which.direction.direction())?;
    Ok(Edit { direction: found.direction, name: found.name.clone(), action })
}

async fn import(import: &ConnectorImport) -> Result {
    let mut text = String::new();
    if import.file == Path::new("-") {
        let read = io::stdin().lock().read_to_string(&mut text);
        read.map_err(|error| Failure::unreadable(error, "file", &import.file))?;
    } else {
        text = std::fs::read_to_string(&import.file)
            .map_err(|error| Failure::unreadable(error, "file", &import.file))?;
    }
    let imported = exchange::import(&text).map_err(|error| Failure {
        hint: Some(error.hint().to_owned()),
        error: error.into(),
        code: Code::Failed,
    })?;
    for note in &imported.notes {
        output::note(format!("note: {note}"));
    }
    let home = Home::of(&import.ask.reach).await?;
    done(&home, &import.ask.json, &import.yes, (imported.edits, None)).await
}

async fn export(export: &ConnectorExport) -> Result {
    let all = Home::of(&export.reach).await?.connectors().await?;
    let format = match export.format {
        arguments::ExportFormat::Powershell => ExportFormat::Powershell,
        arguments::ExportFormat::Json => ExportFormat::Json,
    };
    for note in all.iter().flat_map(exchange::left_out) {
        output::note(format!("note: {note}"));
    }
    output::line(exchange::export(&all, format).trim_end())
}

/// Shows what would change, asks, and does it.
async fn done(
    home: &Home<'_>,
    json: &bool,
    yes: &Yes,
    (edits, trial): (Vec<Edit>, Option<Tried>),
) -> Result {
    let planned = home.edit(&edits, Run::Dry).await?;
    let planned = Changes { trial: trial.clone(), ..planned };
    let (summary, is_nothing) = (summary(&planned), planned.changes.is_empty());
    for warning in planned.warnings.iter().filter(|_| !*json) {
        output::note(format!("warning: {warning}"));
    }
    if yes.dry_run || is_nothing {
        if *json {
            return output::json(&planned);
        }
        output::line(summary)?;
        return trial.as_ref().map_or(Ok(()), trial::show);
    }
    if !*json {
        output::line(&summary)?;
        trial.as_ref().map_or(Ok(()), trial::show)?;
    }
    if yes.yes && trial.as_ref().is_some_and(Tried::is_failed) {
        output::note("the test failed; it is saved all the same, as --yes says");
    }
    if !yes.yes && !is_wanted(trial.as_ref())? {
        return Err(Failure {
            error: anyhow!("nothing was changed"),
            hint: None,
            code: Code::Failed,
        });
    }
    let changes = home.edit(&edits, Run::Real).await?;
    if *json {
        return output::json(&Changes { trial, ..changes });
    }
    output::line(match home {
        Home::Relay(_) => "done; in effect",
        Home::Files(_) => "done; in effect at the next start, since no relay runs",
    })
}

fn summary(planned: &Changes) -> String {
    if planned.changes.is_empty() {
        return "nothing changes".to_owned();
    }
    planned.changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn is_wanted(trial: Option<&Tried>) -> Result<bool> {
    let is_failed = trial.is_some_and(Tried::is_failed);
    if !io::stdin().is_terminal() {
        let words = if is_failed {
            "the test failed, and nobody is there to be asked; nothing was changed"
        } else {
            "nobody is there to be asked"
        };
        return Err(Failure {
            error: anyhow!(words),
            hint: Some("say --yes to change it, or --dry-run to look only".to_owned()),
            code: Code::Arguments,
        });
    }
    let question =
        if is_failed { "The test failed. Change it all the same?" } else { "Change it?" };
    output::note(format!("{question} [y/N]"));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::from(anyhow::Error::new(error)))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The connector called `name`, if it is the only one.
fn find<'a>(
    all: &'a [Connector],
    name: &str,
    direction: Option<Direction>,
) -> Result<&'a Connector> {
    let fits = |one: &&Connector| {
        one.name == name && direction.is_none_or(|direction| one.direction == direction)
    };
    let mut found = all.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Failure {
            error: anyhow!("there is an inbound and an outbound connector `{name}`"),
            hint: Some("say --inbound or --outbound".to_owned()),
            code: Code::Arguments,
        }),
        (None, _) => Err(Failure {
            error: anyhow!("there is no connector `{name}`"),
            hint: Some("`chasqui connector list` names them".to_owned()),
            code: Code::Failed,
        }),
    }
}

/// `key=value` words, where a value is TOML and a key may go into tables.
fn fields(words: &[String]) -> Result<Fields> {
    settings::fields(words).map_err(|words| Failure {
        error: anyhow!(words),
        hint: Some(
            "write key=value with a value in TOML, such as enabled=false or 'sender_ip_addresses=[\"192.0.2.1\"]'"
                .to_owned(),
        ),
        code: Code::Arguments,
    })
}

#[cfg(test)]
mod tests {
    use admin::view::{Change, ChangeKind, FieldChange};

    use super::*;

    fn connector(direction: Direction, name: &str) -> Connector {
        let fields = Fields::new();
        Connector {
            direction,
            name: name.to_owned(),
            enabled: true,
            file: "x".into(),
            fields,
            usage: None,
            intake: None,
        }
    }

    #[test]
    fn the_direction_is_only_needed_where_both_have_the_name() {
        let all = [
            connector(Direction::Inbound, "a"),
            connector(Direction::Inbound, "b"),
            connector(Direction::Outbound, "b"),
        ];
        assert_eq!(find(&all, "a", None).unwrap().name, "a");
        assert!(find(&all, "a", Some(Direction::Outbound)).is_err());
        assert_eq!(find(&all, "b", None).unwrap_err().code, Code::Arguments);
        let found = find(&all, "b", Some(Direction::Outbound)).unwrap();
        assert_eq!(found.direction, Direction::Outbound);
        assert!(find(&all, "c", None).is_err());
    }

    #[test]
    fn a_summary_names_each_field() {
        let field = FieldChange {
            field: "limits.connections_max".to_owned(),
            old: Some(5.into()),
            new: None,
        };
        let change = |kind, fields| Change {
            direction: Direction::Outbound,
            name: "a".to_owned(),
            kind,
            fields,
        };
        let changes =
            vec![change(ChangeKind::Changed, vec![field]), change(ChangeKind::Removed, Vec::new())];
        let planned = Changes { changes, ..Changes::default() };
        assert_eq!(
            summary(&planned),
            "outbound connector a: changed\n  limits.connections_max: 5 → nothing\noutbound connector a: removed"
        );
        assert_eq!(summary(&Changes::default()), "nothing changes");
    }
}
