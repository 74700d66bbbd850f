//! What can only be seen by looking at more than the settings: certificates, passwords, lists of addresses, rules.

use settings::{Finding, Settings};

use crate::{certificates, rules};

/// Tries all that the settings name, before anything else begins.
pub(crate) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = certificates::findings(settings);
    findings.extend(decisions(settings));
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
