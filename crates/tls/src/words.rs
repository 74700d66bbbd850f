//! Handshake failures in words.

use std::io;

use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};

use crate::provider::Version;

/// Why a handshake failed, for the log and for the reply that ends up in a report.
///
/// Holds no control character. `From` turns it into an [`io::Error`] that prints the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct HandshakeError {
    words: Box<str>,
    is_about_version: bool,
}

impl HandshakeError {
    /// A failure that `words` explain.
    pub(crate) fn new(words: impl Into<Box<str>>) -> Self {
        Self { words: words.into(), is_about_version: false }
    }

    /// Whether the other side speaks no version of TLS that is spoken here.
    pub const fn is_about_version(&self) -> bool {
        self.is_about_version
    }

    /// Explains to a server, which speaks `version_min` and newer, why a client's handshake failed.
    pub(crate) fn of_client(error: &io::Error, version_min: Version) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(Error::PeerIncompatible(reason))
                if *reason != PeerIncompatible::NoCipherSuitesInCommon =>
            {
                let spoken = version_min.words();
                let words =
                    format!("no TLS version or parameters in common, {spoken} ({reason:?})");
                let is_about_version = matches!(
                    reason,
                    PeerIncompatible::SignatureAlgorithmsExtensionRequired
                        | PeerIncompatible::Tls12NotOffered
                        | PeerIncompatible::Tls12NotOfferedOrEnabled
                        | PeerIncompatible::SupportedVersionsExtensionRequired
                );
                Self { is_about_version, ..Self::new(words) }
            }
            Some(Error::NoCertificatesPresented) => Self::new("the client shows no certificate"),
            Some(Error::InvalidCertificate(error)) => {
                Self::new(format!("the client's certificate: {}", certificate_words(error)))
            }
            _ => Self::explain(error),
        }
    }

    /// Explains what tokio-rustls gave.
    pub(crate) fn explain(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        Self::new(match inner {
            Some(error) => words_of(error),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe => {
                    "the other side closed the connection during the TLS handshake".to_owned()
                }
                _ => format!("the connection failed during the TLS handshake: {error}"),
            },
        })
    }
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// What is wrong with a certificate, on its way through rustls.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(Box<str>);

impl Fault {
    /// The error that makes rustls end the handshake.
    pub(crate) fn into_error(words: Box<str>) -> Error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Self(words)))))
    }
}

/// What rustls says, in words.
pub(crate) fn words_of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate_words(error),
        Error::AlertReceived(alert) => alert_words(*alert),
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "no TLS cipher suite in common".to_owned()
        }
        Error::PeerIncompatible(reason) => {
            let spoken = Version::Tls12.words();
            format!("no TLS version or parameters in common, {spoken} ({reason:?})")
        }
        Error::InvalidMessage(_) => "what came is not TLS".to_owned(),
        Error::NoCertificatesPresented => "the host shows no certificate".to_owned(),
        error => format!("TLS handshake failed: {error}").replace(char::is_control, "?"),
    }
}

pub(crate) fn certificate_words(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "the certificate was issued by no authority that is trusted here".to_owned()
        }
        CertificateError::NotValidForName => "the certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            // The names come from the peer: few, short, without controls.
            let names: Vec<_> = presented.iter().take(3).map(String::as_str).collect();
            let names: String = names.join(", ").chars().take(200).collect();
            format!("the certificate is not for {} but for {names}", expected.to_str())
                .replace(char::is_control, "?")
        }
        CertificateError::Revoked => "the certificate has been revoked".to_owned(),
        CertificateError::BadEncoding => "the certificate is malformed".to_owned(),
        CertificateError::BadSignature => "the certificate's signature is wrong".to_owned(),
        CertificateError::Other(OtherError(error)) if error.is::<Fault>() => error.to_string(),
        error if error.to_string().contains("UnsupportedCertVersion") => {
            "the certificate is of an old version of X.509, and only version 3 counts".to_owned()
        }
        // What webpki says of a self-signed certificate that may also sign others.
        error if error.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is an authority's or self-signed, not one for a host".to_owned()
        }
        error => {
            format!("the certificate cannot be accepted: {error}").replace(char::is_control, "?")
        }
    }
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::HandshakeFailure => {
            "the other side refused the handshake: no parameters in common".to_owned()
        }
        AlertDescription::ProtocolVersion => {
            "the other side speaks none of TLS 1.2 and 1.3".to_owned()
        }
        AlertDescription::UnknownCA => {
            "the other side does not trust the issuer of our certificate".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => {
            "the other side does not accept our certificate".to_owned()
        }
        AlertDescription::CertificateExpired => {
            "the other side says that our certificate has expired".to_owned()
        }
        AlertDescription::CertificateRequired => {
            "the other side wants a client certificate".to_owned()
        }
        AlertDescription::UnrecognisedName => {
            "the other side does not serve the name that was asked for".to_owned()
        }
        alert => format!("the other side ended the handshake with alert {alert:?}"),
    }
}
