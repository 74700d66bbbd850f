//! What an acceptor is told at its start.

use std::path::PathBuf;

use rustls::sign::CertifiedKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pem::{self, CertificateError};
use crate::provider::Version;
use crate::server::clients::ClientCertificates;

/// Where a listener's certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// PEM file with the certificate, then its intermediates. Read at start and at reload; a file that cannot be
    /// used stops the start, and leaves the old certificate in use at reload.
    pub certificate: PathBuf,
    /// PEM file with the private key (PKCS #8, PKCS #1 or SEC 1, not encrypted).
    pub key: PathBuf,
}

/// What an acceptor does besides showing one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Certificates for clients that ask for one of their names (RFC 6066 §3).
    pub further: Vec<Config>,
    /// The oldest version that is spoken.
    pub version_min: Version,
    /// Whether clients are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// PEM file with the authorities that may have issued clients' certificates; without it those that the system
    /// trusts.
    pub client_authorities: Option<PathBuf>,
}

impl Config {
    /// Everything that is wrong with the files, each with the key above that it is about. Blocks on files.
    pub fn problems(&self) -> Vec<(&'static str, CertificateError)> {
        match (pem::certificates(&self.certificate), pem::key(&self.key)) {
            (Ok(_), Ok(_)) => self.load().err().map(|error| ("key", error)).into_iter().collect(),
            (certificate, key) => {
                let certificate = certificate.err().map(|error| ("certificate", error));
                certificate.into_iter().chain(key.err().map(|error| ("key", error))).collect()
            }
        }
    }

    /// Reads the certificate with its key.
    pub(super) fn load(&self) -> Result<CertifiedKey, CertificateError> {
        pem::certified(&self.certificate, &self.key)
    }
}
