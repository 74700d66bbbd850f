//! The client's side.

use std::path::PathBuf;
use std::sync::Arc;

pub use rustls::ClientConnection;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, CommonState, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::authorities::Authorities;
use crate::dane::Dane;
use crate::pem::{self, CertificateError};
pub use crate::provider::Version;
use crate::provider::provider;
use crate::verifier::Verifier;
use crate::words::{HandshakeError, words_of};

/// A client's side of a TLS session; `tls::facts(stream.get_ref().1)` says what it runs on.
pub type Stream<S> = tokio_rustls::client::TlsStream<S>;

/// Sessions kept for resumption, per verification.
const SESSIONS_MAX: usize = 1024;

/// Whom to trust when a host is verified.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// PEM file with further certificate authorities, such as a company's own. A connector with `tls = "verify"`
    /// trusts them as it trusts the system's.
    pub roots: Option<PathBuf>,
    /// Whether the authorities that the system trusts are trusted; where the system has none, Mozilla's list as
    /// compiled in. With `false` only `roots` counts.
    pub trusts_system: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { roots: None, trusts_system: true }
    }
}

/// How far the host is verified in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verification {
    /// Any certificate will do: against who only listens (RFC 7435).
    None,
    /// A trusted authority must have issued it, for the name that was asked for (RFC 6125).
    AuthorityAndName,
}

/// What is asked of some hosts besides, and shown to them.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// The name that a verified certificate must be for, instead of the host's: a name, or `*.` and a name for any with
    /// one label in front.
    pub name: Option<Box<str>>,
    /// The lowest version that is spoken.
    pub lowest: Version,
    /// What we show to hosts that ask for a certificate.
    pub certificate: Option<Arc<CertifiedKey>>,
}

/// Starts TLS to hosts; one shared configuration, thus one session cache, per verification. Cheap to clone.
#[derive(Clone)]
pub struct Connectors {
    unverified: TlsConnector,
    verified: TlsConnector,
    verifier: Arc<Verifier<Authorities>>,
}

impl std::fmt::Debug for Connectors {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Connectors")
    }
}

impl Connectors {
    /// Reads the roots of trust. Blocks on files.
    pub fn open(config: &Config) -> Result<Self, CertificateError> {
        Self::open_with(config, &Demands::default())
    }

    /// As [`Self::open`], for hosts of which more is asked.
    pub fn open_with(config: &Config, demands: &Demands) -> Result<Self, CertificateError> {
        let algorithms = provider().signature_verification_algorithms;
        let schemes = algorithms.supported_schemes();
        let (roots, name) = (roots(config)?, demands.name.clone());
        let verifier = Arc::new(Verifier { judge: Authorities { roots, name }, algorithms });
        Ok(Self {
            unverified: connector(Arc::new(AnyCertificate { schemes }), demands)?,
            verified: connector(verifier.clone(), demands)?,
            verifier,
        })
    }

    /// Whether `host` would have been taken for who it should be by [`Verification::AuthorityAndName`], after a handshake
    /// that asked for nothing.
    ///
    /// # Errors
    /// What is wrong with its certificate.
    pub fn judge(&self, host: &str, session: &CommonState) -> Result<(), HandshakeError> {
        let shown = session.peer_certificates().unwrap_or_default();
        let (Some((certificate, intermediates)), Ok(name)) =
            (shown.split_first(), server_name(host))
        else {
            return Err(HandshakeError::new("the host shows no certificate"));
        };
        let verified = self.verifier.verify_server_cert(
            certificate,
            intermediates,
            &name,
            &[],
            UnixTime::now(),
        );
        verified.map(|_| ()).map_err(|error| HandshakeError::new(words_of(&error)))
    }

    /// Does the handshake with `host` (a name in A-labels or an IP address) on `stream`. The caller
    /// bounds the time.
    pub async fn connect<S>(
        &self,
        verification: Verification,
        host: &str,
        stream: S,
    ) -> Result<Stream<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(host)?;
        let connector = match verification {
            Verification::None => &self.unverified,
            Verification::AuthorityAndName => &self.verified,
        };
        connector.connect(name, stream).await.map_err(|error| HandshakeError::explain(&error))
    }

    /// The same with a host whose certificate must match what the DNS says; TLS asks for its base domain
    /// (RFC 7672 §3.2.1). No session is resumed: in one that is, no certificate is looked at.
    pub async fn connect_dane<S>(
        &self,
        dane: &Arc<Dane>,
        stream: S,
    ) -> Result<Stream<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(dane.base())?;
        let mut config = ClientConfig::clone(self.unverified.config());
        let (judge, algorithms) = (Arc::clone(dane), self.verifier.algorithms);
        let verifier = Verifier { judge, algorithms };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        config.resumption = Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.map_err(|error| HandshakeError::explain(&error))
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, HandshakeError> {
    ServerName::try_from(host.trim_end_matches('.').to_owned())
        .map_err(|_| HandshakeError::new("the host's name is not one that TLS can ask for"))
}

fn connector(
    verifier: Arc<dyn ServerCertVerifier>,
    demands: &Demands,
) -> Result<TlsConnector, CertificateError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(demands.lowest.and_newer())
        .map_err(CertificateError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &demands.certificate {
        Some(certificate) => {
            let shown = SingleCertAndKey::from(Arc::clone(certificate));
            builder.with_client_cert_resolver(Arc::new(shown))
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(SESSIONS_MAX)));
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The authorities that `config` trusts; may be empty.
pub(crate) fn roots(config: &Config) -> Result<RootCertStore, CertificateError> {
    let mut store = RootCertStore::empty();
    if config.trusts_system {
        let system = rustls_native_certs::load_native_certs();
        let (taken, left_out) = store.add_parsable_certificates(system.certs);
        if taken == 0 {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            tracing::debug!("the system trusts no authority, the compiled-in list is used");
        }
        tracing::debug!(taken, left_out, "roots of trust read");
    }
    if let Some(path) = &config.roots {
        for certificate in pem::certificates(path)? {
            store
                .add(certificate)
                .map_err(|source| CertificateError::Root { path: path.clone(), source })?;
        }
    }
    Ok(store)
}

/// Accepts whatever is shown. Signatures are not checked either: without an authenticated key they prove nothing,
/// and odd certificates would push mail to clear text (RFC 7435 §3).
#[derive(Debug)]
struct AnyCertificate {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
