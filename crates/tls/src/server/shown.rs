//! The certificates that handshakes show, by the name that the client asks for.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::verify_server_name;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::ServerName;

use crate::end_point::end_point;
use crate::pem::CertificateError;
use crate::server::config::Config;

/// All certificates of a listener; the first is shown to who asks for no name, or for one that none is for.
#[derive(Debug)]
pub(super) struct Shown(ArcSwap<Vec<Arc<CertifiedKey>>>);

impl Shown {
    /// Reads all of `files`.
    pub(super) fn load(files: &[Config]) -> Result<Self, CertificateError> {
        let all = files.iter().map(|files| files.load().map(Arc::new));
        Ok(Self(ArcSwap::from_pointee(all.collect::<Result<_, _>>()?)))
    }

    /// From now on shows what `other` holds.
    pub(super) fn replace(&self, other: Self) {
        self.0.store(other.0.into_inner());
    }

    /// What `tls-server-end-point` is of the certificate that is shown to who asks for `name`.
    pub(super) fn end_point(&self, name: Option<&str>) -> Option<Box<[u8]>> {
        end_point(self.chosen(name)?.cert.first()?)
    }

    /// The first certificate that is for `name`, else the first of all.
    fn chosen(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let all = self.0.load();
        let asked = name.and_then(|name| ServerName::try_from(name).ok());
        let named = asked
            .filter(|_| all.len() > 1)
            .and_then(|name| all.iter().find(|certified| is_for(certified, &name)));
        named.or_else(|| all.first()).cloned()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.chosen(hello.server_name())
    }
}

/// Whether the certificate is for `name`, itself or by a wildcard of one label (RFC 6125 §6.4).
fn is_for(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let leaf = certified.end_entity_cert().and_then(ParsedCertificate::try_from);
    leaf.is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok())
}
