//! A certificate for the servers of a test.

use std::fs;
use std::path::{Path, PathBuf};

/// A self-signed certificate for `localhost`, `relay.test` and 127.0.0.1 with its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Writes both files into `folder`.
    pub(crate) fn write(folder: &Path) -> Self {
        let names = ["localhost", "relay.test", "127.0.0.1"].map(str::to_owned).to_vec();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let certificate = folder.join("certificate.pem");
        let key = folder.join("key.pem");
        fs::write(&certificate, made.cert.pem()).expect("a file");
        fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        Self { certificate, key }
    }

    /// What lets Postfix offer STARTTLS with it, and say so in its trace field.
    pub(crate) fn for_postfix(&self) -> String {
        format!(
            "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_received_header = yes",
            self.certificate.display(),
            self.key.display()
        )
    }
}
