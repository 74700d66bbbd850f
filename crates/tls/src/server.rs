//! The server's side.

mod clients;
mod config;
mod peer;
mod shown;

use std::io;
use std::sync::Arc;

use rustls::server::ResolvesServerCert;
use rustls::{CommonState, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

pub use crate::provider::Version;
pub use crate::server::clients::ClientCertificates;
pub use crate::server::config::{Config, Options};
pub use crate::server::peer::PeerCertificate;

use crate::pem::CertificateError;
use crate::provider::provider;
use crate::server::clients::Clients;
use crate::server::shown::Shown;
use crate::words::HandshakeError;

/// A server's side of a TLS session; `tls::facts(stream.get_ref().1)` says what it runs on.
pub type Stream<S> = tokio_rustls::server::TlsStream<S>;

/// Takes handshakes with certificates that can be changed while sessions go on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    files: Arc<[Config]>,
    version_min: Version,
    shown: Arc<Shown>,
    /// None if clients are not asked.
    clients: Option<Arc<Clients>>,
    handshaker: Handshaker,
}

#[derive(Clone)]
struct Handshaker(TlsAcceptor);

impl std::fmt::Debug for Handshaker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("TlsAcceptor")
    }
}

impl Acceptor {
    /// Reads the certificate and the key.
    pub fn open(config: &Config) -> Result<Self, CertificateError> {
        Self::open_with(config, &Options::default())
    }

    /// Reads all certificates, keys and authorities. Blocks on files.
    pub fn open_with(config: &Config, options: &Options) -> Result<Self, CertificateError> {
        let files: Arc<[Config]> = [config].into_iter().chain(&options.further).cloned().collect();
        let shown = Arc::new(Shown::load(&files)?);
        let clients =
            Clients::open(options.client_certificates, options.client_authorities.as_deref())?;
        let clients = clients.map(Arc::new);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(options.version_min.and_newer())
            .map_err(CertificateError::Setup)?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as Arc<_>),
            None => builder.with_no_client_auth(),
        };
        let mut rustls_config =
            builder.with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        // Tickets carry the session, so resumption costs no memory here; ids need the small cache of rustls.
        rustls_config.ticketer =
            rustls::crypto::aws_lc_rs::Ticketer::new().map_err(CertificateError::Setup)?;
        let handshaker = Handshaker(TlsAcceptor::from(Arc::new(rustls_config)));
        Ok(Self { files, version_min: options.version_min, shown, clients, handshaker })
    }

    /// Reads the files again; handshakes from now on, by this acceptor and its clones, use what they hold.
    ///
    /// # Errors
    /// When a file cannot be used: all old ones stay in use.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let certificates = Shown::load(&self.files)?;
        if let Some(clients) = &self.clients {
            clients.reload()?;
        }
        self.shown.replace(certificates);
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
        self.try_accept(stream).await.map_err(|(error, _)| error.into())
    }

    /// As [`Self::accept`]; what failed gives the stream back, of which some has been read.
    pub async fn try_accept<S>(&self, stream: S) -> Result<Stream<S>, (HandshakeError, S)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = self.handshaker.0.accept(stream).into_fallible().await;
        let stream = accepted.map_err(|(error, stream)| {
            (HandshakeError::of_client(&error, self.version_min), stream)
        })?;
        let session = stream.get_ref().1;
        // A ticket outlives the certificate that it was given for.
        if session.handshake_kind() == Some(HandshakeKind::Resumed)
            && let Some(clients) = self.clients.as_ref().filter(|clients| clients.are_required())
            && let Some((certificate, chain)) = shown(session)
            && let Err(fault) = clients.check(certificate, chain)
        {
            let error = HandshakeError::new(format!("the client's certificate: {fault}"));
            return Err((error, stream.into_inner().0));
        }
        Ok(stream)
    }

    /// What the client of a finished handshake showed, and whether it is trusted. None if it was not asked or showed
    /// nothing.
    pub fn peer_certificate(&self, session: &CommonState) -> Option<PeerCertificate> {
        let clients = self.clients.as_ref()?;
        let (certificate, intermediates) = shown(session)?;
        // One that is required was verified by the handshake, or it would not have come to its end.
        let fault = (!clients.are_required()).then(|| clients.check(certificate, intermediates));
        Some(PeerCertificate::read(certificate, fault.and_then(Result::err)))
    }

    /// The hash of the certificate that a finished handshake showed to the client (RFC 5929 §4.1). None for one whose
    /// signature names no hash, such as Ed25519.
    pub fn end_point(&self, session: &ServerConnection) -> Option<Box<[u8]>> {
        self.shown.end_point(session.server_name())
    }
}

/// What the client showed: its certificate and the intermediates.
fn shown(session: &CommonState) -> Option<(&CertificateDer<'_>, &[CertificateDer<'_>])> {
    session.peer_certificates()?.split_first()
}
