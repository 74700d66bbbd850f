//! The server's side.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::pem::{self, CertificateError};
use crate::provider::{VERSIONS, provider};
use crate::words::HandshakeError;

/// A server's side of a TLS session; `tls::facts(stream.get_ref().1)` says what it runs on.
pub type Stream<S> = tokio_rustls::server::TlsStream<S>;

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

impl Config {
    /// Everything that is wrong with the files, each with the key above that it is about. Blocks on files.
    pub fn problems(&self) -> Vec<(&'static str, CertificateError)> {
        match (pem::certificates(&self.certificate), pem::key(&self.key)) {
            (Ok(_), Ok(_)) => load(self).err().map(|error| ("key", error)).into_iter().collect(),
            (certificate, key) => {
                let certificate = certificate.err().map(|error| ("certificate", error));
                certificate.into_iter().chain(key.err().map(|error| ("key", error))).collect()
            }
        }
    }
}

/// Takes handshakes with a certificate that can be changed while sessions go on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Config,
    current: Arc<Current>,
    handshaker: Handshaker,
}

#[derive(Clone)]
struct Handshaker(TlsAcceptor);

impl std::fmt::Debug for Handshaker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("TlsAcceptor")
    }
}

/// The certificate that new handshakes show.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Acceptor {
    /// Reads the certificate and the key.
    pub fn open(config: &Config) -> Result<Self, CertificateError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(load(config)?)));
        let mut rustls_config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(CertificateError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        rustls_config.ticketer =
            rustls::crypto::aws_lc_rs::Ticketer::new().map_err(CertificateError::Setup)?;
        let handshaker = Handshaker(TlsAcceptor::from(Arc::new(rustls_config)));
        Ok(Self { config: config.clone(), current, handshaker })
    }

    /// Reads the files again; handshakes from now on, by this acceptor and its clones, show what they hold.
    ///
    /// # Errors
    /// When a file cannot be used: the old certificate stays in use.
    pub fn reload(&self) -> Result<(), CertificateError> {
        self.current.0.store(Arc::new(load(&self.config)?));
        Ok(())
    }

    /// Does the handshake on `stream`. The caller bounds the time.
    ///
    /// # Errors
    /// The error prints as words that an operator understands ([`HandshakeError`] is inside).
    pub async fn accept<S>(&self, stream: S) -> io::Result<Stream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = self.handshaker.0.accept(stream).await;
        accepted.map_err(|error| HandshakeError::explain(&error).into())
    }
}

fn load(config: &Config) -> Result<CertifiedKey, CertificateError> {
    let chain = pem::certificates(&config.certificate)?;
    let key = pem::key(&config.key)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|source| CertificateError::Mismatch {
        certificate: config.certificate.clone(),
        key: config.key.clone(),
        source,
    })
}
