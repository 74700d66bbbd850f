//! DMARC: whose policy holds, and whether a message meets it (RFC 9989).

mod record;

use crate::dns::{Dns, LookupError, is_within};
use crate::finding::{
    Alignment, DkimFinding, DmarcFinding, DmarcPolicy, Nearness, Policy, SpfFinding, Verdict,
};

use record::Boundary;
pub(crate) use record::Record;

/// Labels from which the walk goes on, for a name that has more (RFC 9989 §4.10).
const LABELS_MAX: usize = 7;

/// The records between a domain and the root, the longest name first.
pub(crate) struct Walk {
    start: String,
    found: Vec<(String, Record)>,
}

impl Walk {
    /// Walks up from `domain`, which is in A-labels. At most eight look-ups.
    pub(crate) async fn up_from(dns: &Dns, domain: &str) -> Result<Self, LookupError> {
        let mut walk = Self { start: domain.to_owned(), found: Vec::new() };
        let labels: Vec<_> = domain.split('.').collect();
        if labels.len() < 2 {
            return Ok(walk);
        }
        let mut left = labels.len();
        while left > 0 {
            let name = labels.get(labels.len() - left..).unwrap_or_default().join(".");
            if let Some(record) = record_of(dns, &name).await? {
                let is_end = record.boundary.is_some();
                walk.found.push((name, record));
                if is_end {
                    break;
                }
            }
            left = if left > LABELS_MAX { LABELS_MAX } else { left - 1 };
        }
        Ok(walk)
    }

    /// The organization's domain (RFC 9989 §4.10.2).
    pub(crate) fn organization(&self) -> &str {
        for (name, record) in &self.found {
            match record.boundary {
                Some(Boundary::Organization) => return name,
                Some(Boundary::PublicSuffix) if *name != self.start => {
                    return below(&self.start, name);
                }
                _ => {}
            }
        }
        self.found.last().map_or(self.start.as_str(), |(name, _)| name)
    }

    /// The record that holds for the domain, and whose it is (RFC 9989 §4.10.1).
    fn record(&self) -> Option<(&str, &Record)> {
        let of = |wanted: &str| self.found.iter().find(|(name, _)| name == wanted);
        let found = of(&self.start).or_else(|| of(self.organization()));
        found.or_else(|| self.found.last()).map(|(name, record)| (name.as_str(), record))
    }
}

/// The name one label longer than `above` on the way to `domain`.
fn below<'a>(domain: &'a str, above: &str) -> &'a str {
    let head = domain.strip_suffix(above).and_then(|head| head.strip_suffix('.'));
    let Some(head) = head else { return domain };
    let start = head.rfind('.').map_or(0, |at| at + 1);
    domain.get(start..).unwrap_or(domain)
}

/// The one DMARC record of a name; several count as none (RFC 9989 §4.10).
async fn record_of(dns: &Dns, name: &str) -> Result<Option<Record>, LookupError> {
    let texts = match dns.texts(&format!("_dmarc.{name}")).await {
        Ok(texts) => texts,
        Err(error) if error.is_temporary() => return Err(error),
        Err(_) => return Ok(None),
    };
    let mut records = texts.iter().filter_map(|text| Record::parse(text));
    match (records.next(), records.next()) {
        (Some(record), None) => Ok(Some(record)),
        _ => Ok(None),
    }
}

/// The policy that holds for `domain`; none if nobody published one.
pub(crate) async fn policy(dns: &Dns, domain: &str) -> Result<Option<DmarcPolicy>, LookupError> {
    let walk = Walk::up_from(dns, domain).await?;
    policy_of(dns, &walk).await
}

async fn policy_of(dns: &Dns, walk: &Walk) -> Result<Option<DmarcPolicy>, LookupError> {
    let Some((found_at, record)) = walk.record() else { return Ok(None) };
    let Some(domain_policy) = record.policy() else { return Ok(None) };
    let subdomain_policy = record.subdomain.unwrap_or(domain_policy);
    let missing_policy = record.missing.unwrap_or(subdomain_policy);
    let policy = if found_at == walk.start {
        domain_policy
    } else if missing_policy != subdomain_policy && is_missing(dns, &walk.start).await? {
        missing_policy
    } else {
        subdomain_policy
    };
    Ok(Some(DmarcPolicy {
        policy,
        domain_policy,
        subdomain_policy,
        missing_policy,
        percent: record.percent,
        is_test: record.is_test || record.percent == 0,
        dkim: record.dkim,
        spf: record.spf,
        aggregate_reports: record.aggregate_reports.clone(),
        failure_reports: record.failure_reports.clone(),
        found_at: found_at.to_owned(),
        organization: walk.organization().to_owned(),
        text: record.text.clone(),
    }))
}

/// Whether the DNS says that there is no such name (RFC 8020).
async fn is_missing(dns: &Dns, domain: &str) -> Result<bool, LookupError> {
    match dns.addresses_v4(domain).await {
        Err(LookupError::NoName(_)) => Ok(true),
        Err(error) if error.is_temporary() => Err(error),
        _ => Ok(false),
    }
}

