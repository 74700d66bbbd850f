//! DMARC, MTA-STS, TLS reports and BIMI.

use super::check::{Check, Grade};
use super::relay::Relay;
use crate::dns::{Dns, LookupError};
use crate::finding::{DmarcPolicy, Nearness, Policy};

type Dmarc = Result<Option<DmarcPolicy>, LookupError>;

/// What the domain wants done with mail that fails, explained (RFC 9989).
pub(super) fn dmarc(relay: &Relay, domain: &str, policy: &Dmarc) -> Check {
    let name = format!("_dmarc.{domain}");
    let address = relay.report_address(domain);
    let policy = match policy {
        Ok(policy) => policy,
        Err(error) => return Check::unknown("DMARC", error),
    };
    let Some(policy) = policy else {
        let text = format!("v=DMARC1; p=none; rua=mailto:{address}");
        let found = format!("{domain} publishes no DMARC policy; large providers want one");
        let words = "publish this record; once its reports show that all mail passes, make it p=quarantine, then p=reject";
        return Check::new("DMARC", Grade::Warn, found).advise(relay.publish(&name, &text, words));
    };
    let check = |grade| Check::new("DMARC", grade, explained(domain, policy));
    let is_own = policy.found_at == domain;
    let name = format!("_dmarc.{}", policy.found_at);
    if policy.aggregate_reports.is_empty() {
        let text = format!("{}; rua=mailto:{address}", policy.text.trim_end_matches([';', ' ']));
        return check(Grade::Warn).advise(relay.publish(&name, &text, "have reports sent to you"));
    }
    if policy.disposition() == Policy::None && is_own {
        return check(Grade::Warn).tell(
            relay.party(&name),
            "once the reports show that all mail passes, make it p=quarantine, then p=reject",
        );
    }
    check(Grade::Pass)
}

/// A policy in words.
fn explained(domain: &str, policy: &DmarcPolicy) -> String {
    let wanted = match policy.policy {
        Policy::None => "delivered all the same",
        Policy::Quarantine => "treated as suspicious",
        Policy::Reject => "refused",
    };
    let near = |nearness| match nearness {
        Nearness::Relaxed => "of the same organization",
        Nearness::Strict => "exactly the same",
    };
    let list = |addresses: &[String]| match addresses {
        [] => "nobody".to_owned(),
        addresses => addresses.join(", "),
    };
    let mut text = format!(
        "mail from {domain} that fails is {wanted} (record at {}: p={}, sp={}, np={})",
        policy.found_at,
        policy.domain_policy.word(),
        policy.subdomain_policy.word(),
        policy.missing_policy.word(),
    );
    if policy.is_test {
        text.push_str("; it is only tried out, so it counts one step less");
    } else if policy.percent < 100 {
        text.extend([format!(
            "; pct={} applies it to a part of the mail only, which many ignore",
            policy.percent
        )]);
    }
    text.extend([format!(
        "; the domain of DKIM must be {}, that of SPF {}; reports go to {}, failures to {}",
        near(policy.dkim),
        near(policy.spf),
        list(&policy.aggregate_reports),
        list(&policy.failure_reports)
    )]);
    text
}

/// The one text at `name` that begins with `version`; an error in words if there are several.
async fn one_text(
    dns: &Dns,
    name: &str,
    version: &str,
) -> Result<Result<Option<String>, String>, LookupError> {
    let texts = match dns.texts(name).await {
        Ok(texts) => texts,
        Err(error) if error.is_temporary() => return Err(error),
        Err(_) => return Ok(Ok(None)),
    };
    let is_ours = |text: &String| text.split(';').next().is_some_and(|it| it.trim() == version);
    let mut found = texts.into_iter().filter(is_ours);
    Ok(match (found.next(), found.next()) {
        (found, None) => Ok(found),
        _ => Err(format!("{name} has more than one such record, so all of them are ignored")),
    })
}

/// A tag's value.
fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let tags = text.split(';').filter_map(|tag| tag.split_once('='));
    tags.map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| *key == name)
        .map(|(_, it)| it)
}

/// Whether hosts that send to the domain are told to use TLS (RFC 8461).
pub(super) async fn mta_sts(dns: &Dns, relay: &Relay, domain: &str, policy: Option<&str>) -> Check {
    let title = "MTA-STS";
    let name = format!("_mta-sts.{domain}");
    let text = match one_text(dns, &name, "v=STSv1").await {
        Ok(Ok(text)) => text,
        Ok(Err(problem)) => {
            return Check::new(title, Grade::Fail, problem)
                .tell(relay.party(&name), "keep one of them");
        }
        Err(error) => return Check::unknown(title, &error),
    };
    let advice = |words: &str| relay.publish(&name, "v=STSv1; id=1", words);
    match (text, policy) {
        (None, None) => Check::new(title, Grade::Warn, "not set up; mail to the domain may be read on its way")
            .advise(advice(&format!("serve a policy at https://mta-sts.{domain}/.well-known/mta-sts.txt, then publish this record"))),
        (None, Some(_)) => Check::new(title, Grade::Warn, "a policy is served, but no record announces it")
            .advise(advice("publish this record; change its id with every change of the policy")),
        (Some(text), None) => Check::new(title, Grade::Fail, format!("`{text}` is published, but no policy could be fetched"))
            .tell(relay.party(&name), format!("serve it at https://mta-sts.{domain}/.well-known/mta-sts.txt with a certificate that is trusted")),
        (Some(text), Some(_)) if tag(&text, "id").is_none_or(str::is_empty) => {
            Check::new(title, Grade::Fail, format!("`{text}` has no id"))
                .advise(advice("put this record in place of it"))
        }
        (Some(_), Some(policy)) => served(dns, relay, domain, policy).await,
    }
}

