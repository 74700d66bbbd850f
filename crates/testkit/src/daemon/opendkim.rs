//! The real opendkim as a milter that signs.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::daemon::Daemon;

/// What it signs with.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The domain in From, which is also that of the signature.
    pub domain: &'a str,
    /// The selector.
    pub selector: &'a str,
    /// An RSA key as PEM.
    pub key: &'a str,
}

/// Starts it; it signs what comes from the domain, whoever the client is.
pub fn opendkim(signer: Signer<'_>) -> Daemon {
    Daemon::start("opendkim", |folder, address| prepare(signer, folder, address))
}

fn prepare(signer: Signer<'_>, folder: &Path, address: SocketAddr) -> Vec<String> {
    let key = folder.join("key.pem");
    fs::write(&key, signer.key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let Signer { domain, selector, .. } = signer;
    let (port, key) = (address.port(), key.display());
    let settings = format!(
        "Syslog no\nBackground no\nMode s\nDomain {domain}\nSelector {selector}\nKeyFile {key}\n\
         Socket inet:{port}@127.0.0.1\nCanonicalization relaxed/simple\nInternalHosts 0.0.0.0/0\n\
         UserID root\nRequireSafeKeys no\nDNSTimeout 1\n"
    );
    let file = folder.join("opendkim.conf");
    fs::write(&file, settings).unwrap();
    vec!["opendkim".to_owned(), "-f".to_owned(), "-x".to_owned(), file.display().to_string()]
}
