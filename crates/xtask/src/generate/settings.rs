//! The reference page of the settings.

use crate::generate::notice::NOTICE;
use crate::generate::schema::{Key, Section, Shape};

const INTRODUCTION: &str = "\
The relay reads one TOML file. Unknown keys, wrong values and contradictions are refused at the start, each with file,
line and column; `chasqui config check` says the same without starting, and `chasqui config show` prints the settings in
force. A size is a whole number and `B`, `KiB`, `MiB`, `GiB` or `TiB`; a span of time is whole numbers with `d`, `h`, `m`,
`s` or `ms`, such as `1h30m`. The settings are read at the start, and again at a reload
(SIGHUP): connectors, rules, groups, expectations, domains, rewriting, DKIM keys, certificates and accounts then take effect at once, what needs a restart is named in the log.
[chasqui.toml](../../config/chasqui.toml) holds every key with its default,
[production.toml](../../config/production.toml) is a start for a real relay.";

/// The page.
pub(crate) fn page(sections: &[Section]) -> String {
    let mut page = format!("<!-- {NOTICE} -->\n\n# Settings\n\n{INTRODUCTION}\n");
    for section in sections {
        page.push_str(&part(section));
    }
    page
}

fn part(section: &Section) -> String {
    let path = &section.path;
    let title = match (path.as_str(), section.shape) {
        ("", _) => "Top of the file".to_owned(),
        (_, Shape::Tables) => format!("`[[{path}]]`"),
        (_, Shape::Table) => format!("`[{path}]`"),
    };
    let level = if path.contains('.') { "###" } else { "##" };
    let mut text = format!("\n{level} {title}\n\n{}\n", section.text);
    if !section.keys.is_empty() {
        text.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    }
    for key in &section.keys {
        text.push_str(&row(key));
    }
    text
}

fn row(key: &Key) -> String {
    let Key { name, kind, default, text, words } = key;
    let default = default.as_ref().map_or("–".to_owned(), |default| format!("`{default}`"));
    let listed = words.iter().filter(|(_, meaning)| !meaning.is_empty());
    let listed = listed.map(|(word, meaning)| format!(" <br>`{word}`: {meaning}"));
    let listed = listed.collect::<Vec<_>>().concat();
    format!("| `{name}` | {kind} | {default} | {}{} |\n", cell(text), cell(&listed))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
