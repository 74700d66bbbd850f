//! The rules of the house, each in a file of its own.

mod circles;
mod files;
mod layers;
mod licences;
mod outside;
mod owners;
mod paths;

use anyhow::Result;

use crate::source;

/// Everything that is untidy, one line each.
pub(crate) fn faults() -> Result<Vec<String>> {
    let packages = source::packages()?;
    let table = std::fs::read_to_string(source::root().join("docs/architecture.md"))?;
    let mut faults = layers::faults(&layers::Layers::read(&table)?, &packages);
    faults.extend(outside::faults()?);
    for package in &packages {
        faults.extend(owners::faults(package)?);
        faults.extend(files::faults(package)?);
        faults.extend(circles::faults(package)?);
    }
    Ok(faults)
}
