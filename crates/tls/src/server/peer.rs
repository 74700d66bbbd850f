//! What a client's certificate says.

use rustls::DistinguishedName;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Of one certificate; more would only be shown by who wants to fill a log.
const NAMES_MAX: usize = 100;
const WORDS_MAX: usize = 200;

/// A client's certificate. Its texts are printable ASCII, but for those of the issuer, which are for comparing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is: `CN=mail.example.com, O=Example`.
    pub subject: Box<str>,
    /// The names of hosts that it is for, in lower case: its alternative names, else its common name.
    pub names: Box<[Box<str>]>,
    /// Who issued it: the attributes of the distinguished name, such as `CN` and `Example Issuing CA`, as they stand there.
    pub issuer: Box<[(Box<str>, Box<str>)]>,
    /// Why it is not trusted, in words; its texts then prove nothing.
    pub fault: Option<Box<str>>,
}

impl PeerCertificate {
    /// The names, if a trusted authority vouches for them.
    pub fn trusted_names(&self) -> &[Box<str>] {
        if self.fault.is_none() { &self.names } else { &[] }
    }

    /// Who issued it, if a trusted authority vouches for that; else nobody.
    pub fn trusted_issuer(&self) -> &[(Box<str>, Box<str>)] {
        if self.fault.is_none() { &self.issuer } else { &[] }
    }

    /// Reads what `certificate` says; `fault` is why it is not trusted.
    pub(super) fn read(certificate: &CertificateDer<'_>, fault: Option<Box<str>>) -> Self {
        let Ok((_, read)) = X509Certificate::from_der(certificate) else {
            let fault = fault.or_else(|| Some("the certificate cannot be read".into()));
            return Self {
                subject: Box::default(),
                names: Box::default(),
                issuer: Box::default(),
                fault,
            };
        };
        Self {
            subject: plain(&read.subject().to_string()),
            names: names(&read),
            issuer: attributes(read.issuer()),
            fault,
        }
    }
}

/// A common name counts only without alternative names (RFC 6125 §6.4.4): an authority that may issue for some domains
/// only is held to that by the alternative names.
fn names(certificate: &X509Certificate<'_>) -> Box<[Box<str>]> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<_> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None })
        .take(NAMES_MAX)
        .map(plain)
        .collect();
    if !names.is_empty() {
        return names.iter().map(|name| name.to_ascii_lowercase().into()).collect();
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.take(1).map(|name| plain(name).to_ascii_lowercase().into()).collect()
}

/// The attributes of a distinguished name that are text.
fn attributes(name: &X509Name<'_>) -> Box<[(Box<str>, Box<str>)]> {
    let attribute = |it: &AttributeTypeAndValue<'_>| {
        let key = oid2abbrev(it.attr_type(), oid_registry()).ok()?;
        Some((Box::from(key), Box::from(it.as_str().ok()?)))
    };
    name.iter_attributes().take(NAMES_MAX).filter_map(attribute).collect()
}

/// Says in words why no trusted authority stands at the end of a chain; none if it cannot be read.
pub(super) fn unknown_issuer(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    trusted: &[DistinguishedName],
) -> Option<Box<str>> {
    let (_, last) = X509Certificate::from_der(intermediates.last().unwrap_or(certificate)).ok()?;
    let issuer = plain(&last.issuer().to_string());
    let is_self_signed = last.issuer().as_raw() == last.subject().as_raw();
    let is_known = trusted.iter().any(|name| name.as_ref() == last.issuer().as_raw());
    let words = if is_known {
        format!("the certificate names {issuer} as its issuer but is not signed by it")
    } else if is_self_signed && intermediates.is_empty() {
        "the certificate is self-signed and not trusted here".to_owned()
    } else if intermediates.is_empty() {
        format!(
            "incomplete chain: only the certificate itself was sent, and its issuer {issuer} is no authority that is trusted here"
        )
    } else {
        format!(
            "the certificate's chain ends at {issuer}, which is no authority that is trusted here"
        )
    };
    Some(words.into())
}

fn plain(text: &str) -> Box<str> {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    let text: String =
        text.chars().take(WORDS_MAX).map(|c| if is_plain(c) { c } else { '?' }).collect();
    text.into()
}