/// Holds the policy against the MX records.
async fn served(dns: &Dns, relay: &Relay, domain: &str, policy: &str) -> Check {
    let title = "MTA-STS";
    let party = relay.party(domain);
    let lines = policy.lines().filter_map(|line| line.split_once(':'));
    let lines: Vec<_> = lines.map(|(key, value)| (key.trim(), value.trim())).collect();
    let of = |wanted: &str| lines.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    let mode = of("mode").unwrap_or_default();
    let is_good = of("version") == Some("STSv1")
        && matches!(mode, "enforce" | "testing" | "none")
        && of("max_age").is_some_and(|age| age.parse::<u32>().is_ok());
    if !is_good {
        return Check::new(title, Grade::Fail, "the policy cannot be understood")
            .tell(party, "it needs the lines version, mode, mx and max_age (RFC 8461 §3.2)");
    }
    let patterns: Vec<_> =
        lines.iter().filter(|(key, _)| *key == "mx").map(|(_, it)| *it).collect();
    let hosts = match dns.exchangers(domain).await {
        Ok(hosts) => hosts,
        Err(error) if error.is_temporary() => return Check::unknown(title, &error),
        Err(_) => Vec::new(),
    };
    let fits = |host: &str| patterns.iter().any(|pattern| matches_host(pattern, host));
    let strays: Vec<_> =
        hosts.iter().map(|(_, host)| host.as_str()).filter(|it| !fits(it)).collect();
    if !strays.is_empty() && mode != "none" {
        let grade = if mode == "enforce" { Grade::Fail } else { Grade::Warn };
        return Check::new(
            title,
            grade,
            format!("the policy does not name the exchangers {}", strays.join(", ")),
        )
        .tell(party, "add `mx` lines for them to the policy, and change the record's id");
    }
    let grade = if mode == "enforce" { Grade::Pass } else { Grade::Warn };
    let check = Check::new(title, grade, format!("the policy's mode is {mode}"));
    if mode == "enforce" {
        return check;
    }
    check.tell(party, "once TLS reports show no failures, make it `mode: enforce`")
}

/// RFC 8461 §4.1: `*.` stands for one label.
fn matches_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}

/// Whether somebody hears of failed TLS (RFC 8460).
pub(super) async fn tls_reports(dns: &Dns, relay: &Relay, domain: &str) -> Check {
    let title = "TLS-RPT";
    let name = format!("_smtp._tls.{domain}");
    let text = format!("v=TLSRPTv1; rua=mailto:{}", relay.report_address(domain));
    let advice = |words: &str| relay.publish(&name, &text, words);
    match one_text(dns, &name, "v=TLSRPTv1").await {
        Ok(Ok(Some(found))) if tag(&found, "rua").is_some_and(|it| it.contains(':')) => {
            Check::new(title, Grade::Pass, format!("`{found}`"))
        }
        Ok(Ok(Some(found))) => Check::new(title, Grade::Fail, format!("`{found}` names nobody"))
            .advise(advice("put this record in place of it")),
        Ok(Ok(None)) => Check::new(
            title,
            Grade::Warn,
            "nobody hears when mail to the domain cannot be encrypted",
        )
        .advise(advice("publish this record")),
        Ok(Err(problem)) => {
            Check::new(title, Grade::Fail, problem).tell(relay.party(&name), "keep one of them")
        }
        Err(error) => Check::unknown(title, &error),
    }
}

/// Whether a logo is shown beside the domain's mail; nobody needs one.
pub(super) async fn bimi(dns: &Dns, domain: &str, dmarc: &Dmarc) -> Check {
    let title = "BIMI";
    let name = format!("default._bimi.{domain}");
    let is_strict =
        |policy: &DmarcPolicy| policy.disposition() != Policy::None && policy.percent == 100;
    let has_policy = matches!(dmarc, Ok(Some(policy)) if is_strict(policy));
    match one_text(dns, &name, "v=BIMI1").await {
        Ok(Ok(None)) => Check::new(title, Grade::Pass, "no logo is published; none is needed"),
        Ok(Ok(Some(text))) if !has_policy => Check::new(
            title,
            Grade::Warn,
            format!("`{text}` has no effect without DMARC at p=quarantine or p=reject"),
        ),
        Ok(Ok(Some(text))) => match tag(&text, "l") {
            Some(logo) if logo.starts_with("https://") => {
                Check::new(title, Grade::Pass, format!("`{text}`"))
            }
            // An empty one says that there is none.
            Some("") => Check::new(title, Grade::Pass, "the domain declines to have a logo"),
            _ => Check::new(title, Grade::Warn, format!("`{text}` names no logo by https")),
        },
        Ok(Err(problem)) => Check::new(title, Grade::Warn, problem),
        Err(error) => Check::unknown(title, &error),
    }
}
