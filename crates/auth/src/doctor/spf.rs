//! Whether SPF lets this relay send for a domain, and the one record that does (RFC 7208).

use std::collections::VecDeque;

use super::check::{Check, Grade, Party};
use super::relay::Relay;
use crate::dns::{Dns, LookupError};
use crate::finding::Verdict;
use crate::spf::Question;
use crate::spf::record::{Term, is_record, merged, others, terms};

/// RFC 7208 §4.6.4: what verifiers bear.
const LOOKUPS_MAX: usize = 10;
const VOIDS_MAX: usize = 2;
/// Where counting ends: the record is bad long before.
const COUNT_MAX: usize = 40;

/// What a record costs those who read it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Count {
    /// Terms that cost a look-up, those of included records among them. Verifiers bear ten.
    pub lookups: usize,
    /// Look-ups of names without an answer. Verifiers bear two.
    pub voids: usize,
    /// What else is wrong.
    pub problems: Vec<String>,
}

/// Counts the look-ups that `record` of `domain` needs if nothing matches early.
pub async fn count(dns: &Dns, domain: &str, record: &str) -> Result<Count, LookupError> {
    let mut count = Count::default();
    let mut open = VecDeque::from([(domain.to_owned(), record.to_owned())]);
    let mut seen = vec![domain.to_owned()];
    while let Some((domain, record)) = open.pop_front() {
        for term in terms(&record).filter(Term::costs) {
            count.lookups += 1;
            if count.lookups > COUNT_MAX {
                return Ok(count);
            }
            // What a macro stands for is known only when mail comes.
            if term.value.contains('%') {
                continue;
            }
            let target = if term.value.is_empty() { domain.as_str() } else { term.value };
            match term.name.as_str() {
                "include" | "redirect" => {
                    let target = target.trim_end_matches('.').to_ascii_lowercase();
                    if seen.contains(&target) {
                        count.problems.push(format!("{target} is included twice"));
                        continue;
                    }
                    match one_record(dns, &target).await? {
                        Ok(record) => open.push_back((target.clone(), record)),
                        Err(problem) => count.problems.push(problem),
                    }
                    seen.push(target);
                }
                "a" | "exists" => {
                    count.voids += usize::from(is_void(dns.addresses_v4(target).await)?);
                }
                "mx" => count.voids += usize::from(is_void(dns.exchangers(target).await)?),
                _ => {}
            }
        }
    }
    Ok(count)
}

fn is_void<T>(answer: Result<T, LookupError>) -> Result<bool, LookupError> {
    match answer {
        Ok(_) => Ok(false),
        Err(error) if error.is_temporary() => Err(error),
        Err(_) => Ok(true),
    }
}

async fn one_record(dns: &Dns, domain: &str) -> Result<Result<String, String>, LookupError> {
    let mut records = records(dns, domain).await?;
    Ok(match (records.pop(), records.len()) {
        (Some(record), 0) => Ok(record),
        (Some(_), _) => Err(format!("{domain} is included and has more than one SPF record")),
        (None, _) => Err(format!("{domain} is included and has no SPF record")),
    })
}

