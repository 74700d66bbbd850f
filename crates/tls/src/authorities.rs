//! Certificates that trusted authorities have issued.

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};

use crate::description::Description;
use crate::verifier::{Judge, Shown};
use crate::words::{Fault, certificate_words};

/// Takes a certificate with a chain up to a trusted authority, and the right name. Where no authority is trusted nobody passes.
#[derive(Debug)]
pub(crate) struct Authorities {
    pub(crate) roots: RootCertStore,
    /// The name that is asked for instead of the host's.
    pub(crate) name: Option<Box<str>>,
}

impl Authorities {
    fn chain(&self, shown: Shown<'_>) -> Result<(), Error> {
        let Shown { certificate, intermediates, now, algorithms } = shown;
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms.all,
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

impl Judge for Authorities {
    fn judge(&self, shown: Shown<'_>, host: &ServerName<'_>) -> Result<(), Error> {
        let Shown { certificate, intermediates, .. } = shown;
        let words = match self.chain(shown) {
            Ok(()) => match self.name(certificate, host) {
                Ok(()) => return Ok(()),
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
        let description = Description::read(certificate);
        let details = description.map(|it| format!(" ({it})")).unwrap_or_default();
        Err(Fault::into_error((words + &details).into_boxed_str()))
    }
}
