//! What can only be seen by looking at more than the settings: certificates, keys, passwords, lists of addresses, rules,
//! filters, and whether mail goes the way that is expected.

use filters::Filters;
use mail::Domain;
use policy::Policy;
use policy::config::Expect;
use settings::{Finding, Settings};
use units::Clock;

use crate::{certificates, decisions, keys, return_paths, rules, trial};

/// Tries all that the settings name, before anything else begins.
pub(crate) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = certificates::findings(settings);
    findings.extend(keys::findings(settings));
    findings.extend(return_paths::finding(settings));
    findings.extend(decisions(settings));
    findings.extend(asked(settings));
    findings
}

/// Tries what decides about mail: rules, their groups, rewriting; then the ways that are expected of it.
pub(crate) fn decisions(settings: &Settings) -> Vec<Finding> {
    // A name that is none has been told.
    let Ok(hostname) = Domain::parse(&settings.hostname) else { return Vec::new() };
    match decisions::policy(settings, &hostname) {
        Ok(policy) => unexpected(&settings.expect, &policy),
        Err(findings) => findings,
    }
}

/// What works, and not as whoever wrote it may think, or not for long: rules that can never apply, certificates that end.
pub(crate) fn odd(settings: &Settings) -> Vec<Finding> {
    let now_seconds = Clock::system().unix_millis() / 1000;
    let mut findings = certificates::expiring(settings, now_seconds);
    let Ok(rules) = rules::compiled(settings) else { return findings };
    findings.extend(rules::odd(&rules));
    let checks = settings.inbound.iter().any(|inbound| inbound.enabled && inbound.checks_mail_auth);
    if rules.wants_authentication() && !checks {
        let words =
            "a rule asks for results of SPF, DKIM or DMARC, and no connector has them checked";
        let finding = Finding::in_section("rule", "when", words);
        findings.push(finding.hint("set `checks_mail_auth = true` on an [[inbound]] connector"));
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

/// The expectations that are not met.
fn unexpected(expected: &[Expect], policy: &Policy) -> Vec<Finding> {
    let missed = expected.iter().enumerate().filter_map(|(number, expect)| {
        let (key, words) = trial::missed(policy, expect)?;
        let hint = format!("`chasqui route --from {} --to {}` says why", expect.from, expect.to);
        let finding = Finding::in_item("expect", number, key, words);
        Some(if key == "connector" { finding.hint(hint) } else { finding })
    });
    missed.collect()
}
