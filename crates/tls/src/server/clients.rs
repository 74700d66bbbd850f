//! What is asked of clients' certificates.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError as Refusal, DigitallySignedStruct, DistinguishedName, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client;
use crate::pem::CertificateError;
use crate::provider::provider;
use crate::server::peer;
use crate::words::{Fault, words_of};

/// Whether a listener asks clients for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Not at all.
    #[default]
    No,
    /// Yes; a client without one, or with one that is not trusted, goes on unknown.
    Ask,
    /// Yes; the handshake fails without one that is trusted.
    Require,
}

/// Checks what clients show. The authorities can be changed while sessions go on.
#[derive(Debug)]
pub(super) struct Clients {
    is_required: bool,
    authorities: client::Config,
    trust: ArcSwap<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Trust {
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// Reads the authorities; none if clients are not asked.
    pub(super) fn open(
        asked: ClientCertificates,
        authorities: Option<&Path>,
    ) -> Result<Option<Self>, CertificateError> {
        let is_required = match asked {
            ClientCertificates::No => return Ok(None),
            ClientCertificates::Ask => false,
            ClientCertificates::Require => true,
        };
        let authorities = client::Config {
            roots: authorities.map(Path::to_owned),
            trusts_system: authorities.is_none(),
        };
        let trust = ArcSwap::from_pointee(Trust::read(&authorities)?);
        let algorithms = provider().signature_verification_algorithms;
        Ok(Some(Self { is_required, authorities, trust, algorithms }))
    }

    pub(super) const fn are_required(&self) -> bool {
        self.is_required
    }

    pub(super) fn reload(&self) -> Result<(), CertificateError> {
        self.trust.store(Arc::new(Trust::read(&self.authorities)?));
        Ok(())
    }

    /// Whether a trusted authority vouches for a certificate now; if not, why, in words.
    pub(super) fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), Box<str>> {
        self.verify(certificate, intermediates, UnixTime::now())
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Box<str>> {
        let trust = self.trust.load();
        let verified = trust.verifier.verify_client_cert(certificate, intermediates, now);
        let error = match verified {
            Ok(_) => return Ok(()),
            // Mail hosts show each other the certificates that they have as servers, and public authorities issue
            // few for clients.
            Err(rustls::Error::InvalidCertificate(
                Refusal::InvalidPurpose | Refusal::InvalidPurposeContext { .. },
            )) => {
                let parsed = ParsedCertificate::try_from(certificate);
                let verified = parsed.and_then(|parsed| {
                    let algorithms = self.algorithms.all;
                    let roots = &trust.roots;
                    verify_server_cert_signed_by_trust_anchor(
                        &parsed,
                        roots,
                        intermediates,
                        now,
                        algorithms,
                    )
                });
                match verified {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        let issuer = match error {
            rustls::Error::InvalidCertificate(Refusal::UnknownIssuer | Refusal::BadSignature) => {
                peer::unknown_issuer(certificate, intermediates, &trust.roots.subjects())
            }
            _ => None,
        };
        Err(issuer.unwrap_or_else(|| words_of(&error).into_boxed_str()))
    }
}

impl Clients {
    /// Whether the client goes on as if it had no certificate: one that rustls cannot read, such as one of X.509 version 1,
    /// has no key that could be checked. [`Self::check`] cannot read it either, so it never counts.
    fn is_of_no_use(&self, certificate: &CertificateDer<'_>) -> bool {
        !self.is_required && ParsedCertificate::try_from(certificate).is_err()
    }
}

impl Trust {
    fn read(authorities: &client::Config) -> Result<Self, CertificateError> {
        let roots = Arc::new(client::roots(authorities)?);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider()).build();
        let setup = |error: rustls::server::VerifierBuilderError| {
            CertificateError::Setup(rustls::Error::General(error.to_string()))
        };
        Ok(Self { roots, verifier: verifier.map_err(setup)? })
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    /// Names no authority: clients that choose by such hints show nothing rather than something that could be explained.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.is_required {
            self.verify(certificate, intermediates, now).map_err(Fault::into_error)?;
        }
        // Otherwise it is checked behind the handshake, since the session goes on either way.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.is_of_no_use(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.is_of_no_use(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
