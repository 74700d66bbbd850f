//! From Exchange's words to ours.

use std::fmt;

use admin::view::{Action, Direction, Edit, Fields};
use serde_json::{Map, Value, json};

use crate::check::is_plain;
use crate::edit::defaults;
use crate::exchange::parameter::{Effect, Kind, all, command};
use crate::exchange::powershell::{Unreadable, commands};

/// Connectors that were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// What makes them ours.
    pub edits: Vec<Edit>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// Everything that cannot be taken over, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct ImportError(Vec<String>);

impl fmt::Display for ImportError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("\n"))
    }
}

impl ImportError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        "leave out what has no effect here, or write it in another way; nothing was changed"
    }
}

/// Reads commands of PowerShell or JSON.
///
/// # Errors
/// When a parameter has no effect here and does not say what is the case anyway, or the text cannot be read.
pub fn import(text: &str) -> Result<Imported, ImportError> {
    let is_json = text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[']);
    let written = if is_json { from_json(text) } else { from_commands(text) };
    let (mut imported, mut problems) = (Imported::default(), Vec::new());
    for one in written.map_err(|words| ImportError(vec![words]))? {
        let mut taking =
            Taking { one: &one, fields: Fields::new(), notes: Vec::new(), problems: Vec::new() };
        let name = taking.take();
        problems.append(&mut taking.problems);
        imported.notes.append(&mut taking.notes);
        let fields = std::mem::take(&mut taking.fields);
        imported.edits.push(Edit { direction: one.direction, name, action: Action::Put(fields) });
    }
    if problems.is_empty() { Ok(imported) } else { Err(ImportError(problems)) }
}

/// One connector as it was written.
struct Written {
    direction: Direction,
    parameters: Vec<(String, Value)>,
    own: Map<String, Value>,
    place: String,
}

fn from_commands(text: &str) -> Result<Vec<Written>, String> {
    let read =
        commands(text).map_err(|Unreadable { line, words }| format!("line {line}: {words}"))?;
    let mut list = Vec::new();
    for one in read {
        let is_it = |direction: &Direction| command(*direction).eq_ignore_ascii_case(&one.name);
        let Some(direction) = Direction::ALL.into_iter().find(is_it) else {
            return Err(format!(
                "line {}: `{}` is not taken; only New-InboundConnector and New-OutboundConnector are",
                one.line, one.name
            ));
        };
        let place = format!("line {}", one.line);
        list.push(Written { direction, parameters: one.parameters, own: one.own, place });
    }
    if list.is_empty() {
        return Err("there is no New-InboundConnector and no New-OutboundConnector".to_owned());
    }
    Ok(list)
}

/// Their words for whose clients a connector is for, and ours.
pub(super) const CONNECTOR_TYPES: [(&str, &str); 2] =
    [("OnPremises", "on_premises"), ("Partner", "partner")];

/// The key of our own fields in JSON.
pub(super) const OWN: &str = "Chasqui";

fn from_json(text: &str) -> Result<Vec<Written>, String> {
    let read: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| format!("this is not JSON: {error}"))?;
    let items = match read {
        Value::Array(items) => items,
        one => vec![one],
    };
    let mut list = Vec::new();
    for (number, item) in items.into_iter().enumerate() {
        let place = format!("connector {}", number + 1);
        let Value::Object(mut fields) = item else {
            return Err(format!("{place}: is no object"));
        };
        let has = |key: &str| fields.keys().any(|other| other.eq_ignore_ascii_case(key));
        let direction = if has("SenderIPAddresses") || has("SenderDomains") {
            Direction::Inbound
        } else if has("RecipientDomains") || has("SmartHosts") {
            Direction::Outbound
        } else {
            return Err(format!(
                "{place}: has neither SenderIPAddresses nor RecipientDomains, so it is no connector"
            ));
        };
        let own = match fields.remove(OWN) {
            Some(Value::Object(own)) => own,
            _ => Map::new(),
        };
        list.push(Written { direction, parameters: fields.into_iter().collect(), own, place });
    }
    Ok(list)
}