/// What a message says of itself and what was found out about it.
pub(crate) struct Claims<'a> {
    /// The domains in `From`, each once.
    pub authors: &'a [String],
    pub spf: &'a SpfFinding,
    pub dkim: &'a [DkimFinding],
}

/// The finding where nothing could be found out.
pub(crate) fn unknown(claims: &Claims<'_>, reason: &str) -> DmarcFinding {
    DmarcFinding {
        result: Verdict::TempError,
        domain: claims.authors.first().cloned().unwrap_or_default(),
        record: None,
        disposition: Policy::None,
        spf: Alignment::Unknown,
        dkim: Alignment::Unknown,
        reason: reason.to_owned(),
    }
}

/// Holds a message against the policy of its author's domain.
pub(crate) async fn evaluate(dns: &Dns, claims: &Claims<'_>) -> DmarcFinding {
    let mut finding = DmarcFinding {
        result: Verdict::None,
        spf: Alignment::NoPass,
        dkim: Alignment::NoPass,
        ..unknown(claims, "")
    };
    let author = match claims.authors {
        [author] => author,
        [] => {
            finding.result = Verdict::PermError;
            "the message has no readable From field".clone_into(&mut finding.reason);
            return finding;
        }
        [_, ..] => {
            finding.result = Verdict::PermError;
            "From names authors of several domains".clone_into(&mut finding.reason);
            return finding;
        }
    };
    let (walk, record) = match look_up(dns, author).await {
        Ok(found) => found,
        Err(error) => {
            finding.result = Verdict::TempError;
            finding.reason = error.to_string();
            return finding;
        }
    };
    let Some(record) = record else {
        finding.reason = format!("{author} publishes no DMARC policy");
        return finding;
    };
    let author_is = Author { domain: author, organization: walk.organization() };
    let spf = [(claims.spf.domain.as_str(), claims.spf.result)];
    finding.spf = alignment(dns, &author_is, record.spf, &spf).await;
    let dkim: Vec<_> = claims.dkim.iter().map(|it| (it.domain.as_str(), it.result)).collect();
    finding.dkim = alignment(dns, &author_is, record.dkim, &dkim).await;
    decide(&mut finding, &record);
    finding.record = Some(record);
    finding
}

async fn look_up(dns: &Dns, author: &str) -> Result<(Walk, Option<DmarcPolicy>), LookupError> {
    let walk = Walk::up_from(dns, author).await?;
    let record = policy_of(dns, &walk).await?;
    Ok((walk, record))
}

fn decide(finding: &mut DmarcFinding, record: &DmarcPolicy) {
    let author = &finding.domain;
    (finding.result, finding.reason) = match (finding.spf, finding.dkim) {
        (Alignment::Aligned, Alignment::Aligned) => {
            (Verdict::Pass, format!("SPF and a signature both speak for {author}"))
        }
        (Alignment::Aligned, _) => (Verdict::Pass, format!("SPF speaks for {author}")),
        (_, Alignment::Aligned) => (Verdict::Pass, format!("a signature speaks for {author}")),
        (Alignment::Unknown, _) | (_, Alignment::Unknown) => (
            Verdict::TempError,
            format!("whether something speaks for {author} could not be looked up"),
        ),
        (Alignment::NoPass, Alignment::NoPass) => (
            Verdict::Fail,
            format!("neither SPF nor a signature passed, and {author} wants one of them"),
        ),
        _ => {
            (Verdict::Fail, format!("what passed does not belong to the organization of {author}"))
        }
    };
    if finding.result == Verdict::Fail {
        finding.disposition = record.disposition();
    }
}

struct Author<'a> {
    domain: &'a str,
    organization: &'a str,
}

/// The best that `checks`, domains with their results, say for the author.
async fn alignment(
    dns: &Dns,
    author: &Author<'_>,
    nearness: Nearness,
    checks: &[(&str, Verdict)],
) -> Alignment {
    let mut best = Alignment::NoPass;
    for (domain, result) in checks {
        if !matches!(result, Verdict::Pass | Verdict::TempError) {
            continue;
        }
        let is_near = is_near(dns, author, nearness, domain).await;
        match (is_near, result) {
            (Ok(true), Verdict::Pass) => return Alignment::Aligned,
            (Ok(true) | Err(_), _) => best = Alignment::Unknown,
            (Ok(false), Verdict::Pass) if best == Alignment::NoPass => best = Alignment::NotAligned,
            (Ok(false), _) => {}
        }
    }
    best
}

async fn is_near(
    dns: &Dns,
    author: &Author<'_>,
    nearness: Nearness,
    domain: &str,
) -> Result<bool, LookupError> {
    let Some(domain) = crate::dns::a_labels(domain) else { return Ok(false) };
    if domain == author.domain {
        return Ok(true);
    }
    if nearness == Nearness::Strict || !is_within(&domain, author.organization) {
        return Ok(false);
    }
    Ok(domain == author.organization
        || Walk::up_from(dns, &domain).await?.organization() == author.organization)
}
