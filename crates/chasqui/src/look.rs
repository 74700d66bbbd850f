//! What can only be seen by looking at more than the settings: certificates, passwords, lists of addresses, rules.

use settings::{Finding, Settings};

use crate::{certificates, rules};

/// Tries all that the settings name, before anything else begins.
pub(crate) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = certificates::findings(settings);
    findings.extend(rules::compiled(settings).err().into_iter().flatten());
    if let Err(error) = settings.rewrite.address() {
        findings.push(Finding::in_section("rewrite", "default_from", error.to_string()));
    }
    findings
}
