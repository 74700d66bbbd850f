//! What can only be seen by looking at more than the settings: certificates, keys, passwords, lists of addresses, rules,
//! filters, and whether mail goes the way that is expected.

use std::time::Duration;

use filters::Filters;
use mail::{Domain, Timestamp};
use policy::Policy;
use policy::config::{ClientNetwork, Expect};
use settings::{Finding, Settings};
use units::Clock;

use crate::{certificates, decisions, keys, return_paths, rules, trial};

/// An address that ends within this time is warned of.
const SOON: Duration = Duration::from_hours(30 * 24);

/// Tries all that the settings name, before anything else begins; gives what decides about mail.
///
/// # Errors
/// All that is wrong.
pub(crate) fn all(settings: &Settings) -> Result<Policy, Vec<Finding>> {
    all_as(settings, &hostname(settings)?)
}

/// As [`all`], of a relay with this name.
///
/// # Errors
/// All that is wrong.
pub(crate) fn all_as(settings: &Settings, hostname: &Domain) -> Result<Policy, Vec<Finding>> {
    let mut findings = certificates::findings(settings);
    findings.extend(keys::findings(settings));
    findings.extend(return_paths::finding(settings));
    let decided = decided(settings, hostname).map_err(|wrong| findings.extend(wrong));
    findings.extend(asked(settings));
    decided.ok().filter(|_| findings.is_empty()).ok_or(findings)
}

/// Makes what decides about mail: rules, their groups, rewriting; then tries the ways that are expected of it.
///
/// # Errors
/// All that is wrong.
pub(crate) fn decisions(settings: &Settings) -> Result<Policy, Vec<Finding>> {
    decided(settings, &hostname(settings)?)
}

/// As [`decisions`], of a relay with this name.
///
/// # Errors
/// All that is wrong.
pub(crate) fn decided(settings: &Settings, hostname: &Domain) -> Result<Policy, Vec<Finding>> {
    let policy = decisions::policy(settings, hostname)?;
    Finding::none_of(unexpected(&settings.expect, &policy)).map(|()| policy)
}

/// As [`decisions`], whatever ways are expected: to find out why one is not gone.
///
/// # Errors
/// All that is wrong.
pub(crate) fn without_expectations(settings: &Settings) -> Result<Policy, Vec<Finding>> {
    decisions::policy(settings, &hostname(settings)?)
}

fn hostname(settings: &Settings) -> Result<Domain, Vec<Finding>> {
    Domain::parse(&settings.hostname)
        .map_err(|error| vec![Finding::about("hostname", error.to_string())])
}

/// What works, and not as whoever wrote it may think, or not for long: rules that can never apply, certificates that end.
pub(crate) fn odd(settings: &Settings, policy: &Policy) -> Vec<Finding> {
    let now_seconds = Clock::system().unix_millis() / 1000;
    let mut findings = certificates::expiring(settings, now_seconds);
    findings.extend(ending(settings, Timestamp::from_millis(now_seconds.saturating_mul(1000))));
    findings.extend(rules::odd(&policy.rules));
    let checks = settings.inbound.iter().any(|inbound| inbound.enabled && inbound.checks_mail_auth);
    if policy.rules.wants_authentication() && !checks {
        let words =
            "a rule asks for results of SPF, DKIM or DMARC, and no connector has them checked";
        let finding = Finding::in_section("rule", "when", words);
        findings.push(finding.hint("set `checks_mail_auth = true` on an [[inbound]] connector"));
    }
    findings
}

/// As [`odd`], of settings of a relay with this name; nothing, if they are wrong.
pub(crate) fn odd_as(settings: &Settings, hostname: &Domain) -> Vec<Finding> {
    decided(settings, hostname).map(|policy| odd(settings, &policy)).unwrap_or_default()
}

/// As [`odd_as`], of a relay that does not run.
pub(crate) fn odd_at_rest(settings: &Settings) -> Vec<Finding> {
    hostname(settings).map(|hostname| odd_as(settings, &hostname)).unwrap_or_default()
}

/// Addresses of inbound connectors that count no more, or not for long.
fn ending(settings: &Settings, now: Timestamp) -> Vec<Finding> {
    let all = settings.inbound.iter().enumerate().filter(|(_, inbound)| inbound.enabled);
    let networks =
        all.flat_map(|(number, it)| it.sender_ip_addresses.iter().map(move |it| (number, it)));
    let finding = |(number, it): (usize, &ClientNetwork)| {
        let (network, at) = (it.network, it.expires?);
        let (words, hint) = if at.is_over(now) {
            (format!("{network} let clients in until {at}"), "take it out, or write a later day")
        } else if at.is_over(now.plus(SOON)) {
            (format!("{network} lets clients in until {at}"), "write a later day if it is to stay")
        } else {
            return None;
        };
        Some(Finding::in_item("inbound", number, "sender_ip_addresses", words).hint(hint))
    };
    networks.filter_map(finding).collect()
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

/// Reads settings in which `look` may find something.
#[cfg(test)]
pub(crate) fn looked(
    file: &std::path::Path,
    look: impl FnOnce(&Settings) -> Vec<Finding>,
) -> Result<(), String> {
    let make = |settings: &Settings| Finding::none_of(look(settings));
    let loaded = settings::load_and_make(file, make, |_, ()| Vec::new());
    loaded.map(drop).map_err(|error| error.to_string())
}
