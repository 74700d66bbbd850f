//! One file as a tree that keeps its comments and its order.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml_edit::{
    Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value as Toml,
};

/// A field whose value TOML has no words for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) String);

/// One file.
#[derive(Debug)]
pub(super) struct Document {
    /// Its path.
    pub(super) file: PathBuf,
    root: DocumentMut,
}

impl Document {
    pub(super) const fn new(file: PathBuf, root: DocumentMut) -> Self {
        Self { file, root }
    }

    /// The place of the connector called `name` in the list `section`.
    pub(super) fn find(&self, section: &str, name: &str) -> Option<usize> {
        self.position(section, |table| {
            table.get("name").and_then(Item::as_str).is_some_and(|other| other == name)
        })
    }

    /// The place of the first table in the list `section` that `is_it`.
    pub(super) fn position(
        &self,
        section: &str,
        is_it: impl Fn(&dyn TableLike) -> bool,
    ) -> Option<usize> {
        match self.root.get(section)? {
            Item::ArrayOfTables(list) => list.iter().position(|table| is_it(table)),
            Item::Value(Toml::Array(list)) => list
                .iter()
                .position(|item| item.as_inline_table().is_some_and(|table| is_it(table))),
            _ => None,
        }
    }

    fn table(&mut self, section: &str, number: usize) -> Option<&mut dyn TableLike> {
        match self.root.get_mut(section)? {
            Item::ArrayOfTables(list) => {
                list.get_mut(number).map(|table| -> &mut dyn TableLike { table })
            }
            Item::Value(Toml::Array(list)) => {
                let table = list.get_mut(number)?.as_inline_table_mut();
                table.map(|table| -> &mut dyn TableLike { table })
            }
            _ => None,
        }
    }

    /// The document of `file`, a new one if there is none.
    pub(super) fn at(documents: &mut Vec<Self>, file: PathBuf) -> Option<&mut Self> {
        let known = documents.iter().position(|document| document.file == file);
        let known = known.unwrap_or_else(|| {
            documents.push(Self::new(file, DocumentMut::new()));
            documents.len() - 1
        });
        documents.get_mut(known)
    }

    /// Adds a table behind the others of this file; its name comes first.
    pub(super) fn add(
        &mut self,
        section: &str,
        name: Option<&str>,
        fields: &Map<String, Value>,
    ) -> Result<(), Wrong> {
        let mut table = Table::new();
        if let Some(name) = name {
            table.insert("name", toml_edit::value(name));
        }
        merge(&mut table, fields)?;
        let list = self.root.entry(section);
        match list.or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new())) {
            Item::Value(Toml::Array(list)) => list.push(table.into_inline_table()),
            Item::ArrayOfTables(list) => list.push(table),
            other => *other = Item::ArrayOfTables([table].into_iter().collect()),
        }
        Ok(())
    }

    /// Changes fields; null takes one out.
    pub(super) fn set(
        &mut self,
        section: &str,
        number: usize,
        fields: &Map<String, Value>,
    ) -> Result<(), Wrong> {
        self.table(section, number).map_or(Ok(()), |table| merge(table, fields))
    }

    /// Leaves these fields and no others.
    pub(super) fn put(
        &mut self,
        section: &str,
        number: usize,
        fields: &Map<String, Value>,
    ) -> Result<(), Wrong> {
        let Some(table) = self.table(section, number) else { return Ok(()) };
        let keys: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
        for key in keys.iter().filter(|key| *key != "name" && !fields.contains_key(*key)) {
            table.remove(key);
        }
        for (key, value) in fields.iter().filter(|(key, _)| *key != "name") {
            let is_same =
                table.get(key).is_some_and(|item| json(item).is_some_and(|old| old == *value));
            if !is_same {
                replace(table, key, value)?;
            }
        }
        Ok(())
    }

    /// Takes a connector out.
    pub(super) fn remove(&mut self, section: &str, number: usize) {
        let is_empty = match self.root.get_mut(section) {
            Some(Item::ArrayOfTables(list)) if number < list.len() => {
                list.remove(number);
                list.is_empty()
            }
            Some(Item::Value(Toml::Array(list))) if number < list.len() => {
                list.remove(number);
                list.is_empty()
            }
            _ => false,
        };
        if is_empty {
            self.root.remove(section);
        }
    }

    /// What it says now; none if it stands in `folder` and says nothing any more, not even in a comment.
    pub(super) fn text(&self, folder: &Path) -> Option<String> {
        let text = self.root.to_string();
        let is_over = self.file.parent() == Some(folder) && text.trim().is_empty();
        (!is_over).then_some(text)
    }
}

/// RFC 7396.
fn merge(table: &mut dyn TableLike, fields: &Map<String, Value>) -> Result<(), Wrong> {
    let inside = |key: &str| {
        let key = key.to_owned();
        move |Wrong(field)| Wrong(format!("{key}.{field}"))
    };
    for (key, value) in fields {
        match (value, table.get_mut(key).and_then(Item::as_table_like_mut)) {
            (Value::Null, _) => {
                table.remove(key);
            }
            (Value::Object(fields), Some(inner)) => merge(inner, fields).map_err(inside(key))?,
            // What is null in a table that is new says nothing.
            (Value::Object(fields), None) => {
                let mut inner = InlineTable::new();
                merge(&mut inner, fields).map_err(inside(key))?;
                put(table, key, Toml::InlineTable(inner));
            }
            _ => replace(table, key, value)?,
        }
    }
    Ok(())
}

fn replace(table: &mut dyn TableLike, key: &str, value: &Value) -> Result<(), Wrong> {
    let value = toml(value).ok_or_else(|| Wrong(key.to_owned()))?;
    put(table, key, value);
    Ok(())
}

/// Sets one value; what stands behind it in its line stays.
fn put(table: &mut dyn TableLike, key: &str, mut value: Toml) {
    match table.get_mut(key) {
        Some(item) => {
            if let Some(old) = item.as_value() {
                *value.decor_mut() = old.decor().clone();
            }
            *item = Item::Value(value);
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn toml(value: &Value) -> Option<Toml> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(it) => (*it).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None if number.is_f64() => number.as_f64()?.into(),
            None => return None,
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => Toml::Array(items.iter().map(toml).collect::<Option<Array>>()?),
        Value::Object(fields) => {
            let mut table = InlineTable::new();
            for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                table.insert(key, toml(value)?);
            }
            Toml::InlineTable(table)
        }
    })
}

/// What stands there as JSON; none for what JSON has no words for.
pub(super) fn json(item: &Item) -> Option<Value> {
    match item {
        Item::None => None,
        Item::Value(value) => plain(value),
        Item::Table(table) => object(table),
        Item::ArrayOfTables(list) => list.iter().map(|table| object(table)).collect(),
    }
}

fn object(table: &dyn TableLike) -> Option<Value> {
    let fields = table.iter().map(|(key, item)| Some((key.to_owned(), json(item)?)));
    fields.collect::<Option<Map<_, _>>>().map(Value::Object)
}

fn plain(value: &Toml) -> Option<Value> {
    match value {
        Toml::String(text) => Some(text.value().as_str().into()),
        Toml::Integer(number) => Some((*number.value()).into()),
        Toml::Float(number) => serde_json::Number::from_f64(*number.value()).map(Value::Number),
        Toml::Boolean(it) => Some((*it.value()).into()),
        Toml::Datetime(_) => None,
        Toml::Array(items) => items.iter().map(plain).collect(),
        Toml::InlineTable(table) => object(table),
    }
}
