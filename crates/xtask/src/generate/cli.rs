//! The reference page of the command line.

use chasqui::Arguments;
use clap::{Command, CommandFactory};

use crate::generate::notice::NOTICE;

/// The page.
pub(crate) fn page() -> String {
    let mut root = Arguments::command().term_width(100);
    root.build();
    let mut page = format!("<!-- {NOTICE} -->\n\n# Command line\n");
    part(&mut root, &mut page);
    page
}

fn part(command: &mut Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or("chasqui").to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    page.extend([format!("\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end())]);
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        part(inner, page);
    }
}
