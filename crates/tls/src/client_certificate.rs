//! The certificate that we show to hosts that ask for one.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use p12_keystore::{Certificate, Pkcs12Archive};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::pem::{self, CertificateError};
use crate::provider::provider;

/// No certificate with its authorities needs more.
const PFX_OCTETS_MAX: u64 = 1 << 20;
const PASSWORD_OCTETS_MAX: u64 = 1024;
/// What everybody but owner and group may do to a file: read and write.
const BY_EVERYBODY: u32 = 0o006;

/// Where a client certificate and its key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate<'a> {
    /// Two PEM files.
    Pem {
        /// The certificate, then its intermediates.
        certificate: &'a Path,
        /// The private key, not encrypted.
        key: &'a Path,
    },
    /// One PKCS #12 file (`.pfx`, `.p12`; RFC 7292), as Windows and most authorities hand it out.
    Pfx {
        /// The file.
        file: &'a Path,
        /// The file that holds its password and nothing else; none if it has no password.
        password_file: Option<&'a Path>,
    },
}

/// Reads a client certificate with its chain and its key. Blocks on files.
///
/// Give it to rustls as `with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))`.
pub fn client_certificate(
    source: ClientCertificate<'_>,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    match source {
        ClientCertificate::Pem { certificate, key } => {
            pem::certified(certificate, key).map(Arc::new)
        }
        ClientCertificate::Pfx { file, password_file } => {
            let password = password_file.map(password).transpose()?.unwrap_or_default();
            let octets = read(file, PFX_OCTETS_MAX)?;
            let wrong = |reason: &str| CertificateError::Pfx {
                path: file.to_owned(),
                reason: reason.to_owned(),
            };
            open(&octets, &password).map(Arc::new).map_err(|reason| wrong(&reason))
        }
    }
}

fn open(octets: &[u8], password: &str) -> Result<CertifiedKey, String> {
    let archive = Pkcs12Archive::from_pkcs12(octets, password).map_err(|error| match error {
        p12_keystore::error::Error::DerError(_) if !octets.starts_with(&[0x30]) => {
            "it is not a PKCS #12 file".to_owned()
        }
        error => format!("the password is wrong, or the file is damaged ({error})")
            .replace(char::is_control, "?"),
    })?;
    let [key] = archive.keys.as_slice() else {
        return Err(format!(
            "it holds {} private keys, and only one can be shown",
            archive.keys.len()
        ));
    };
    let certificates: Vec<&Certificate> = archive.certs.iter().map(|bag| &bag.cert).collect();
    let certified = |chain: &[&Certificate]| {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()));
        let chain = chain.iter().map(|it| CertificateDer::from(it.as_der().to_vec())).collect();
        CertifiedKey::from_der(chain, key, &provider())
    };
    let leaf = certificates.iter().find(|it| certified(&[**it]).is_ok());
    let leaf = leaf.ok_or_else(|| {
        format!("none of its {} certificates fits its private key", certificates.len())
    })?;
    certified(&chain(leaf, &certificates)).map_err(|error| error.to_string())
}

/// The certificate and its issuers as far as they are there; without the root, which the other side has.
fn chain<'a>(leaf: &'a Certificate, certificates: &[&'a Certificate]) -> Vec<&'a Certificate> {
    let mut chain = vec![leaf];
    let mut last = leaf;
    while let Some(issuer) = certificates.iter().find(|it| it.subject() == last.issuer()) {
        if issuer.subject() == issuer.issuer() || chain.contains(issuer) {
            break;
        }
        chain.push(issuer);
        last = issuer;
    }
    chain
}

fn password(file: &Path) -> Result<String, CertificateError> {
    let wrong = |reason: String| CertificateError::Pfx { path: file.to_owned(), reason };
    let source = |source| CertificateError::Read { path: file.to_owned(), source };
    let mode = std::fs::metadata(file).map_err(source)?.permissions().mode() & 0o777;
    if mode & BY_EVERYBODY != 0 {
        return Err(wrong(format!(
            "it holds a password and is open to everybody (mode {mode:03o})"
        )));
    }
    let text = String::from_utf8(read(file, PASSWORD_OCTETS_MAX)?);
    let text = text.map_err(|_| wrong("the password is not UTF-8".to_owned()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn read(file: &Path, octets_max: u64) -> Result<Vec<u8>, CertificateError> {
    let source = |source| CertificateError::Read { path: file.to_owned(), source };
    let mut octets = Vec::new();
    let opened = File::open(file).map_err(source)?;
    opened.take(octets_max + 1).read_to_end(&mut octets).map_err(source)?;
    if octets.len() as u64 > octets_max {
        let reason = format!("it is longer than {octets_max} octets");
        return Err(CertificateError::Pfx { path: file.to_owned(), reason });
    }
    Ok(octets)
}
