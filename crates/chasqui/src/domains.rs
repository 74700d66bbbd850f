//! What the DNS says of a domain, held against the settings.

mod sts_policy;

use std::net::IpAddr;
use std::sync::Arc;

use admin::view;
use anyhow::{Context, Result};
use auth::doctor::{self, Check, Grade, Party, Relay};
use auth::{Dns, LookupError, Record, SigningKey};
use settings::Settings;
use telemetry::Causes;

/// What an operator knows better than the settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The addresses that mail leaves from; empty takes those of the settings.
    pub(crate) sources: Vec<IpAddr>,
    /// The name in EHLO; none takes the `hostname`.
    pub(crate) helo: Option<String>,
}

/// Looks at all that concerns mail of `domain` through a relay with these settings.
///
/// # Errors
/// When the resolver cannot be set up.
pub(crate) async fn examine(
    settings: Settings,
    known: Known,
    domain: &str,
) -> Result<view::DomainReport> {
    let dns = dns(&settings)?;
    let reading = tokio::task::spawn_blocking(move || seen_from_outside(&settings, known));
    let (mut relay, mut more) = reading.await.context("the keys could not be read")?;
    if relay.sources.is_empty() {
        match addresses(&dns, &relay.helo).await {
            Ok(found) => relay.sources = found,
            Err(error) => more.push(no_sources(&relay.helo, &error)),
        }
    }
    // Boxed, since both are rare and large.
    let policy = Box::pin(sts_policy::fetched(&dns, domain)).await;
    let mut report = Box::pin(doctor::examine(&dns, &relay, domain, policy.as_deref())).await;
    report.checks.extend(more);
    Ok(view::DomainReport {
        grade: grade(report.grade()),
        domain: report.domain,
        checks: report.checks.into_iter().map(check).collect(),
    })
}

/// Asks the DNS as the settings want it.
pub(crate) fn dns(settings: &Settings) -> Result<Dns> {
    Ok(Dns::new(resolver::hickory(&settings.resolver).context("resolver")?))
}

/// The relay as others see it, and what could not be read. Blocks on key files.
fn seen_from_outside(settings: &Settings, known: Known) -> (Relay, Vec<Check>) {
    let (mut keys, mut more) = (Vec::new(), Vec::new());
    for key in &settings.dkim {
        match SigningKey::read(key) {
            Ok(key) => keys.push(Arc::new(key)),
            Err(error) => {
                let name = format!("DKIM {}", key.selector);
                more.push(plain(name, Grade::Fail, Causes(&error).to_string(), None));
            }
        }
    }
    let domains = &settings.mail_auth.domains;
    let zones = settings.domain.iter().filter(|it| it.hosted).map(|it| it.name.clone());
    let hostname = settings.hostname.clone();
    let sources = if known.sources.is_empty() { named(settings) } else { known.sources };
    let mut outbound = settings.outbound.iter().filter(|it| it.enabled);
    if sources.is_empty() && outbound.all(|it| !it.smart_hosts.is_empty()) {
        more.push(smart_hosts());
    }
    let relay = Relay {
        sources,
        helo: known.helo.unwrap_or_else(|| hostname.clone()),
        spf_include: domains.spf_include.clone(),
        keys,
        reports_to: domains.reports_to.clone(),
        hosted: zones.chain([hostname]).collect(),
    };
    (relay, more)
}

/// The addresses that the settings name: those as seen from outside, else those that connections to exchangers come from.
fn named(settings: &Settings) -> Vec<IpAddr> {
    let named = &settings.mail_auth.domains.source_addresses;
    if !named.is_empty() {
        return named.clone();
    }
    let by_mx = settings.outbound.iter().filter(|it| it.enabled && it.smart_hosts.is_empty());
    let own = by_mx.flat_map(|it| &it.source_addresses).copied();
    let mut sources: Vec<_> = own.filter(|address| !is_private(*address)).collect();
    sources.sort();
    sources.dedup();
    sources
}

/// Whether others see another address (RFC 1918, RFC 4193).
const fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    }
}

fn smart_hosts() -> Check {
    let found =
        "all mail goes to smart hosts, so that other hosts see their addresses and not ours";
    let words =
        "name theirs in `mail_auth.domains.source_addresses`, or what to include in `spf_include`";
    plain("addresses".to_owned(), Grade::Warn, found.to_owned(), Some(words.to_owned()))
}

async fn addresses(dns: &Dns, host: &str) -> Result<Vec<IpAddr>, LookupError> {
    match tokio::join!(dns.addresses_v4(host), dns.addresses_v6(host)) {
        (Ok(four), Ok(six)) => Ok([four, six].concat()),
        (Ok(some), Err(_)) | (Err(_), Ok(some)) => Ok(some),
        (Err(error), Err(_)) => Err(error),
    }
}

fn no_sources(host: &str, error: &LookupError) -> Check {
    let found = format!(
        "the addresses that mail leaves from are not known, so neither names nor SPF could be held against them: {error}"
    );
    let words = format!(
        "give {host} its addresses in the DNS, or name them in `mail_auth.domains.source_addresses`"
    );
    let grade = if error.is_temporary() { Grade::Warn } else { Grade::Fail };
    plain("addresses".to_owned(), grade, found, Some(words))
}

fn plain(name: String, grade: Grade, found: String, words: Option<String>) -> Check {
    let advice = |words| doctor::Advice { party: Party::Operator, words, record: None };
    Check { name, grade, found, advice: words.map(advice) }
}

const fn grade(grade: Grade) -> view::Grade {
    match grade {
        Grade::Pass => view::Grade::Pass,
        Grade::Warn => view::Grade::Warn,
        Grade::Fail => view::Grade::Fail,
    }
}

fn check(check: Check) -> view::DomainCheck {
    let advice = check.advice.map(|advice| view::DomainAdvice {
        party: match advice.party {
            Party::Owner => view::Party::Owner,
            Party::Operator => view::Party::Operator,
        },
        words: advice.words,
        record: advice.record.as_ref().map(record),
    });
    view::DomainCheck { name: check.name, grade: grade(check.grade), found: check.found, advice }
}

/// A text record in all its forms.
pub(crate) fn record(record: &Record) -> view::DnsRecord {
    view::DnsRecord {
        name: record.name.clone(),
        kind: "TXT".to_owned(),
        value: record.value.clone(),
        strings: record.strings().into_iter().map(str::to_owned).collect(),
        line: record.to_string(),
    }
}
