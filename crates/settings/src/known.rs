//! Which keys there are: a walk over the file beside the schema.

use std::collections::BTreeSet;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::nearest::nearest;
use crate::problem::Problem;
use crate::sources::Sources;

/// The keys that the settings know.
pub(crate) struct Known<'a> {
    schema: &'a Value,
    sources: &'a Sources,
    problems: Vec<Problem>,
}

impl<'a> Known<'a> {
    /// Takes every unknown key out of `root` and says what was wrong with it.
    pub(crate) fn prune(
        schema: &'a Value,
        sources: &'a Sources,
        root: &mut DeTable<'_>,
    ) -> Vec<Problem> {
        let mut known = Self { schema, sources, problems: Vec::new() };
        known.table(&[schema], root, "");
        known.problems
    }

    fn table(&mut self, nodes: &[&'a Value], table: &mut DeTable<'_>, prefix: &str) {
        let nodes: Vec<&Value> = nodes.iter().flat_map(|node| self.resolved(node)).collect();
        let known: BTreeSet<&str> = nodes.iter().flat_map(|node| keys(node)).collect();
        // A table of free keys has no list of them.
        if known.is_empty() {
            return;
        }
        let mut unknown = Vec::new();
        for (key, child) in table.iter_mut() {
            let name = key.get_ref().to_string();
            if known.contains(name.as_str()) {
                let inner: Vec<&Value> =
                    nodes.iter().filter_map(|node| property(node, &name)).collect();
                self.value(&inner, child, &format!("{prefix}{name}."));
            } else {
                let problem = Problem::new("unknown key").key(format!("{prefix}{name}"));
                let problem = self.sources.place(problem, Some(key.span()));
                let hint = self.hint(&name, prefix, &known);
                self.problems.push(problem.hint(hint));
                unknown.push(name);
            }
        }
        for name in unknown {
            table.remove(name.as_str());
        }
    }

    fn value(&mut self, nodes: &[&'a Value], value: &mut Spanned<DeValue<'_>>, prefix: &str) {
        match value.get_mut() {
            DeValue::Table(table) => self.table(nodes, table, prefix),
            DeValue::Array(items) => {
                let inner: Vec<&Value> = nodes
                    .iter()
                    .flat_map(|node| self.resolved(node))
                    .filter_map(|node| node.get("items"))
                    .collect();
                for item in items.iter_mut() {
                    self.value(&inner, item, prefix);
                }
            }
            _ => {}
        }
    }

    fn hint(&self, name: &str, prefix: &str, known: &BTreeSet<&str>) -> String {
        if let Some(near) = nearest(name, known.iter().copied()) {
            return format!("did you mean `{near}`?");
        }
        let homes: Vec<String> = self
            .sections()
            .filter(|(section, keys)| keys.contains(&name) && format!("{section}.") != prefix)
            .map(|(section, _)| format!("[{section}]"))
            .collect();
        if !homes.is_empty() {
            return format!("there is such a key in {}", homes.join(", "));
        }
        let known: Vec<&str> = known.iter().copied().collect();
        format!("known here: {}", known.join(", "))
    }

    /// The first level of sections with their keys.
    fn sections(&self) -> impl Iterator<Item = (&'a str, Vec<&'a str>)> {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, node)| {
            let nodes = self.resolved(node);
            let items: Vec<&Value> = nodes
                .iter()
                .filter_map(|node| node.get("items"))
                .flat_map(|node| self.resolved(node))
                .collect();
            (name.as_str(), nodes.iter().chain(&items).flat_map(|node| keys(node)).collect())
        })
    }

    fn resolved(&self, node: &'a Value) -> Vec<&'a Value> {
        resolved(self.schema, node)
    }
}

/// If a list of tables belongs at `keys`: the first of their keys that takes a text.
pub(crate) fn first_key_of_items<'a>(schema: &'a Value, keys: &[&str]) -> Option<&'a str> {
    let step = |nodes: Vec<&'a Value>, name: &str| -> Vec<&'a Value> {
        let inner = nodes.iter().flat_map(|node| with_items(schema, node));
        inner.filter_map(|node| property(node, name)).collect()
    };
    let nodes = keys.iter().fold(vec![schema], |nodes, key| step(nodes, key));
    let nodes = nodes.into_iter().flat_map(|node| resolved(schema, node));
    let items = nodes.filter_map(|node| node.get("items"));
    let items: Vec<&Value> = items.flat_map(|item| resolved(schema, item)).collect();
    let is_text = |node: &&Value| {
        resolved(schema, node)
            .iter()
            .any(|node| node.get("type").and_then(Value::as_str) == Some("string"))
    };
    let properties = items.iter().filter_map(|item| item.get("properties")?.as_object()).flatten();
    properties.into_iter().find(|(_, node)| is_text(node)).map(|(name, _)| name.as_str())
}

/// The node as [`resolved`], and the nodes of its items.
fn with_items<'a>(schema: &'a Value, node: &'a Value) -> Vec<&'a Value> {
    let mut all = resolved(schema, node);
    let items: Vec<&Value> = all.iter().filter_map(|node| node.get("items")).collect();
    all.extend(items.into_iter().flat_map(|item| resolved(schema, item)));
    all
}

/// The node itself, what it refers to, and its alternatives.
fn resolved<'a>(schema: &'a Value, node: &'a Value) -> Vec<&'a Value> {
    let mut all = vec![node];
    let reference = node.get("$ref").and_then(Value::as_str);
    let target =
        reference.and_then(|path| path.strip_prefix('#')).and_then(|path| schema.pointer(path));
    all.extend(target.into_iter().flat_map(|target| resolved(schema, target)));
    for word in ["anyOf", "oneOf", "allOf"] {
        let parts = node.get(word).and_then(Value::as_array);
        all.extend(parts.into_iter().flatten().flat_map(|part| resolved(schema, part)));
    }
    all
}

fn keys(node: &Value) -> impl Iterator<Item = &str> {
    let properties = node.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.as_str())
}

fn property<'a>(node: &'a Value, name: &str) -> Option<&'a Value> {
    node.get("properties")?.get(name)
}
