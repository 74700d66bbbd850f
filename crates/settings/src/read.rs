//! From text to a typed value, with everything that is wrong with it.

use std::ops::Range;
use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Error, ValueDeserializer};

use crate::endpoint;
use crate::known::{self, Known};
use crate::nearest::nearest;
use crate::problem::Problem;
use crate::sources::Sources;
use crate::tree::{self, Step};
use crate::words::words;

/// No file is told more than this at once.
const PROBLEMS_MAX: usize = 50;

/// Where each key is.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    sources: &'a Sources,
    root: DeTable<'a>,
}

impl Places<'_> {
    /// Puts the place of a key, or of its nearest parent, on a problem that names `way`.
    pub(crate) fn locate(&self, problem: Problem, way: &[Step]) -> Problem {
        let problem = problem.key(tree::name(way));
        self.sources.place(problem, tree::place(&self.root, way))
    }

    /// The file that holds a key.
    pub(crate) fn file(&self, way: &[Step]) -> &Path {
        let source = tree::place(&self.root, way).and_then(|span| self.sources.at(span.start));
        source.map_or(self.sources.main(), |source| &source.file)
    }
}

/// Reads all texts; what is wrong is taken out, so that the rest can be looked at too.
pub(crate) fn read<T: DeserializeOwned + JsonSchema + Default>(
    sources: &Sources,
) -> (T, Places<'_>, Vec<Problem>) {
    let (mut root, mut problems) = joined(sources);
    let places = Places { sources, root: root.clone() };
    if !problems.is_empty() {
        return (T::default(), places, problems);
    }
    let schema = schemars::schema_for!(T);
    problems.extend(Known::prune(schema.as_value(), sources, &mut root));
    loop {
        let document = Spanned::new(0..0, DeValue::Table(root.clone()));
        let error = match T::deserialize(ValueDeserializer::from(document)) {
            Ok(value) => {
                return (value, places, problems);
            }
            Err(error) => error,
        };
        let way = error.span().and_then(|span| tree::smallest(&root, &span)).unwrap_or_default();
        let mut problem = wrong_value(sources, &error, &way);
        if let Some(hint) = several(schema.as_value(), &error, &way) {
            problem = problem.hint(hint);
        }
        problems.push(problem);
        if problems.len() >= PROBLEMS_MAX || !tree::remove(&mut root, &way) {
            return (T::default(), places, problems);
        }
    }
}

/// What may stand in the files of the connectors' folder: lists, which one file can go on with where another ended.
const LISTS: [&str; 8] =
    ["inbound", "outbound", "rule", "group", "expect", "domain", "dkim", "plan"];

/// All texts as one tree.
fn joined(sources: &Sources) -> (DeTable<'_>, Vec<Problem>) {
    let (mut whole, mut problems) = (DeTable::new(), Vec::new());
    for source in sources.iter() {
        let (root, errors) = DeTable::parse_recoverable(&source.text);
        let root = tree::shifted(root.get_ref(), source.start);
        problems.extend(errors.iter().map(|error| {
            let span = error.span().map(|span| span.start + source.start..span.end + source.start);
            let words = format!("this is not TOML: {}", error.message());
            sources.place(Problem::new(words), span)
        }));
        if sources.is_main(source) {
            whole = root;
        } else {
            problems
                .extend(join(&mut whole, root).map(|(problem, span)| sources.place(problem, span)));
        }
    }
    (whole, problems)
}

type Misplaced = (Problem, Option<Range<usize>>);

