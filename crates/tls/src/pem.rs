//! Certificates and keys from PEM files.

use std::path::{Path, PathBuf};

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::description::Description;
use crate::provider::provider;

/// Why a certificate or a key cannot be used; the operator mends the file and tries again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not PEM.
    #[error("{path} is not a well-formed PEM file", path = .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PemError,
    },
    /// The file holds no certificate.
    #[error("{path} holds no CERTIFICATE section", path = .0.display())]
    NoCertificate(PathBuf),
    /// The file holds no private key.
    #[error("{path} holds no PRIVATE KEY section; an encrypted key cannot be used", path = .0.display())]
    NoKey(PathBuf),
    /// The two files do not fit, or the key is of a kind that is not supported.
    #[error(
        "the key in {key} does not fit the certificate in {certificate}",
        key = .key.display(), certificate = .certificate.display()
    )]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The PKCS #12 file, or the file of its password, cannot be used.
    #[error("cannot use {path}: {reason}", path = .path.display())]
    Pfx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate cannot serve as a root of trust.
    #[error("a certificate in {path} cannot serve as a root", path = .path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The crypto provider refused to set up.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// All certificates of a file, in its order, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| CertificateError::Pem { path: path.to_owned(), source })?;
    if chain.is_empty() { Err(CertificateError::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

/// What the first certificate of a PEM file says. Blocks on files.
pub fn first_described(path: &Path) -> Result<Option<Description>, CertificateError> {
    Ok(certificates(path)?.first().and_then(Description::read))
}

/// The first private key of a file.
pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| match source {
        PemError::NoItemsFound => CertificateError::NoKey(path.to_owned()),
        source => CertificateError::Pem { path: path.to_owned(), source },
    })
}

/// A certificate with its chain and the key that fits it, from two files.
pub(crate) fn certified(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let (chain, secret) = (certificates(certificate)?, self::key(key)?);
    let mismatch = |source| CertificateError::Mismatch {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    CertifiedKey::from_der(chain, secret, &provider()).map_err(mismatch)
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}
