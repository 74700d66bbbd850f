//! The settings' schema as sections with keys.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// One section of the settings file.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its keys' prefix: `queue.retry_connect`; empty for the top of the file.
    pub(crate) path: String,
    /// Whether there may be several.
    pub(crate) shape: Shape,
    /// What it is for.
    pub(crate) text: String,
    /// Its keys.
    pub(crate) keys: Vec<Key>,
}

/// How often a section may stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Once: `[name]`.
    Table,
    /// Any number of times: `[[name]]`.
    Tables,
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: String,
    /// What may stand there.
    pub(crate) kind: String,
    /// The default as TOML; none if it may be left out or must be given.
    pub(crate) default: Option<String>,
    /// What it is for.
    pub(crate) text: String,
    /// The words it takes, each with what it means.
    pub(crate) words: Vec<(String, String)>,
}

struct Reader {
    schema: Value,
    sections: Vec<Section>,
}

/// All sections, in the order of the file.
pub(crate) fn sections() -> Result<Vec<Section>> {
    let mut reader = Reader { schema: ::settings::schema(), sections: Vec::new() };
    let schema = reader.schema.clone();
    reader.section(&schema, "", Shape::Table)?;
    Ok(reader.sections)
}

impl Reader {
    fn section(&mut self, node: &Value, path: &str, shape: Shape) -> Result<()> {
        let own = self.resolved(node);
        let text = joined(words(node), words(&own));
        ensure!(!text.is_empty(), "the section [{path}] has no doc comment");
        let number = self.sections.len();
        self.sections.push(Section { path: path.to_owned(), shape, text, keys: Vec::new() });
        let properties = own.get("properties").and_then(Value::as_object);
        for (name, node) in properties.with_context(|| format!("[{path}] has no keys"))? {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let inner = self.resolved(node);
            let item = inner.get("items").map(|item| self.resolved(item)).unwrap_or_default();
            if inner.get("properties").is_some() {
                self.section(node, &path, Shape::Table)?;
            } else if item.get("properties").is_some() {
                let described = described(&inner, node);
                self.section(&described, &path, Shape::Tables)?;
            } else {
                let key = self.key(name, node, &path)?;
                if let Some(section) = self.sections.get_mut(number) {
                    section.keys.push(key);
                }
            }
        }
        Ok(())
    }

    fn key(&self, name: &str, node: &Value, path: &str) -> Result<Key> {
        let inner = self.resolved(node);
        let text = [words(node), words(&inner)].into_iter().find(|text| !text.is_empty());
        let text = text.with_context(|| format!("the key {path} has no doc comment"))?;
        let default = node.get("default").filter(|value| !value.is_null() && *value != "");
        let words = self.variants(&inner);
        Ok(Key {
            name: name.to_owned(),
            kind: if words.is_empty() { self.kind(&inner) } else { "word".to_owned() },
            default: default.map(toml_text),
            text,
            words,
        })
    }

    fn kind(&self, node: &Value) -> String {
        if let Some(item) = node.get("items") {
            return format!("list of {}", plural(&self.kind(&self.resolved(item))));
        }
        let kind = node.get("type");
        let first = kind.and_then(Value::as_array).and_then(|kinds| kinds.first());
        let pattern = node.get("pattern").and_then(Value::as_str).unwrap_or_default();
        match first.or(kind).and_then(Value::as_str) {
            Some("integer") => "number".to_owned(),
            Some("number") => "fraction".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            _ if pattern.contains("KiB") => "size".to_owned(),
            _ if pattern.contains("ms") => "span of time".to_owned(),
            _ => "text".to_owned(),
        }
    }

    /// The words of an enum, each with its doc comment.
    fn variants(&self, node: &Value) -> Vec<(String, String)> {
        let parts = ["oneOf", "anyOf"].iter().find_map(|word| node.get(word)?.as_array());
        let mut found = Vec::new();
        for part in parts.into_iter().flatten() {
            if let Some(word) = part.get("const").and_then(Value::as_str) {
                found.push((word.to_owned(), words(part)));
            } else {
                found.extend(self.variants(&self.resolved(part)));
            }
        }
        for word in node.get("enum").and_then(Value::as_array).into_iter().flatten() {
            found.extend(word.as_str().map(|word| (word.to_owned(), String::new())));
        }
        found
    }

    /// What a node refers to, or the node itself.
    fn resolved(&self, node: &Value) -> Value {
        let reference =
            node.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
        if let Some(target) = reference.and_then(|path| self.schema.pointer(path)) {
            return self.resolved(target);
        }
        // What may be left out is itself or null.
        match node.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
            Some([inner, null]) if null.get("type").is_some_and(|kind| kind == "null") => {
                self.resolved(inner)
            }
            _ => node.clone(),
        }
    }
}

/// The items of a list with the list's own sentence.
fn described(list: &Value, node: &Value) -> Value {
    let mut item = list.get("items").cloned().unwrap_or_default();
    if let (Some(item), Some(text)) = (item.as_object_mut(), node.get("description")) {
        item.insert("description".to_owned(), text.clone());
    }
    item
}

/// What a section's key and its type say, without saying anything twice.
fn joined(key: String, own: String) -> String {
    if own.starts_with(key.trim_end_matches('.')) {
        return own;
    }
    if key.is_empty() || own.is_empty() || key.starts_with(own.trim_end_matches('.')) {
        return key + &own;
    }
    format!("{key} {own}")
}

fn words(node: &Value) -> String {
    let text = node.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Type-level texts may begin with the section's own name.
    match text.split_once("]`: ") {
        Some((name, rest)) if name.starts_with("`[") => capitalized(rest),
        _ => text,
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn plural(kind: &str) -> String {
    match kind {
        "text" => "texts".to_owned(),
        "span of time" => "spans of time".to_owned(),
        _ => format!("{kind}s"),
    }
}

/// A value as TOML writes it. The defaults hold no tables.
pub(crate) fn toml_text(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
