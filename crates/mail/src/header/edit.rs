//! Changes to a header.

use std::fmt;

use crate::header::field::{FieldName, FieldValue, written};
use crate::header::read::{Field, Header};

/// One change to a header, whoever wants it: a filter, a rule, a signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds a field.
    Add {
        /// Its name.
        name: FieldName,
        /// Its value.
        value: FieldValue,
        /// Where it goes.
        at: Place,
    },
    /// Gives fields of a name one new value; a field that is not there is added at the bottom. Of [`Which::All`] the first
    /// gets the value and the others go.
    Set {
        /// The name, which the field has in this spelling afterwards.
        name: FieldName,
        /// Which of them.
        which: Which,
        /// The new value.
        value: FieldValue,
    },
    /// Takes fields out; those that are not there are out already.
    Remove {
        /// The name.
        name: FieldName,
        /// Which of them.
        which: Which,
    },
}

impl fmt::Display for Edit {
    /// For an operator: `set Subject: hello`. A value is shown as far as it is UTF-8, on one line.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &FieldValue| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()
        };
        match self {
            Self::Add { name, value, .. } => write!(out, "add {}: {}", name.as_str(), text(value)),
            Self::Set { name, value, .. } => write!(out, "set {}: {}", name.as_str(), text(value)),
            Self::Remove { name, which: Which::All } => write!(out, "remove {}", name.as_str()),
            Self::Remove { name, .. } => write!(out, "remove one {}", name.as_str()),
        }
    }
}

/// Where a field is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before all fields.
    Top,
    /// Behind all fields.
    Bottom,
    /// Behind so many fields; behind all if there are fewer.
    Behind(u32),
}

/// Which of the fields that have one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// The one of this number from the top, counted from 1; there is none of number 0.
    FromTop(u32),
    /// The one of this number from the bottom, counted from 1.
    FromBottom(u32),
}

/// Makes the changes one after the other, each in what the one before left; every field that none of them names stays as it
/// is, octet by octet. `content` may be a whole content or its beginning; what is no header stays too.
pub fn apply(content: &[u8], edits: &[Edit]) -> Vec<u8> {
    let header = Header::read(content);
    let mut lines: Vec<Line<'_>> = header.fields.into_iter().map(Line::Old).collect();
    for edit in edits {
        change(&mut lines, edit);
    }
    let added: usize = lines.iter().map(|line| line.whole().len()).sum();
    let mut changed = Vec::with_capacity(header.before.len() + added + header.rest.len() + 4);
    changed.extend_from_slice(header.before);
    for line in &lines {
        // A content that broke off in a line must not run into what was added.
        end_line(&mut changed);
        changed.extend_from_slice(line.whole());
    }
    let has_new = lines.iter().any(|line| matches!(line, Line::New { .. }));
    if has_new && !header.rest.is_empty() {
        end_line(&mut changed);
    }
    // The last field is gone, and a body that begins without an empty line would be taken for one.
    let has_none = changed.is_empty() && !edits.is_empty();
    if has_none && !matches!(header.rest.first(), None | Some(b'\r' | b'\n')) {
        changed.extend_from_slice(b"\r\n");
    }
    if has_new && matches!(header.rest.first(), Some(b' ' | b'\t')) {
        // A body without a header: its first line would be folded into the new field.
        changed.extend_from_slice(b"\r\n");
    }
    changed.extend_from_slice(header.rest);
    changed
}

/// A field of the header that is being changed.
enum Line<'a> {
    Old(Field<'a>),
    New { name: &'a FieldName, whole: Vec<u8> },
}

impl Line<'_> {
    fn whole(&self) -> &[u8] {
        match self {
            Self::Old(field) => field.whole,
            Self::New { whole, .. } => whole,
        }
    }

    fn is(&self, name: &FieldName) -> bool {
        match self {
            Self::Old(field) => field.is(name.as_str()),
            Self::New { name: own, .. } => *own == name,
        }
    }
}