/// Puts the lists of `other` behind those of `whole`; what else there is stands in the wrong file.
fn join<'i>(whole: &mut DeTable<'i>, other: DeTable<'i>) -> impl Iterator<Item = Misplaced> {
    let mut wrong = Vec::new();
    for (key, value) in other {
        let (name, span) = (key.get_ref().to_string(), key.span());
        let mut misplaced = |error: &str, hint: &str| {
            let problem = Problem::new(error).key(name.as_str()).hint(hint);
            wrong.push((problem, Some(span.clone())));
        };
        if !LISTS.contains(&name.as_str()) {
            misplaced("has no place in this folder", "write it in the main file");
            continue;
        }
        let list = whole
            .entry(key)
            .or_insert_with(|| Spanned::new(value.span(), DeValue::Array(DeArray::new())));
        match (list.get_mut(), value.into_inner()) {
            (DeValue::Array(list), DeValue::Array(items)) => {
                items.iter().for_each(|item| list.push(item.clone()));
            }
            _ => misplaced("is not a list of tables", &format!("write it as [[{name}]]")),
        }
    }
    wrong.into_iter()
}

fn wrong_value(sources: &Sources, error: &Error, way: &[Step]) -> Problem {
    let message = error.message().trim_end();
    let (said, hint) = words(message);
    let mut problem = sources.place(Problem { hint, ..Problem::new(said) }, error.span());
    if !way.is_empty() {
        problem = problem.key(tree::name(way));
    }
    // Serde names the wrong word first and the known ones after it, all in backticks.
    let mut words = message.split('`').skip(1).step_by(2);
    if let (true, Some(word)) = (message.starts_with("unknown variant"), words.next())
        && let Some(near) = nearest(word, words)
    {
        let known = problem.hint.take().unwrap_or_default();
        problem = problem.hint(format!("did you mean \"{near}\"? {known}"));
    }
    problem
}

