//! Connectors as the control API shows and changes them.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::view::trial::Tried;

/// Fields of a connector, named as in the settings.
pub type Fields = Map<String, Value>;

/// Which way mail passes a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Mail comes in.
    Inbound,
    /// Mail goes out.
    Outbound,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// As it stands in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// One connector.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Connector {
    /// Which way.
    pub direction: Direction,
    /// Its name, which no other of its direction has.
    pub name: String,
    /// Whether it is used.
    pub enabled: bool,
    /// The file it stands in.
    pub file: PathBuf,
    /// Every field, with its default where the file says nothing.
    pub fields: Fields,
    /// How much it has sent, if it has limits and a relay runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// How much it has taken, if it is an inbound one with limits and a relay runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intake: Option<Intake>,
}

/// How much a connector with limits has sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Usage {
    /// Messages since 00:00 UTC; counted only if there is a daily limit.
    pub sent_today: u64,
    /// How many it may send in a day.
    pub daily_max: Option<u64>,
    /// Until when it takes no more, if it is at a limit.
    pub full_until: Option<String>,
    /// Whether its mail goes another way for now.
    pub is_spilling: bool,
}

impl fmt::Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(max) = self.daily_max {
            write!(out, "{} of {max} sent today", self.sent_today)?;
        }
        let Some(until) = &self.full_until else { return Ok(()) };
        let comma = if self.daily_max.is_some() { ", " } else { "" };
        let what = if self.is_spilling { "mail goes another way" } else { "mail waits" };
        write!(out, "{comma}{what} until {until}")
    }
}

/// How much an inbound connector with limits has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Intake {
    /// Connections that have begun a message.
    pub connections: u64,
    /// How many there may be.
    pub connections_max: Option<u32>,
    /// Messages since 00:00 UTC; counted over restarts only if they are limited.
    pub messages_today: u64,
    /// How many there may be.
    pub daily_messages_max: Option<u32>,
    /// Recipients since 00:00 UTC; counted over restarts only if they are limited.
    pub recipients_today: u64,
    /// How many there may be.
    pub daily_recipients_max: Option<u32>,
    /// Until when no more is taken, if a limit of the day is reached.
    pub full_until: Option<String>,
}

impl fmt::Display for Intake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: u64, max: Option<u32>, what: &str| match max {
            Some(max) => format!("{count} of {max} {what}"),
            None => format!("{count} {what}"),
        };
        let connections = of(self.connections, self.connections_max, "connections");
        let messages = of(self.messages_today, self.daily_messages_max, "messages");
        let recipients = of(self.recipients_today, self.daily_recipients_max, "recipients");
        write!(out, "{connections}, {messages} and {recipients} today")?;
        self.full_until.iter().try_for_each(|until| write!(out, ", no more until {until}"))
    }
}

/// All connectors, the inbound ones first, each in the order of the settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Connectors {
    /// The connectors.
    pub connectors: Vec<Connector>,
}

/// One wish to change a connector.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Edit {
    /// Which way.
    pub direction: Direction,
    /// Its name.
    pub name: String,
    /// What is to be done with it.
    pub action: Action,
}

impl Edit {
    /// Which connector, and what is to be done, without a value.
    pub fn outline(&self) -> String {
        let (action, fields) = match &self.action {
            Action::Add(fields) => ("add", Some(fields)),
            Action::Put(fields) => ("put", Some(fields)),
            Action::Set(fields) => ("set", Some(fields)),
            Action::Remove => ("remove", None),
        };
        let fields = fields.into_iter().flat_map(Fields::keys).map(String::as_str);
        outline((self.direction, &self.name), action, fields)
    }
}

/// What is to be done with a connector.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new, with these fields.
    Add(Fields),
    /// It has these fields and no others, be it new or not.
    Put(Fields),
    /// These fields change; `null` gives one its default back, and tables are gone into (RFC 7396).
    Set(Fields),
    /// It goes.
    Remove,
}

/// Whether edits are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Say what would change, and change nothing.
    Dry,
    /// Do it.
    Real,
}

/// What has become of a connector, or would.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Change {
    /// Which way.
    pub direction: Direction,
    /// Its name.
    pub name: String,
    /// What.
    pub kind: ChangeKind,
    /// The fields that differ; for a new one, those that are not the default.
    pub fields: Vec<FieldChange>,
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It has other fields.
    Changed,
    /// It is gone.
    Removed,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct FieldChange {
    /// Its name; `limits.connections_max` is a field of a table.
    pub field: String,
    /// What it was; none if there was nothing.
    pub old: Option<Value>,
    /// What it is; none if there is nothing.
    pub new: Option<Value>,
}

/// The answer to edits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Changes {
    /// Whether it is done; false for a dry run.
    pub done: bool,
    /// What changes.
    pub changes: Vec<Change>,
    /// What else is to be known, such as a value that says here what is the case anyway.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What is odd about what changes, or is odd since: as `config check` warns of it.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What the trial that was asked for came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Tried>,
}

impl ChangeKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Added => "new",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

impl Change {
    /// Which connector, what has become of it, and which fields differ, without a value.
    pub fn outline(&self) -> String {
        let fields = self.fields.iter().map(|it| it.field.as_str());
        outline((self.direction, &self.name), self.kind.name(), fields)
    }
}

fn outline<'a>(
    (direction, name): (Direction, &str),
    what: &str,
    fields: impl Iterator<Item = &'a str>,
) -> String {
    let fields = fields.collect::<Vec<_>>().join(", ");
    let colon = if fields.is_empty() { "" } else { ": " };
    format!("{direction} {name} {what}{colon}{fields}")
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} connector {}: {}", self.direction, self.name, self.kind.name())?;
        if self.kind == ChangeKind::Removed {
            return Ok(());
        }
        for FieldChange { field, old, new } in &self.fields {
            let text = |value: &Option<Value>| {
                value.as_ref().map_or("nothing".to_owned(), ToString::to_string)
            };
            write!(out, "\n  {field}: {} → {}", text(old), text(new))?;
        }
        Ok(())
    }
}

/// What is to be tried.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The sender that MAIL names; empty is the null sender.
    pub from: String,
    /// The recipient that RCPT names.
    pub to: String,
    /// Whether a small message is really sent.
    #[serde(default)]
    pub probe: bool,
    /// The connector as it would be with this done; nothing is saved.
    #[serde(default)]
    pub action: Option<Action>,
}

/// The words of other programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// Exchange's commands `New-InboundConnector` and `New-OutboundConnector`.
    #[default]
    Powershell,
    /// What `Get-InboundConnector | ConvertTo-Json` writes.
    Json,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reloaded {
    /// The keys of the settings that differ and take effect at the next start only.
    pub needs_restart: Vec<String>,
}
