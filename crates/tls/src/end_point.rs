//! The channel binding `tls-server-end-point`.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rustls_pki_types::CertificateDer;
use x509_parser::oid_registry::{
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA,
    OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The hash of a server's certificate, by the hash of its signature, but SHA-256 for those that are broken
/// (RFC 5929 §4.1). None where the signature names no one hash.
pub(crate) fn end_point(certificate: &CertificateDer<'_>) -> Option<Box<[u8]>> {
    let (_, read) = X509Certificate::from_der(certificate).ok()?;
    let signature = &read.signature_algorithm.algorithm;
    let algorithms: [(&Algorithm, &[_]); 3] = [
        (
            &SHA256,
            &[
                OID_PKCS1_SHA256WITHRSA,
                OID_SIG_ECDSA_WITH_SHA256,
                OID_PKCS1_SHA1WITHRSA,
                OID_PKCS1_MD5WITHRSAENC,
            ],
        ),
        (&SHA384, &[OID_PKCS1_SHA384WITHRSA, OID_SIG_ECDSA_WITH_SHA384]),
        (&SHA512, &[OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA512]),
    ];
    let (algorithm, _) = algorithms.into_iter().find(|(_, oids)| oids.contains(signature))?;
    Some(digest(algorithm, certificate).as_ref().into())
}
