//! The reference page of the metrics: those of a relay that really starts.

use anyhow::Result;

use crate::generate::notice::NOTICE;

const INTRODUCTION: &str = "\
The relay serves these at `/metrics` in the Prometheus text format, on `admin.listen` and on the admin socket. Labels hold
only words from closed sets and names from the settings: no address, domain or reply text ever becomes a label.";

/// The page.
pub(crate) fn page() -> Result<String> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let families = runtime.block_on(chasqui::families(folder.path()))?;
    let mut page = format!(
        "<!-- {NOTICE} -->\n\n# Metrics\n\n{INTRODUCTION}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
    );
    for family in families {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        page.extend([format!(
            "| `{}` | {} | {labels} | {} |\n",
            family.name, family.kind, family.help
        )]);
    }
    Ok(page)
}
