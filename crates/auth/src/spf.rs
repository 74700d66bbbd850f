//! SPF (RFC 7208): which identity is asked, which record holds, and what the answer means.
//!
//! The record of the domain itself is looked up here, since the library takes the first of several records, where
//! RFC 7208 §4.5 wants `permerror`; the rest of the evaluation is the library's.

pub(crate) mod record;

use std::borrow::Borrow;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use mail_auth::common::cache::NoCache;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::spf::Spf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{MX, MessageAuthenticator, Parameters, RecordSet, ResolverCache, SpfResult, Txt};

use crate::dns::{Dns, a_labels};
use crate::finding::{Identity, SpfFinding, Verdict};
use crate::spf::record::{is_record, terms};

/// Characters of an explanation that are kept.
const EXPLANATION_MAX: usize = 200;

/// What SPF asks about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub client: IpAddr,
    pub helo: &'a str,
    /// What stands in `MAIL FROM`, without brackets; empty for the null sender.
    pub sender: &'a str,
    /// The name of this host, for macros.
    pub host: &'a str,
}

impl Question<'_> {
    /// A finding with nothing found yet.
    pub(crate) fn open(&self) -> SpfFinding {
        let of_sender = self.sender.rsplit_once('@').map(|(_, domain)| domain);
        let (identity, domain) = match of_sender {
            Some(domain) => (Identity::MailFrom, domain),
            None => (Identity::Helo, self.helo),
        };
        let domain = a_labels(domain).unwrap_or_default();
        let reason = String::new();
        SpfFinding { result: Verdict::None, domain, identity, explanation: None, reason }
    }
}

/// Asks whether `client` may send for the sender.
pub(crate) async fn check(dns: &Dns, question: &Question<'_>) -> SpfFinding {
    let mut finding = question.open();
    if !finding.domain.contains('.') {
        finding.reason = match finding.identity {
            Identity::MailFrom => "the sender's domain is no name of the DNS".to_owned(),
            Identity::Helo => "the name in HELO is no name of the DNS".to_owned(),
        };
        return finding;
    }
    match record(dns, &finding.domain).await {
        Ok(record) => evaluate(dns, question, finding, record).await,
        Err((result, reason)) => SpfFinding { result, reason, ..finding },
    }
}

/// The one SPF record of a domain, or the result that follows.
async fn record(dns: &Dns, domain: &str) -> Result<Spf, (Verdict, String)> {
    let texts = dns.texts(domain).await.map_err(|error| {
        if error.is_temporary() {
            (Verdict::TempError, error.to_string())
        } else {
            (Verdict::None, format!("{domain} publishes no SPF record: {error}"))
        }
    })?;
    let mut records = texts.iter().filter(|text| is_record(text));
    match (records.next(), records.next()) {
        (None, _) => Err((Verdict::None, format!("{domain} publishes no SPF record"))),
        (Some(_), Some(_)) => Err((
            Verdict::PermError,
            format!("{domain} publishes more than one SPF record; only one may be there"),
        )),
        (Some(text), None) => {
            // The library passes over mechanisms that it does not know (RFC 7208 §4.6).
            let is_known = terms(text).all(|term| term.is_known());
            let record = Spf::parse(text.as_bytes()).ok().filter(|_| is_known);
            record.ok_or_else(|| {
                (Verdict::PermError, format!("the SPF record of {domain} cannot be understood"))
            })
        }
    }
}

async fn evaluate(
    dns: &Dns,
    question: &Question<'_>,
    mut finding: SpfFinding,
    record: Spf,
) -> SpfFinding {
    let domain = finding.domain.clone();
    let known = Known { name: format!("{domain}."), record: Txt::Spf(record.into()) };
    let client = question.client.to_canonical();
    let spf = match finding.identity {
        Identity::MailFrom => {
            // The domain in the form that was looked up.
            let local = question.sender.rsplit_once('@').map_or("", |(local, _)| local);
            let sender = format!("{local}@{domain}");
            verify(
                dns,
                SpfParameters::verify_mail_from(client, question.helo, question.host, &sender),
                &known,
            )
            .await
        }
        Identity::Helo => {
            verify(dns, SpfParameters::verify_ehlo(client, &domain, question.host), &known).await
        }
    };
    finding.result = match spf.result() {
        SpfResult::Pass => Verdict::Pass,
        SpfResult::Fail => Verdict::Fail,
        SpfResult::SoftFail => Verdict::SoftFail,
        SpfResult::Neutral => Verdict::Neutral,
        SpfResult::None => Verdict::None,
        SpfResult::TempError => Verdict::TempError,
        SpfResult::PermError => Verdict::PermError,
    };
    finding.explanation = spf.explanation().map(printable);
    finding.reason = match finding.result {
        Verdict::Pass => format!("{domain} lets {client} send"),
        Verdict::Fail => format!("{domain} does not let {client} send"),
        Verdict::SoftFail => format!("{domain} does not expect mail from {client}"),
        Verdict::TempError => format!("the SPF record of {domain} needs a look-up that failed"),
        Verdict::PermError => {
            format!(
                "the SPF record of {domain} needs too many look-ups, or one of a name without a good record"
            )
        }
        _ => format!("{domain} says nothing of {client}"),
    };
    finding
}

async fn verify(dns: &Dns, question: SpfParameters<'_>, known: &Known) -> mail_auth::SpfOutput {
    type Nothing<K, V> = Option<&'static NoCache<K, V>>;
    let parameters = Parameters {
        params: question,
        cache_txt: Some(known),
        cache_mx: None as Nothing<Box<str>, RecordSet<MX>>,
        cache_ptr: None as Nothing<IpAddr, RecordSet<Box<str>>>,
        cache_ipv4: None as Nothing<Box<str>, RecordSet<Ipv4Addr>>,
        cache_ipv6: None as Nothing<Box<str>, RecordSet<Ipv6Addr>>,
    };
    MessageAuthenticator(dns.resolver()).verify_spf(parameters).await
}

/// What comes from a stranger's DNS, fit for a reply and a log.
fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(EXPLANATION_MAX).map(visible).collect()
}

/// The record that is known already, handed to the library as if it were cached.
struct Known {
    name: String,
    record: Txt,
}

impl ResolverCache<Box<str>, Txt> for Known {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let known: Box<str> = self.name.as_str().into();
        (known.borrow() == name).then(|| self.record.clone())
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}
