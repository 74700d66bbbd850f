//! What keeps the house in order: generated documents and tidy tests.
//!
//! **Takes** the sources, the settings' schema, a relay's metrics, the command line's definition.
//! **Gives** `docs/reference/*`, `config/chasqui.toml`, and a list of what is untidy.
//! **Never** runs in a relay. docs/architecture.md §4.

mod generate;
mod source;
mod tidy;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;

/// Keeps the house in order.
#[derive(Debug, Parser)]
#[command(name = "xtask")]
enum Task {
    /// Write the generated documents.
    Gen {
        /// Write nothing; fail if one is stale.
        #[arg(long)]
        check: bool,
    },
    /// Say what breaks the rules of the house.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Gen { check } => generated(if check { Stale::Refuse } else { Stale::Write }),
        Task::Tidy => tidied(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What to do about documents that are not current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stale {
    Write,
    Refuse,
}

fn generated(stale_ones: Stale) -> Result<()> {
    let root = source::root();
    let stale: Vec<_> = generate::documents()?
        .into_iter()
        .filter(|(path, text)| std::fs::read_to_string(root.join(path)).ok().as_ref() != Some(text))
        .collect();
    if stale_ones == Stale::Refuse && !stale.is_empty() {
        let names: Vec<_> = stale.iter().map(|(path, _)| *path).collect();
        bail!("stale: {}; run `make gen`", names.join(", "));
    }
    for (path, text) in stale {
        let path = root.join(path);
        let folder = path.parent().context("a document lies in a folder")?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(&path, text)?;
        writeln!(std::io::stdout(), "wrote {}", path.display())?;
    }
    Ok(())
}

fn tidied() -> Result<()> {
    let faults = tidy::faults()?;
    if faults.is_empty() {
        return Ok(());
    }
    bail!("the house is untidy:\n{}", faults.join("\n"));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documents_are_current() {
        super::generated(super::Stale::Refuse).unwrap();
    }

    #[test]
    fn the_house_is_tidy() {
        super::tidied().unwrap();
    }
}
