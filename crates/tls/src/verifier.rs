//! Whether a host is who it should be.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::description::Description;
use crate::words::{Fault, certificate_words};

/// Verifies the chain up to a trusted authority, and the name. Where no authority is trusted nobody passes.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) roots: RootCertStore,
    /// The name that is asked for instead of the host's.
    pub(crate) name: Option<Box<str>>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn chain(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )
    }

    /// Verifies the name; an error says what it should be.
    fn name(&self, certificate: &CertificateDer<'_>, host: &ServerName<'_>) -> Result<(), String> {
        let Some(expected) = &self.name else {
            let parsed = ParsedCertificate::try_from(certificate);
            let verified = parsed.and_then(|parsed| verify_server_name(&parsed, host));
            return verified.map_err(|_| host.to_str().into_owned());
        };
        let is_right = Description::read(certificate).is_some_and(|shown| shown.is_for(expected));
        if is_right { Ok(()) } else { Err(expected.to_string()) }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let words = match self.chain(certificate, intermediates, now) {
            Ok(()) => match self.name(certificate, host) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                Err(expected) => format!("the certificate is not for {expected}"),
            },
            Err(Error::InvalidCertificate(error)) => {
                let is_alone = intermediates.is_empty()
                    && matches!(error, CertificateError::UnknownIssuer)
                    && !self.roots.is_empty();
                let chain = ", or the chain is incomplete: it came without intermediates";
                certificate_words(&error) + if is_alone { chain } else { "" }
            }
            Err(error) => return Err(error),
        };
        let shown = Description::read(certificate);
        let details = shown.map(|shown| format!(" ({shown})")).unwrap_or_default();
        Err(Fault::into_error((words + &details).into_boxed_str()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
