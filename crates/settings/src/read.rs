//! From text to a typed value, with everything that is wrong with it.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

use crate::known::Known;
use crate::nearest::nearest;
use crate::problem::Problem;
use crate::tree::{self, Step};
use crate::words::words;

/// No file is told more than this at once.
const PROBLEMS_MAX: usize = 50;

/// Where each key of a text is.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    text: &'a str,
    root: DeTable<'a>,
}

impl Places<'_> {
    /// Puts the place of a key, or of its nearest parent, on a problem that names `way`.
    pub(crate) fn locate(&self, problem: Problem, way: &[Step]) -> Problem {
        let problem = problem.key(tree::name(way));
        problem.at(self.text, tree::place(&self.root, way))
    }
}

/// Reads `text`; what is wrong is taken out, so that the rest can be looked at too.
pub(crate) fn read<T: DeserializeOwned + JsonSchema + Default>(
    text: &str,
) -> (T, Places<'_>, Vec<Problem>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let whole = root.span();
    let mut root = root.into_inner();
    let places = Places { text, root: root.clone() };
    if !errors.is_empty() {
        return (T::default(), places, errors.iter().map(|error| syntax(text, error)).collect());
    }
    let schema = schemars::schema_for!(T);
    let mut problems = Known::prune(schema.as_value(), text, &mut root);
    loop {
        let document = Spanned::new(whole.clone(), DeValue::Table(root.clone()));
        let error = match T::deserialize(ValueDeserializer::from(document)) {
            Ok(value) => {
                return (value, places, problems);
            }
            Err(error) => error,
        };
        let way = error.span().and_then(|span| tree::smallest(&root, &span)).unwrap_or_default();
        problems.push(wrong_value(text, &error, &way));
        if problems.len() >= PROBLEMS_MAX || !tree::remove(&mut root, &way) {
            return (T::default(), places, problems);
        }
    }
}

fn syntax(text: &str, error: &Error) -> Problem {
    Problem::new(format!("this is not TOML: {}", error.message())).at(text, error.span())
}

fn wrong_value(text: &str, error: &Error, way: &[Step]) -> Problem {
    let message = error.message().trim_end();
    let (said, hint) = words(message);
    let mut problem = Problem { hint, ..Problem::new(said) }.at(text, error.span());
    if !way.is_empty() {
        problem = problem.key(tree::name(way));
    }
    // Serde names the wrong word first and the known ones after it, all in backticks.
    let mut words = message.split('`').skip(1).step_by(2);
    if let (true, Some(word)) = (message.starts_with("unknown variant"), words.next())
        && let Some(near) = nearest(word, words)
    {
        problem = problem.hint(format!("did you mean \"{near}\"?"));
    }
    problem
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
    }

    #[track_caller]
    fn check(text: &str, want: &[&str]) -> Top {
        let (top, _, mut problems) = read::<Top>(text);
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
            "hostname = \"a\"\n[spool]\nsize = \"1MiB\"\nwait_max = \"5s\"\n[[listener]]\nname = \"x\"\nport = 25\n",
            &[],
        );
        assert_eq!(
            (top.hostname.as_str(), top.spool.size, top.listener.len()),
            ("a", ByteSize::mib(1), 1)
        );
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
                "1:12 hostname: 5 is a number; write a text in quotes, such as \"5\", a size or a time with its unit",
                "3:8 spool.size: `1MB` is not a size: write a whole number and B, KiB, MiB, GiB or TiB, such as \"25MiB\"",
                "4:9 spool.level: unknown variant `debgu`, expected `info` or `debug`; did you mean \"debug\"?",
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