async fn records(dns: &Dns, domain: &str) -> Result<Vec<String>, LookupError> {
    match dns.texts(domain).await {
        Ok(texts) => Ok(texts.into_iter().filter(|text| is_record(text)).collect()),
        Err(error) if error.is_temporary() => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

/// Whether all sources may send, at what cost, and what to publish if not.
pub(super) async fn check(dns: &Dns, relay: &Relay, domain: &str) -> Check {
    match look(dns, relay, domain).await {
        Ok(check) => check,
        Err(error) => Check::unknown("SPF", &error),
    }
}

async fn look(dns: &Dns, relay: &Relay, domain: &str) -> Result<Check, LookupError> {
    let records = records(dns, domain).await?;
    let texts: Vec<&str> = records.iter().map(String::as_str).collect();
    let ours = ours(relay);
    let publish = |text: &str, words: &str| relay.publish(domain, text, words);
    match texts.as_slice() {
        [] => {
            let record = format!("{} ~all", merged(&[], &ours));
            let check = Check::new("SPF", Grade::Fail, format!("{domain} has no SPF record"));
            if ours.is_empty() {
                // Published, one that names nobody would have the domain's mail refused.
                let words = "set `source_addresses` of an [[outbound]], or `spf_include`, and ask again for the record to publish";
                return Ok(check.tell(Party::Operator, words));
            }
            Ok(check.advise(publish(&record, "publish this record")))
        }
        [record] => single(dns, relay, domain, record).await,
        [..] => {
            let mut found = format!(
                "{domain} has {} SPF records, which counts as an error (permerror): only one may be there",
                texts.len()
            );
            let record = merged(&texts, &ours);
            let cost = count(dns, domain, &record).await?.lookups;
            if cost > LOOKUPS_MAX {
                found.extend([format!(
                    "; all in one they need {cost} look-ups where verifiers stop at {LOOKUPS_MAX}"
                )]);
            }
            let words = "put this one record in place of all of them";
            Ok(Check::new("SPF", Grade::Fail, found).advise(publish(&record, words)))
        }
    }
}

async fn single(
    dns: &Dns,
    relay: &Relay,
    domain: &str,
    record: &str,
) -> Result<Check, LookupError> {
    let (refused, problem) = refused(dns, relay, domain).await;
    let added = if refused.is_empty() { Vec::new() } else { ours(relay) };
    let wanted = merged(&[record], &added);
    let wanted = if added.is_empty() { record } else { wanted.as_str() };
    let cost = count(dns, domain, wanted).await?;
    let costs = format!("{} of {LOOKUPS_MAX} look-ups", cost.lookups);
    let mut grade = Grade::Pass;
    let mut found = format!("`{record}` lets all addresses of this relay send ({costs})");
    if relay.sources.is_empty() {
        found = format!("`{record}` ({costs})");
    }
    if !refused.is_empty() {
        grade = Grade::Fail;
        found = format!("`{record}` does not let {} send", refused.join(", "));
    }
    let mut notes: Vec<String> = cost.problems.clone();
    notes.extend(problem);
    if cost.lookups > LOOKUPS_MAX {
        grade = Grade::Fail;
        notes.push(format!(
            "the record needs {} look-ups where verifiers stop at {LOOKUPS_MAX}",
            cost.lookups
        ));
    }
    if cost.voids > VOIDS_MAX {
        notes.push(format!(
            "{} of its names have no answer, where verifiers bear {VOIDS_MAX}",
            cost.voids
        ));
    }
    if others(record) == Some('+') {
        notes.push("`+all` lets everybody send in the domain's name".to_owned());
    }
    if !notes.is_empty() {
        grade = grade.max(Grade::Warn);
        found = format!("{found}; {}", notes.join("; "));
    }
    let check = Check::new("SPF", grade, found);
    if !added.is_empty() {
        let words =
            "put this record in place of the one that is there; a second one would be an error";
        return Ok(check.advise(relay.publish(domain, wanted, words)));
    }
    let party = relay.party(domain);
    Ok(if notes.is_empty() {
        check
    } else {
        check.tell(party, "mend or take out these terms of the record")
    })
}

/// The sources that the published record does not let pass, and what else verifiers say.
async fn refused(dns: &Dns, relay: &Relay, domain: &str) -> (Vec<String>, Option<String>) {
    let sender = format!("postmaster@{domain}");
    let (mut refused, mut problem) = (Vec::new(), None);
    for source in &relay.sources {
        let question =
            Question { client: *source, helo: &relay.helo, sender: &sender, host: &relay.helo };
        let finding = crate::spf::check(dns, &question).await;
        match finding.result {
            Verdict::Pass => {}
            Verdict::TempError => problem = Some(finding.reason),
            Verdict::PermError => {
                refused.push(source.to_string());
                problem = Some(finding.reason);
            }
            _ => refused.push(source.to_string()),
        }
    }
    (refused, problem)
}

/// The terms that let this relay send.
fn ours(relay: &Relay) -> Vec<String> {
    if !relay.spf_include.is_empty() {
        return vec![format!("include:{}", relay.spf_include)];
    }
    let term = |address: &std::net::IpAddr| match address {
        std::net::IpAddr::V4(address) => format!("ip4:{address}"),
        std::net::IpAddr::V6(address) => format!("ip6:{address}"),
    };
    relay.sources.iter().map(term).collect()
}