/// What to write where several tables may stand and something else does: serde only knows that it wanted a list or a
/// struct.
fn several(schema: &Value, error: &Error, way: &[Step]) -> Option<String> {
    let message = error.message();
    let wants_list = message.ends_with("expected a sequence");
    if !wants_list && !message.contains(", expected struct ") {
        return None;
    }
    let keys: Vec<&str> = way
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        })
        .collect();
    let first = known::first_key_of_items(schema, &keys)?;
    if let [section] = keys.as_slice() {
        return Some(format!(
            "there may be several: write [[{section}]], with two brackets, above the keys of each"
        ));
    }
    let key = keys.last()?;
    // A text is what most wanted to say with the first key.
    let value = message.split('"').nth(1).filter(|_| message.contains("type: string"));
    let table = value.filter(|_| first == "host").and_then(endpoint::table);
    let table = table.unwrap_or_else(|| format!("{{ {first} = \"{}\" }}", value.unwrap_or("...")));
    Some(format!("write a table for each, in a list: {key} = [{table}]"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use units::{ByteSize, Span};

    use super::*;

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Top {
        hostname: String,
        spool: Part,
        listener: Vec<Item>,
        other: Option<Part>,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Part {
        size: ByteSize,
        wait_max: Span,
        level: Level,
        names: Vec<u8>,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        #[default]
        Info,
        Debug,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Item {
        name: String,
        #[serde(default)]
        port: u16,
        #[serde(default)]
        hosts: Vec<Host>,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Host {
        addresses: Vec<String>,
        host: String,
    }

    #[track_caller]
    fn check(text: &str, want: &[&str]) -> Top {
        let sources = Sources::one(Path::new("x"), text);
        let (top, _, mut problems) = read::<Top>(&sources);
        problems.sort_by_key(|problem| problem.position);
        let list: Vec<String> = problems
            .into_iter()
            .map(|problem| {
                let (line, column) = problem.position.unwrap_or_default();
                let hint = problem.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                let key = problem.key.unwrap_or_default();
                format!("{line}:{column} {key}: {}{hint}", problem.error)
            })
            .collect();
        assert_eq!(list, want);
        top
    }

    #[test]
    fn a_good_file_is_read() {
        let top = check(
            "hostname = \"a\"\n[spool]\nsize = \"1MiB\"\nwait_max = \"5s\"\n[[listener]]\nname = \"x\"\nport = 25\nhosts = [{ host = \"h\" }]\n",
            &[],
        );
        assert_eq!(
            (top.hostname.as_str(), top.spool.size, top.listener.len()),
            ("a", ByteSize::mib(1), 1)
        );
        let host = &top.listener[0].hosts[0];
        assert_eq!((host.host.as_str(), host.addresses.len()), ("h", 0));
    }

    #[test]
    fn unknown_keys_are_named_with_what_was_meant() {
        check(
            "hostnam = \"a\"\n[spool]\nsise = \"1MiB\"\nport = 1\n[other]\nwait = \"1s\"\nzebra = 2\n[[listener]]\nname = \"a\"\nprot = 1\n",
            &[
                "1:1 hostnam: unknown key; did you mean `hostname`?",
                "3:1 spool.sise: unknown key; did you mean `size`?",
                "4:1 spool.port: unknown key; there is such a key in [listener]",
                "6:1 other.wait: unknown key; did you mean `wait_max`?",
                "7:1 other.zebra: unknown key; known here: level, names, size, wait_max",
                "10:1 listener.prot: unknown key; did you mean `port`?",
            ],
        );
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let top = check(
            "hostname = 5\n[spool]\nsize = \"1MB\"\nlevel = \"debgu\"\nnames = [1, 300]\n[[listener]]\nport = 1\n[[listener]]\nname = \"b\"\nport = 70000\n",
            &[
                "1:12 hostname: 5 is a number; write a text in quotes, such as \"5\"",
                "3:8 spool.size: `1MB` is not a size: write a whole number and B, KiB, MiB, GiB or TiB, such as \"25MiB\"",
                "4:9 spool.level: `debgu` is not known here; did you mean \"debug\"? write \"info\" or \"debug\"",
                "5:13 spool.names: 300 is out of range; write a whole number from 0 to 255",
                "6:1 listener: `name` is missing; give it a value",
                "10:8 listener.port: 70000 is out of range; write a whole number from 0 to 65535",
            ],
        );
        let left: Vec<_> =
            top.listener.iter().map(|item| (item.name.as_str(), item.port)).collect();
        assert_eq!(left, [("b", 0)]);
    }

    #[test]
    fn what_may_stand_several_times_is_shown_as_it_is_written() {
        check(
            "[listener]\nname = \"a\"\n",
            &[
                "1:1 listener: this is a table; there may be several: write [[listener]], with two brackets, above the keys of each",
            ],
        );
        check(
            "[[listener]]\nname = \"a\"\nhosts = \"mx.example\"\n[[listener]]\nname = \"b\"\nhosts = [\"mx.example\"]\n",
            &[
                "3:9 listener.hosts: \"mx.example\" is a text; write a table for each, in a list: hosts = [{ host = \"mx.example\" }]",
                "6:10 listener.hosts: \"mx.example\" is a text; write a table for each, in a list: hosts = [{ host = \"mx.example\" }]",
            ],
        );
        check(
            "[[listener]]\nname = \"a\"\nhosts = [\"[2001:db8::1]:587\"]\n",
            &[
                "3:10 listener.hosts: \"[2001:db8::1]:587\" is a text; write a table for each, in a list: hosts = [{ host = \"2001:db8::1\", port = 587 }]",
            ],
        );
        check(
            "[spool]\nnames = 5\n",
            &["2:9 spool.names: 5 is a number; write a list in brackets, such as [5]"],
        );
    }

    #[test]
    fn a_number_lacks_its_unit() {
        check(
            "[spool]\nsize = 64\nwait_max = 5\n",
            &[
                "2:8 spool.size: 64 lacks its unit: write a size in quotes, such as \"64MiB\"",
                "3:12 spool.wait_max: 5 lacks its unit: write a time in quotes, such as \"5s\"",
            ],
        );
    }

    #[test]
    fn broken_toml_is_placed() {
        check(
            "a = \n[b\n",
            &[
                "1:5 : this is not TOML: string values must be quoted, expected literal string",
                "2:3 : this is not TOML: unclosed table, expected `]`",
            ],
        );
    }
}
