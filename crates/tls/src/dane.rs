//! Certificates that the DNS vouches for (RFC 6698, RFC 7671, RFC 7672 §3).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls::{CommonState, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use crate::description::Description;
use crate::provider::provider;
use crate::verifier::{Judge, Shown};
use crate::words::{Fault, words_of};

/// Trust anchor assertion.
const DANE_TA: u8 = 2;
/// Domain-issued certificate.
const DANE_EE: u8 = 3;
/// The whole certificate.
const CERTIFICATE: u8 = 0;
/// Its key.
const KEY: u8 = 1;
const EXACT: u8 = 0;
const SHA_256: u8 = 1;
const SHA_512: u8 = 2;
/// Chains that are built for one certificate: who owns the records and the host could ask for hundreds.
const CHECKS_MAX: usize = 16;
/// Certificates of a chain that are looked at: it comes from an enemy.
const CHAIN_MAX: usize = 10;
/// Octets of a record's data that are shown.
const SHOWN_MAX: usize = 8;
/// Records that are named where none matches.
const NAMED_MAX: usize = 4;

/// A TLSA record (RFC 6698 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The certificate usage.
    pub usage: u8,
    /// The selector.
    pub selector: u8,
    /// The matching type.
    pub matching: u8,
    /// The certificate association data.
    pub data: Box<[u8]>,
}

impl Record {
    /// Whether it can match at all, for SMTP: authorities that everybody trusts are not asked (RFC 7672 §3.1.3).
    pub fn is_usable(&self) -> bool {
        let is_whole = match self.matching {
            EXACT => !self.data.is_empty(),
            SHA_256 => self.data.len() == 32,
            SHA_512 => self.data.len() == 64,
            _ => false,
        };
        matches!(self.usage, DANE_TA | DANE_EE)
            && matches!(self.selector, CERTIFICATE | KEY)
            && is_whole
    }

    /// Whether it is about `certificate`.
    fn covers(&self, certificate: &CertificateDer<'_>) -> bool {
        if self.selector == CERTIFICATE {
            return self.holds(certificate);
        }
        let parsed = X509Certificate::from_der(certificate);
        parsed.is_ok_and(|(_, parsed)| self.holds(parsed.tbs_certificate.subject_pki.raw))
    }

    fn holds(&self, octets: &[u8]) -> bool {
        match self.matching {
            SHA_256 => *self.data == *digest(&SHA256, octets).as_ref(),
            SHA_512 => *self.data == *digest(&SHA512, octets).as_ref(),
            _ => *self.data == *octets,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { usage, selector, matching, data } = self;
        write!(out, "{usage} {selector} {matching} ")?;
        for octet in data.iter().take(SHOWN_MAX) {
            write!(out, "{octet:02x}")?;
        }
        if data.len() > SHOWN_MAX { out.write_str("...") } else { Ok(()) }
    }
}

/// What a host's certificate must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dane {
    records: Box<[Record]>,
    names: Box<[Box<str>]>,
}

impl Dane {
    /// Takes the usable ones of `records`; none if there is none. A certificate that an authority issued must show the
    /// base domain of the records or another of `names` (RFC 7672 §3.2.2).
    pub fn new(records: &[Record], base: &str, names: &[&str]) -> Option<Self> {
        let records: Box<[_]> =
            records.iter().filter(|record| record.is_usable()).cloned().collect();
        let names = std::iter::once(base).chain(names.iter().copied()).map(Box::from).collect();
        (!records.is_empty()).then_some(Self { records, names })
    }

    /// The name that TLS asks for, which is the base domain of the records.
    pub(crate) fn base(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }

    /// The record that the other side's certificate matches.
    ///
    /// # Errors
    /// Why none does, in words.
    pub fn matching(&self, session: &CommonState) -> Result<&Record, String> {
        let chain = session.peer_certificates().unwrap_or_default();
        let Some((certificate, intermediates)) = chain.split_first() else {
            return Err("the host shows no certificate".to_owned());
        };
        let algorithms = provider().signature_verification_algorithms;
        let now = UnixTime::now();
        self.matching_one(Shown { certificate, intermediates, now, algorithms })
    }

