//! What a certificate says, for people.

use std::net::IpAddr;

use rustls::CommonState;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// Names in words; a certificate may hold thousands.
const NAMES_MAX: usize = 5;
/// Letters of each name in words.
const LETTERS_MAX: usize = 100;

/// What a certificate says of itself. Nothing of it is verified here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Whom it is for: the names and addresses among its alternative names, else its common name.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// The first day on which it is good, such as `2026-01-31`.
    pub begins: String,
    /// The last day.
    pub ends: String,
    /// Its end, in seconds since 1970.
    ends_at: i64,
}

impl Description {
    /// Reads one; none if it is malformed.
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let validity = certificate.validity();
        Some(Self {
            names: names(&certificate),
            issuer: plain(&certificate.issuer().to_string()),
            begins: day(validity.not_before),
            ends: day(validity.not_after),
            ends_at: validity.not_after.timestamp(),
        })
    }

    /// What the other side's certificate says, after the handshake.
    pub fn of_peer(session: &CommonState) -> Option<Self> {
        session.peer_certificates()?.first().and_then(Self::read)
    }

    /// What the certificate says that goes with a key.
    pub fn of(key: &CertifiedKey) -> Option<Self> {
        key.cert.first().and_then(Self::read)
    }

    /// Whether it was no good any more at `now`, in seconds since 1970.
    pub fn is_over(&self, now: u64) -> bool {
        i64::try_from(now).is_ok_and(|now| now > self.ends_at)
    }

    /// Whether it is for `expected`: a name, or `*.` and a name for any with one label in front.
    pub(crate) fn is_for(&self, expected: &str) -> bool {
        self.names.iter().any(|name| fits(expected, name) || fits(name, expected))
    }
}

impl std::fmt::Display for Description {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.names.iter().take(NAMES_MAX).map(|name| plain(name)).collect();
        let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        let more = if self.names.len() > NAMES_MAX { " and others" } else { "" };
        let Self { issuer, begins, ends, .. } = self;
        write!(out, "it is for {names}{more}, issued by {issuer}, good from {begins} to {ends}")
    }
}

/// Whether `name` is what `pattern` means; `*` stands for one label.
fn fits(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    let rest = pattern.strip_prefix("*.").filter(|rest| rest.contains('.'));
    let (Some(rest), Some((label, domain))) = (rest, name.split_once('.')) else { return false };
    !label.is_empty() && label != "*" && rest.eq_ignore_ascii_case(domain)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.map(|it| it.value.general_names.as_slice()).unwrap_or_default();
    let names: Vec<_> = alternative.iter().filter_map(name).collect();
    if !names.is_empty() {
        return names;
    }
    let common = certificate.subject().iter_common_name();
    common.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            let four = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok()?;
            Some(address.to_string())
        }
        _ => None,
    }
}

fn day(time: ASN1Time) -> String {
    let date = time.to_datetime().date();
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// What a peer wrote: short and without controls.
fn plain(text: &str) -> String {
    text.chars().take(LETTERS_MAX).collect::<String>().replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        for (pattern, name, want) in [
            ("mx.a.example", "MX.a.example", true),
            ("*.a.example", "mx.a.example", true),
            ("*.a.example", "*.a.example", true),
            ("*.a.example", "a.example", false),
            ("*.a.example", "x.mx.a.example", false),
            ("*.a.example", ".a.example", false),
            ("*.example", "a.example", false),
            ("mx.a.example", "mx2.a.example", false),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
    }
}