struct Taking<'a> {
    one: &'a Written,
    fields: Fields,
    notes: Vec<String>,
    problems: Vec<String>,
}

impl Taking<'_> {
    fn refuse(&mut self, parameter: &str, words: &str) {
        self.problems.push(format!("{}: -{parameter} {words}", self.one.place));
    }

    fn note(&mut self, words: &str) {
        self.notes.push(format!("{}: {words}", self.one.place));
    }

    /// What the parameter says; none if it says nothing.
    fn said(&self, name: &str) -> Option<&Value> {
        let mut all = self.one.parameters.iter();
        let found = all.rfind(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !is_nothing(value))
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.said(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Array(items) => Some(texts(items).join(",")),
            other => Some(other.to_string()),
        }
    }

    /// Fills the fields; gives the name.
    fn take(&mut self) -> String {
        let known = defaults(self.one.direction);
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in &self.one.parameters {
            let mut parameters = all(self.one.direction);
            let Some(parameter) = parameters.find(|it| it.name.eq_ignore_ascii_case(name)) else {
                let command = command(self.one.direction);
                self.refuse(name, &format!("is no parameter of {command} that is known here"));
                continue;
            };
            if seen.iter().any(|other| other == parameter.name) {
                self.refuse(name, "is given twice");
            }
            seen.push(parameter.name.to_owned());
            match parameter.effect {
                Effect::Described | Effect::Own => {}
                Effect::Nothing(_) if is_nothing(value) => {
                    self.note(&format!("-{} is so anyway", parameter.name));
                }
                Effect::Nothing(why) => self.refuse(name, &format!("has no effect here: {why}")),
                Effect::Field(field, kind) => self.field((name, value), field, kind, &known),
            }
        }
        self.connector_type();
        match self.one.direction {
            Direction::Inbound => self.certificate(),
            Direction::Outbound => {
                self.hosts();
                self.tls();
            }
        }
        self.fields.extend(self.one.own.clone());
        self.name()
    }

    fn field(&mut self, (name, value): (&str, &Value), field: &str, kind: Kind, known: &Fields) {
        if value.is_null() {
            return;
        }
        if !known.contains_key(field) {
            if is_nothing(value) {
                self.note(&format!("-{name} is so anyway"));
            } else {
                let direction = self.one.direction;
                self.refuse(name, &format!("has no effect here: no {direction} connector has it"));
            }
            return;
        }
        let items = match value {
            Value::Array(items) => texts(items),
            one => texts(std::slice::from_ref(one)),
        };
        let value = match kind {
            Kind::Flag => match flag(value) {
                Some(flag) => flag.into(),
                None => return self.refuse(name, "is neither $true nor $false"),
            },
            Kind::Text => items.join(",").into(),
            Kind::Texts | Kind::Domains if is_nothing(value) => return,
            Kind::Texts => items.into(),
            Kind::Domains => items.iter().map(|text| domain(text)).collect(),
        };
        self.fields.insert(field.to_owned(), value);
    }

    fn name(&mut self) -> String {
        let Some(name) = self.text("Name").or_else(|| self.text("Identity")) else {
            self.refuse("Name", "is missing");
            return String::new();
        };
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
            .take(64)
            .collect();
        if !is_plain(&plain) {
            self.refuse("Name", "cannot be a name here");
        }
        if plain != name {
            self.note(&format!("`{name}` is called `{plain}` here"));
        }
        plain
    }

    /// Exchange takes a connector for that of a partner if it is told nothing.
    fn connector_type(&mut self) {
        let text = self.text("ConnectorType");
        if self.one.direction == Direction::Outbound {
            if let Some(text) = text {
                self.note(&format!("-ConnectorType {text} makes no difference here"));
            }
            return;
        }
        let text = text.unwrap_or_else(|| "Partner".to_owned());
        match CONNECTOR_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text)) {
            Some((_, kind)) => {
                self.fields.insert("connector_type".to_owned(), (*kind).into());
            }
            None => self.refuse("ConnectorType", "is neither OnPremises nor Partner"),
        }
    }

    fn certificate(&mut self) {
        let Some(text) = self.text("TlsSenderCertificateName") else { return };
        let (issuer, subject) = match text.strip_prefix("<I>") {
            Some(rest) => match rest.split_once("<S>") {
                Some((issuer, subject)) => (Some(issuer), subject),
                None => {
                    return self.refuse("TlsSenderCertificateName", "has an <I> without an <S>");
                }
            },
            None => (None, text.strip_prefix("<S>").unwrap_or(&text)),
        };
        self.fields
            .insert("tls_sender_certificate_names".to_owned(), json!([common_name(subject)]));
        if let Some(issuer) = issuer {
            self.fields.insert("tls_sender_certificate_issuers".to_owned(), json!([issuer]));
        }
    }

    fn hosts(&mut self) {
        let hosts = match self.said("SmartHosts") {
            Some(Value::Array(items)) => texts(items),
            Some(one) => texts(std::slice::from_ref(one)),
            None => Vec::new(),
        };
        let (is_empty, one) = (
            hosts.is_empty(),
            |host: &String| json!({ "host": host.trim_start_matches('[').trim_end_matches(']') }),
        );
        if !is_empty {
            self.fields.insert("smart_hosts".to_owned(), hosts.iter().map(one).collect());
        }
        let stated =
            self.one.parameters.iter().rfind(|(it, _)| it.eq_ignore_ascii_case("UseMXRecord"));
        let Some((_, stated)) = stated.filter(|(_, value)| !value.is_null()) else { return };
        let Some(by_mx) = flag(stated) else {
            return self.refuse("UseMXRecord", "is neither $true nor $false");
        };
        if by_mx != is_empty {
            self.refuse(
                "UseMXRecord",
                "does not go with -SmartHosts: mail goes by MX if there are none",
            );
        }
    }

    fn tls(&mut self) {
        let settings = self.text("TlsSettings");
        let domain = self.text("TlsDomain");
        let is = |name: &str| settings.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(name));
        let level = if settings.is_none() {
            None
        } else if is("EncryptionOnly") {
            Some("encrypt")
        } else if is("CertificateValidation") || is("DomainValidation") {
            Some("verify")
        } else {
            const WORDS: &str =
                "is none of EncryptionOnly, CertificateValidation and DomainValidation";
            return self.refuse("TlsSettings", WORDS);
        };
        if is("CertificateValidation") {
            self.note(
                "-TlsSettings CertificateValidation: here the certificate must name the host too",
            );
        }
        if let Some(level) = level {
            self.fields.insert("tls".to_owned(), level.into());
        }
        match domain {
            Some(domain) if is("DomainValidation") => {
                self.fields.insert("tls_domain".to_owned(), domain.into());
            }
            Some(_) => {
                self.refuse("TlsDomain", "has an effect only with -TlsSettings DomainValidation");
            }
            None if is("DomainValidation") => {
                self.refuse("TlsSettings", "DomainValidation needs -TlsDomain");
            }
            None => {}
        }
    }
}

/// Whether a value says nothing, or no.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => {
            text.is_empty()
                || text.eq_ignore_ascii_case("false")
                || text.eq_ignore_ascii_case("none")
        }
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn texts(items: &[Value]) -> Vec<String> {
    let text = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    items.iter().map(text).collect()
}

/// `smtp:example.com;1` is `example.com`.
fn domain(text: &str) -> String {
    let inner = match text.split_once(':') {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("smtp") => rest,
        _ => text,
    };
    inner.split(';').next().unwrap_or(inner).to_owned()
}

/// `C=US,CN=mail.example.com` is `mail.example.com`.
fn common_name(subject: &str) -> &str {
    let mut parts = subject.split(',').map(str::trim);
    let is_it = |part: &&str| part.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("cn="));
    parts.find(is_it).and_then(|part| part.get(3..)).unwrap_or(subject)
}
