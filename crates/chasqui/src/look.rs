//! What can only be seen by looking at more than the settings: certificates, keys, passwords, rules, filters.

use filters::Filters;
use settings::{Finding, Settings};
use units::Clock;

use crate::{certificates, keys, rules};

/// Tries all that the settings name, before anything else begins.
pub(crate) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = certificates::findings(settings);
    findings.extend(keys::findings(settings));
    findings.extend(decisions(settings));
    findings.extend(asked(settings));
    findings
}

/// Tries what decides about mail: rules, their groups, rewriting.
pub(crate) fn decisions(settings: &Settings) -> Vec<Finding> {
    let mut findings = rules::compiled(settings).err().unwrap_or_default();
    if let Err(error) = settings.rewrite.address() {
        findings.push(Finding::in_section("rewrite", "default_from", error.to_string()));
    }
    findings
}

/// Tries what filters are asked with.
fn asked(settings: &Settings) -> Vec<Finding> {
    let clock = Clock::system();
    let tried = settings.filter.iter().map(|filter| Filters::look(filter, &clock)).enumerate();
    let finding = |(number, tried): (usize, Result<(), filters::FiltersError>)| {
        let error = tried.err()?;
        Some(Finding::in_item("filter", number, error.key, error.words).hint("see docs/filters.md"))
    };
    tried.filter_map(finding).collect()
}