fn change<'a>(lines: &mut Vec<Line<'a>>, edit: &'a Edit) {
    match edit {
        Edit::Add { name, value, at } => {
            let at = match at {
                Place::Top => 0,
                Place::Bottom => lines.len(),
                Place::Behind(count) => usize::try_from(*count).unwrap_or(usize::MAX),
            };
            lines.insert(at.min(lines.len()), new(name, value));
        }
        Edit::Remove { name, which } => {
            let found = found(lines, name, *which);
            remove(lines, &found);
        }
        Edit::Set { name, which, value } => {
            let found = found(lines, name, *which);
            let line = new(name, value);
            match found.split_first() {
                None => lines.push(line),
                Some((first, others)) => {
                    if let Some(old) = lines.get_mut(*first) {
                        *old = line;
                    }
                    remove(lines, others);
                }
            }
        }
    }
}

fn new<'a>(name: &'a FieldName, value: &FieldValue) -> Line<'a> {
    Line::New { name, whole: written(name, value) }
}

/// Where the fields stand that are meant, from the top.
fn found(lines: &[Line<'_>], name: &FieldName, which: Which) -> Vec<usize> {
    let mut places = (0..lines.len()).filter(|at| lines.get(*at).is_some_and(|it| it.is(name)));
    let index = |number: u32| usize::try_from(number).ok()?.checked_sub(1);
    match which {
        Which::All => places.collect(),
        Which::FromTop(number) => index(number).and_then(|at| places.nth(at)).into_iter().collect(),
        Which::FromBottom(number) => {
            index(number).and_then(|at| places.nth_back(at)).into_iter().collect()
        }
    }
}

/// Takes out what stands at these places, which are in order.
fn remove(lines: &mut Vec<Line<'_>>, places: &[usize]) {
    let mut at = 0;
    lines.retain(|_| {
        let goes = places.binary_search(&at).is_ok();
        at += 1;
        !goes
    });
}

fn end_line(text: &mut Vec<u8>) {
    if !matches!(text.last(), None | Some(b'\n')) {
        text.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> FieldName {
        FieldName::parse(text).unwrap()
    }

    fn value(text: &str) -> FieldValue {
        FieldValue::parse(text.as_bytes()).unwrap()
    }

    fn add(of: &str, at: Place) -> Edit {
        Edit::Add { name: name(of), value: value("new"), at }
    }

    fn set(of: &str, which: Which) -> Edit {
        Edit::Set { name: name(of), which, value: value("new") }
    }

    fn remove(of: &str, which: Which) -> Edit {
        Edit::Remove { name: name(of), which }
    }

    #[track_caller]
    fn check(content: &str, edits: &[Edit], want: &str) {
        let changed = apply(content.as_bytes(), edits);
        assert_eq!(String::from_utf8(changed).unwrap(), want, "{edits:?}");
    }

    #[test]
    fn fields_are_added_where_they_belong() {
        let content = "A:1\r\nb : 2\r\n\t3\r\n\r\nbody";
        check(content, &[add("N", Place::Top)], &format!("N: new\r\n{content}"));
        check(content, &[add("N", Place::Bottom)], "A:1\r\nb : 2\r\n\t3\r\nN: new\r\n\r\nbody");
        check(content, &[add("N", Place::Behind(1))], "A:1\r\nN: new\r\nb : 2\r\n\t3\r\n\r\nbody");
        check(content, &[add("N", Place::Behind(9))], "A:1\r\nb : 2\r\n\t3\r\nN: new\r\n\r\nbody");
        check("a: b", &[add("N", Place::Bottom)], "a: b\r\nN: new\r\n");
        check("", &[add("N", Place::Top)], "N: new\r\n");
        check("\r\nx", &[add("N", Place::Bottom)], "N: new\r\n\r\nx");
        check(" body: x\r\n", &[add("N", Place::Top)], "N: new\r\n\r\n body: x\r\n");
        check("From a Sat\r\na:b\r\n", &[add("N", Place::Top)], "From a Sat\r\nN: new\r\na:b\r\n");
    }

    #[test]
    fn fields_are_set_and_removed_by_number() {
        let content = "a:1\r\nb:2\r\nA:3\r\na:4\r\n\r\n";
        check(content, &[set("a", Which::FromTop(2))], "a:1\r\nb:2\r\na: new\r\na:4\r\n\r\n");
        check(content, &[set("a", Which::FromBottom(3))], "a: new\r\nb:2\r\nA:3\r\na:4\r\n\r\n");
        check(content, &[set("a", Which::All)], "a: new\r\nb:2\r\n\r\n");
        check(content, &[set("c", Which::All)], "a:1\r\nb:2\r\nA:3\r\na:4\r\nc: new\r\n\r\n");
        check(
            content,
            &[set("b", Which::FromTop(2))],
            "a:1\r\nb:2\r\nA:3\r\na:4\r\nb: new\r\n\r\n",
        );
        check(content, &[remove("A", Which::FromTop(1))], "b:2\r\nA:3\r\na:4\r\n\r\n");
        check(content, &[remove("a", Which::All)], "b:2\r\n\r\n");
        check(content, &[remove("a", Which::FromBottom(1))], "a:1\r\nb:2\r\nA:3\r\n\r\n");
        check(content, &[remove("a", Which::FromTop(0))], content);
        check(content, &[remove("x", Which::All)], content);
    }

    #[test]
    fn changes_see_each_other() {
        let edits = [add("N", Place::Top), set("n", Which::FromTop(1)), remove("a", Which::All)];
        check("a:1\r\n\r\nb", &edits, "n: new\r\n\r\nb");
        check("a:1\r\n\r\nb", &[add("a", Place::Bottom), remove("A", Which::All)], "\r\nb");
    }

    fn an_edit() -> impl Strategy<Value = Edit> {
        let which = prop_oneof![
            Just(Which::All),
            (0_u32..4).prop_map(Which::FromTop),
            (0_u32..4).prop_map(Which::FromBottom)
        ];
        let place =
            prop_oneof![Just(Place::Top), Just(Place::Bottom), (0_u32..5).prop_map(Place::Behind)];
        let value = "[ -~]{0,30}(\r\n [ -~]{0,20}){0,2}"
            .prop_map(|text| FieldValue::parse(text.as_bytes()).unwrap());
        let name = "[a-cN]".prop_map(|text| FieldName::parse(&text).unwrap());
        (name, value, which, place, 0..3).prop_map(|(name, value, which, at, kind)| match kind {
            0 => Edit::Add { name, value, at },
            1 => Edit::Set { name, which, value },
            _ => Edit::Remove { name, which },
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn what_no_change_names_stays(
            content in "(a|b|x-y|z|From|:| |\t|\r\n|\n|ü|1){0,40}",
            edits in prop::collection::vec(an_edit(), 0..6)
        ) {
            let is_named = |field: &Field<'_>| ["a", "b", "c", "n"].iter().any(|name| field.is(name));
            let (before, changed) = (content.as_bytes(), apply(content.as_bytes(), &edits));
            let (old, new) = (Header::read(before), Header::read(&changed));
            let others = |header: &Header<'_>| -> Vec<Vec<u8>> {
                let others = header.fields.iter().filter(|field| !is_named(field));
                others.map(|field| field.whole.trim_ascii_end().to_vec()).collect()
            };
            prop_assert_eq!(others(&old), others(&new));
            prop_assert_eq!(old.before.trim_ascii_end(), new.before.trim_ascii_end());
            prop_assert!(new.rest.ends_with(old.rest));
            prop_assert!(new.rest.len() <= old.rest.len() + 2);
        }

        #[test]
        fn no_change_changes_nothing(content in "(a|:| |\t|\r\n|\r|\n|ü){0,40}") {
            prop_assert_eq!(apply(content.as_bytes(), &[]), content.as_bytes());
        }
    }
}
