//! What differs between two sets of connectors, field by field, whatever the fields are.

use std::collections::{BTreeMap, BTreeSet};

use admin::view::{Change, ChangeKind, Connector, Direction, FieldChange, Fields};
use policy::config::{InboundConnector, OutboundConnector};
use serde::Serialize;
use serde_json::Value;

use crate::settings::Settings;
use crate::tree::Step;

/// One connector of the settings.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) direction: Direction,
    pub(super) name: String,
    pub(super) number: usize,
    /// All but the name.
    pub(super) fields: Fields,
}

impl Listed {
    /// Where it stands in the settings.
    pub(super) fn way(&self) -> [Step; 3] {
        let key = |name: &str| Step::Key(name.to_owned());
        [key(self.direction.name()), Step::Item(self.number), key("name")]
    }
}

/// All connectors, the inbound ones first.
pub(super) fn listed(settings: &Settings) -> Vec<Listed> {
    let mut list = of(Direction::Inbound, &settings.inbound);
    list.extend(of(Direction::Outbound, &settings.outbound));
    list
}

fn of<T: Serialize>(direction: Direction, connectors: &[T]) -> Vec<Listed> {
    let one = |(number, connector)| {
        let mut fields = object(connector);
        let name = fields.remove("name");
        let name = name.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        Listed { direction, name, number, fields }
    };
    connectors.iter().enumerate().map(one).collect()
}

/// The fields of a connector as JSON, without what is not set.
fn object<T: Serialize>(connector: &T) -> Fields {
    // What came from a file can be printed.
    match serde_json::to_value(connector) {
        Ok(Value::Object(mut fields)) => {
            fields.retain(|_, value| !value.is_null());
            fields
        }
        _ => Fields::new(),
    }
}

/// What changes from `old` to `new`, in the order of the new ones; what is removed comes last.
pub(super) fn between(old: &[Listed], new: &[Listed]) -> Vec<Change> {
    let key = |one: &Listed| (one.direction, one.name.clone());
    let before: BTreeMap<_, _> = old.iter().map(|one| (key(one), &one.fields)).collect();
    let after: BTreeSet<_> = new.iter().map(key).collect();
    let mut changes = Vec::new();
    for one in new {
        let (kind, old) = match before.get(&key(one)) {
            Some(fields) => (ChangeKind::Changed, (*fields).clone()),
            None => (ChangeKind::Added, defaults(one.direction)),
        };
        let fields = fields(&old, &one.fields);
        if kind == ChangeKind::Added || !fields.is_empty() {
            changes.push(Change { direction: one.direction, name: one.name.clone(), kind, fields });
        }
    }
    let gone = old.iter().filter(|one| !after.contains(&key(one)));
    changes.extend(gone.map(|one| Change {
        direction: one.direction,
        name: one.name.clone(),
        kind: ChangeKind::Removed,
        fields: Vec::new(),
    }));
    changes
}

/// Every field of a connector about which nothing is said; null where there is none.
pub(crate) fn defaults(direction: Direction) -> Fields {
    let fields = match direction {
        Direction::Inbound => serde_json::to_value(InboundConnector::default()),
        Direction::Outbound => serde_json::to_value(OutboundConnector::default()),
    };
    // Defaults can be printed.
    let mut fields = match fields {
        Ok(Value::Object(fields)) => fields,
        _ => Fields::new(),
    };
    fields.remove("name");
    fields
}

fn fields(old: &Fields, new: &Fields) -> Vec<FieldChange> {
    let (old, new) = (flat(old), flat(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |field: &String| FieldChange {
        field: field.clone(),
        old: old.get(field).cloned(),
        new: new.get(field).cloned(),
    };
    names.into_iter().map(change).filter(|change| change.old != change.new).collect()
}

/// The fields that are set, with those of tables in them.
fn flat(fields: &Fields) -> BTreeMap<String, Value> {
    let mut all = leaves(fields);
    all.retain(|_, value| !value.is_null());
    all
}

fn leaves(fields: &Fields) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (key, value) in fields {
        match value {
            Value::Object(inner) => {
                let inner = leaves(inner).into_iter();
                all.extend(inner.map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            _ => {
                all.insert(key.clone(), value.clone());
            }
        }
    }
    all
}

/// A field of a connector as it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// Its name, as an edit names it; `limits.connections_max` is a field of a table.
    pub field: String,
    /// Its value; none if it has none.
    pub value: Option<Value>,
    /// Whether it is as it would be if nothing were said.
    pub is_default: bool,
}

/// Every field that a connector has or could have, by name.
pub fn effective(connector: &Connector) -> Vec<Effective> {
    let (usual, own) = (leaves(&defaults(connector.direction)), flat(&connector.fields));
    let is_table = |name: &str| {
        let mut inner = own.keys().filter_map(|key| key.strip_prefix(name));
        inner.any(|rest| rest.starts_with('.'))
    };
    let names: BTreeSet<_> = usual.keys().chain(own.keys()).collect();
    let names = names.into_iter().filter(|name| !is_table(name));
    let one = |name: &String| {
        let value = own.get(name).cloned();
        let usual = usual.get(name).filter(|value| !value.is_null());
        Effective { field: name.clone(), is_default: value.as_ref() == usual, value }
    };
    names.map(one).collect()
}
