//! The file as a tree with places.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// One step into the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The value of a key.
    Key(String),
    /// An item of an array.
    Item(usize),
}

/// The way to a value.
pub(crate) type Way = Vec<Step>;

/// The way as an operator writes it: `listener.tls`.
pub(crate) fn name(way: &[Step]) -> String {
    let keys = way.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Item(_) => None,
    });
    keys.collect::<Vec<_>>().join(".")
}

/// The way to the smallest value whose key or value covers `span`.
pub(crate) fn smallest(root: &DeTable<'_>, span: &Range<usize>) -> Option<Way> {
    let mut best = None;
    table(root, span, &mut Vec::new(), &mut best);
    best.map(|(_, way)| way)
}

type Best = Option<(usize, Way)>;

fn table(node: &DeTable<'_>, span: &Range<usize>, way: &mut Way, best: &mut Best) {
    for (key, child) in node {
        way.push(Step::Key(key.get_ref().to_string()));
        offer(&key.span(), span, way, best);
        value(child, span, way, best);
        way.pop();
    }
}

fn value(node: &Spanned<DeValue<'_>>, span: &Range<usize>, way: &mut Way, best: &mut Best) {
    offer(&node.span(), span, way, best);
    match node.get_ref() {
        DeValue::Table(inner) => table(inner, span, way, best),
        DeValue::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                way.push(Step::Item(number));
                value(item, span, way, best);
                way.pop();
            }
        }
        _ => {}
    }
}

fn offer(place: &Range<usize>, span: &Range<usize>, way: &Way, best: &mut Best) {
    let covers = place.start <= span.start && span.end <= place.end;
    let is_smaller = best.as_ref().is_none_or(|(len, _)| place.len() <= *len);
    if covers && is_smaller {
        *best = Some((place.len(), way.clone()));
    }
}

/// Where the value at `way` is; its nearest parent if it is not there.
pub(crate) fn place(root: &DeTable<'_>, way: &[Step]) -> Option<Range<usize>> {
    let (first, mut rest) = way.split_first()?;
    let Step::Key(key) = first else { return None };
    let (key, mut node) = root.get_key_value(key.as_str())?;
    let mut span = key.span();
    while let Some((step, after)) = rest.split_first() {
        let next = match (step, node.get_ref()) {
            (Step::Key(key), DeValue::Table(inner)) => {
                inner.get_key_value(key.as_str()).map(|(key, child)| (key.span(), child))
            }
            (Step::Item(number), DeValue::Array(items)) => {
                items.get(*number).map(|item| (item.span(), item))
            }
            _ => None,
        };
        let Some((place, child)) = next else { break };
        (span, node, rest) = (place, child, after);
    }
    Some(span)
}

/// Takes the value at `way` out: the nearest key, or the whole item if that is a table. Says whether it did.
pub(crate) fn remove(root: &mut DeTable<'_>, way: &[Step]) -> bool {
    match way.split_first() {
        Some((Step::Key(key), [])) => root.remove(key.as_str()).is_some(),
        Some((Step::Key(key), rest)) => {
            let Some(child) = root.get_mut(key.as_str()) else { return false };
            remove_in(child.get_mut(), rest) || root.remove(key.as_str()).is_some()
        }
        _ => false,
    }
}

fn remove_in(node: &mut DeValue<'_>, way: &[Step]) -> bool {
    match (node, way.split_first()) {
        (DeValue::Table(inner), _) => remove(inner, way),
        (DeValue::Array(items), Some((Step::Item(number), rest))) => {
            let Some(item) = items.get_mut(*number) else { return false };
            if !matches!(item.get_ref(), DeValue::Table(_)) {
                return false;
            }
            if rest.is_empty() || !remove_in(item.get_mut(), rest) {
                *items = without(items, *number);
            }
            true
        }
        _ => false,
    }
}

fn without<'i>(items: &DeArray<'i>, number: usize) -> DeArray<'i> {
    let mut kept = DeArray::new();
    for (at, item) in items.iter().enumerate() {
        if at != number {
            kept.push(item.clone());
        }
    }
    kept
}

/// A copy with every place moved on by `by`.
pub(crate) fn shifted<'i>(table: &DeTable<'i>, by: usize) -> DeTable<'i> {
    let mut moved = DeTable::new();
    for (key, value) in table {
        moved.insert(Spanned::new(later(key.span(), by), key.get_ref().clone()), one(value, by));
    }
    moved
}

fn one<'i>(value: &Spanned<DeValue<'i>>, by: usize) -> Spanned<DeValue<'i>> {
    let inner = match value.get_ref() {
        DeValue::Table(inner) => DeValue::Table(shifted(inner, by)),
        DeValue::Array(items) => {
            let mut moved = DeArray::new();
            for item in items {
                moved.push(one(item, by));
            }
            DeValue::Array(moved)
        }
        plain => plain.clone(),
    };
    Spanned::new(later(value.span(), by), inner)
}

const fn later(span: Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}
