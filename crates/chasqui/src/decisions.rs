//! The settings' word on who may relay, which way mail goes and what rules do, made ready for use.

use mail::Domain;
use policy::{Admission, Policy, Router};
use settings::{Finding, Settings};

use crate::rules;

/// Who may relay.
pub(crate) fn admission(settings: &Settings) -> Admission {
    let verified = settings.domain.iter().filter(|it| it.verified);
    let verified: Vec<_> = verified.filter_map(|it| Domain::parse(&it.name).ok()).collect();
    Admission::new(settings.inbound.clone())
        .with_verified(&verified)
        .with_plans(settings.plan.clone())
}

/// The domains whose mail nobody else's owner has a say in.
fn own_domains(settings: &Settings) -> Vec<Domain> {
    let named = settings.domain.iter().map(|it| &it.name);
    named.chain(&settings.rewrite.alias_domain).filter_map(|it| Domain::parse(it).ok()).collect()
}

/// All of it; reads the files of groups.
///
/// # Errors
/// All that is wrong, with its place.
pub(crate) fn policy(settings: &Settings, hostname: &Domain) -> Result<Policy, Vec<Finding>> {
    let mut findings = Vec::new();
    let router = Router::new(settings.outbound.clone()).map_err(|error| {
        findings.push(Finding::in_section("outbound", "name", error.to_string()));
    });
    let rules = rules::compiled(settings).map_err(|wrong| findings.extend(wrong));
    if let Err(error) = settings.rewrite.address() {
        findings.push(Finding::in_section("rewrite", "default_from", error.to_string()));
    }
    let (Ok(router), Ok(rules)) = (router, rules) else { return Err(findings) };
    let policy = Policy::new(admission(settings), router.with_hostname(hostname.clone()));
    match policy.with_rules(rules).with_rewrite(&settings.rewrite) {
        Ok(policy) if findings.is_empty() => {
            Ok(policy.with_foreign_from(settings.rewrite.foreign_from, own_domains(settings)))
        }
        _ => Err(findings),
    }
}
