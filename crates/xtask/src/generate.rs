//! Documents that are made, not written.

mod cli;
mod example;
mod metrics;
mod notice;
mod schema;
mod settings;
mod smtp;

use anyhow::Result;

/// Every generated document: its path in the repository and its text.
pub(crate) fn documents() -> Result<Vec<(&'static str, String)>> {
    let sections = schema::sections()?;
    Ok(vec![
        ("docs/reference/settings.md", settings::page(&sections)),
        ("config/chasqui.toml", example::file(&sections)?),
        ("docs/reference/metrics.md", metrics::page()?),
        ("docs/reference/cli.md", cli::page()),
        ("docs/reference/smtp.md", smtp::page()?),
    ])
}