    fn matching_one(&self, shown: Shown<'_>) -> Result<&Record, String> {
        let Shown { certificate, intermediates, .. } = shown;
        // Neither names nor dates count: the DNS is newer and nearer (RFC 7672 §3.1.1).
        let is_direct = |record: &&Record| record.usage == DANE_EE && record.covers(certificate);
        if let Some(record) = self.records.iter().find(is_direct) {
            return Ok(record);
        }
        let (mut why, mut checks) = (None, 0..CHECKS_MAX);
        for record in self.records.iter().filter(|record| record.usage == DANE_TA) {
            for anchor in anchors(record, intermediates) {
                if checks.next().is_none() {
                    break;
                }
                let Err(words) = shown.comes_from(&anchor, &self.names) else { return Ok(record) };
                why = Some(format!("TLSA record {record} does not hold: {words}"));
            }
        }
        let words = why.unwrap_or_else(|| format!("the certificate does not match {self}"));
        let description = Description::read(certificate);
        Err(words + &description.map(|it| format!(" ({it})")).unwrap_or_default())
    }
}

impl fmt::Display for Dane {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<_> = self.records.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let more = if self.records.len() > NAMED_MAX { " and others" } else { "" };
        let s = if self.records.len() > 1 { "s" } else { "" };
        write!(out, "TLSA record{s} {}{more} of {}", named.join(", "), self.base())
    }
}

/// The authorities that `record` is about: those that the host shows, or the one that it holds itself. The host's own
/// certificate is none (RFC 7671 §5.2).
fn anchors<'a>(
    record: &'a Record,
    intermediates: &'a [CertificateDer<'a>],
) -> Vec<CertificateDer<'a>> {
    if (record.selector, record.matching) == (CERTIFICATE, EXACT) {
        return vec![CertificateDer::from(&*record.data)];
    }
    let shown = intermediates.iter().take(CHAIN_MAX);
    shown.filter(|certificate| record.covers(certificate)).cloned().collect()
}

impl Shown<'_> {
    /// Whether an authority has issued the certificate, for one of `names`; an error says what is wrong.
    fn comes_from(self, anchor: &CertificateDer<'_>, names: &[Box<str>]) -> Result<(), String> {
        if !is_in_time(anchor, self.now) {
            return Err("the authority's certificate is malformed or not valid now".to_owned());
        }
        let mut roots = RootCertStore::empty();
        roots.add(anchor.clone()).map_err(|error| words_of(&error))?;
        let intermediates = self.intermediates.get(..CHAIN_MAX).unwrap_or(self.intermediates);
        let parsed = ParsedCertificate::try_from(self.certificate);
        let verified = parsed.and_then(|parsed| {
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &roots,
                intermediates,
                self.now,
                algorithms,
            )
        });
        verified.map_err(|error| words_of(&error))?;
        let shown = Description::read(self.certificate);
        let is_for = |name: &str| shown.as_ref().is_some_and(|shown| shown.is_for(name));
        if names.iter().any(|name| is_for(name)) {
            return Ok(());
        }
        Err(format!("the certificate is not for {}", names.join(" or ")))
    }
}

fn is_in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let parsed = X509Certificate::from_der(certificate);
    now.zip(parsed.ok()).is_some_and(|(now, (_, parsed))| parsed.validity().is_valid_at(now))
}

/// Takes a host's certificate if it matches what the DNS says.
impl Judge for Arc<Dane> {
    fn judge(&self, shown: Shown<'_>, _: &ServerName<'_>) -> Result<(), Error> {
        self.matching_one(shown).map(|_| ()).map_err(|words| Fault::into_error(words.into()))
    }
}
