//! Private keys: read from files, made, and what the DNS must say of them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::secret_file::{self, Unusable};

/// RFC 8301 §3.2: signers use no shorter ones.
const RSA_OCTETS_MIN: usize = 1024 / 8;
/// A string of a TXT record holds no more (RFC 1035 §3.3).
const STRING_OCTETS_MAX: usize = 255;

/// Which kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RSA with SHA-256: everybody can verify it (RFC 6376, RFC 8301).
    Rsa,
    /// Ed25519: short and fast, and some cannot verify it yet (RFC 8463).
    Ed25519,
}

impl Kind {
    /// The word in `a=`.
    pub const fn algorithm(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha256",
            Self::Ed25519 => "ed25519-sha256",
        }
    }

    /// The word in `k=` of the record.
    const fn word(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }
}

/// Why a key file cannot be used; the operator mends the file or the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the DKIM key {} cannot be read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than owner and group may use the file.
    #[error("the DKIM key {} is open to everybody (mode {mode:03o}); give it mode 600 and publish a new key", file.display())]
    Open {
        /// Which.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds no key that can sign.
    #[error("{} is no private key for DKIM: {reason}; it must be PEM with an RSA key of 1024 bits or more, or an Ed25519 key", file.display())]
    NoKey {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Two keys have one name.
    #[error("two keys have the selector {selector} of {domain}; give each its own selector")]
    Twice {
        /// The domain.
        domain: String,
        /// The selector.
        selector: String,
    },
}

/// What signs. `Debug` does not show it.
pub(crate) enum Private {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Private {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} (secret)", self.kind())
    }
}

impl Private {
    /// Reads a PEM file. Blocks.
    pub(crate) fn read(file: &Path) -> Result<Self, KeyError> {
        let text = read_file(file)?;
        Self::parse(&text).map_err(|reason| KeyError::NoKey { file: file.to_owned(), reason })
    }

    /// Reads a key from PEM.
    pub(crate) fn parse(pem: &[u8]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
        let private = match &key {
            PrivateKeyDer::Pkcs1(key) => {
                RsaKeyPair::from_der(key.secret_pkcs1_der()).map(Self::Rsa)
            }
            PrivateKeyDer::Pkcs8(key) => {
                let key = key.secret_pkcs8_der();
                // Files without the public half are common: openssl writes them.
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(key)
                    .map(Self::Ed25519)
                    .or_else(|_| RsaKeyPair::from_pkcs8(key).map(Self::Rsa))
            }
            _ => return Err("it is of a kind that DKIM does not know".to_owned()),
        };
        match private {
            Ok(Self::Rsa(key)) if key.public_modulus_len() < RSA_OCTETS_MIN => {
                Err("the RSA key is too short".to_owned())
            }
            private => private.map_err(|error| error.to_string()),
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Rsa(_) => Kind::Rsa,
            Self::Ed25519(_) => Kind::Ed25519,
        }
    }

    /// The public key as `p=` has it, before base 64 (RFC 6376 §3.6.1, RFC 8463 §4.2).
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => {
                let der = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key());
                der.map(|der| der.as_ref().to_vec()).unwrap_or_default()
            }
            Self::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }

    /// Whether `found` is the public key; of RSA keys some publish the inner form alone (RFC 8017 §A.1.1).
    pub(crate) fn is_public(&self, found: &[u8]) -> bool {
        match self {
            Self::Rsa(key) => found == key.public_key().as_ref() || found == self.public(),
            Self::Ed25519(key) => found == key.public_key().as_ref(),
        }
    }

    /// Signs what is to be hashed. None if the library fails.
    pub(crate) fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
                Some(signature)
            }
            // RFC 8463 §3: it is the hash that is signed.
            Self::Ed25519(key) => {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text);
                Some(key.sign(hash.as_ref()).as_ref().to_vec())
            }
        }
    }
}

fn read_file(file: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let owned = || file.to_owned();
    secret_file::read(file).map_err(|unusable| match unusable {
        Unusable::Unreadable(source) => KeyError::Unreadable { file: owned(), source },
        Unusable::Open(mode) => KeyError::Open { file: owned(), mode },
        Unusable::Bad(reason) => KeyError::NoKey { file: owned(), reason: reason.to_owned() },
    })
}

/// A TXT record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The whole name, without a final dot.
    pub name: String,
    /// The text.
    pub value: String,
}

impl Record {
    /// The record of a key.
    pub(crate) fn of_key(domain: &str, selector: &str, kind: Kind, public: &[u8]) -> Self {
        Self {
            name: format!("{selector}._domainkey.{domain}"),
            value: format!("v=DKIM1; k={}; p={}", kind.word(), STANDARD.encode(public)),
        }
    }

    /// The text in strings of 255 octets at most, as a zone file and many forms want them.
    pub fn strings(&self) -> Vec<&str> {
        let mut strings = Vec::new();
        let mut rest = self.value.as_str();
        while let Some((head, tail)) = rest.split_at_checked(STRING_OCTETS_MAX) {
            strings.push(head);
            rest = tail;
        }
        if !rest.is_empty() {
            strings.push(rest);
        }
        strings
    }
}

impl fmt::Display for Record {
    /// As a line of a zone file.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}. IN TXT", self.name)?;
        self.strings().iter().try_for_each(|string| write!(out, " \"{string}\""))
    }
}

/// A new key.
pub struct Made {
    /// The private key: PKCS #8 in PEM, for a file of mode 600.
    pub pem: Zeroizing<String>,
    /// What to publish.
    pub record: Record,
}

impl fmt::Debug for Made {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Made({})", self.record.name)
    }
}

/// The machine could not make a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key could be made; the machine has no good random numbers")]
pub struct MakeError;

/// Makes a key for a selector of a domain: RSA with 2048 bits, or Ed25519. Takes a second of a processor at worst.
pub fn make(kind: Kind, domain: &str, selector: &str) -> Result<Made, MakeError> {
    let der: Zeroizing<Vec<u8>> = match kind {
        Kind::Rsa => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| MakeError)?;
            let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).map_err(|_| MakeError)?;
            der.as_ref().to_vec().into()
        }
        // Without the public half, since older programs know no other form.
        Kind::Ed25519 => {
            let key = Ed25519KeyPair::generate().map_err(|_| MakeError)?;
            key.to_pkcs8v1().map_err(|_| MakeError)?.as_ref().to_vec().into()
        }
    };
    let text = Zeroizing::new(STANDARD.encode(&*der));
    let lines = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok());
    let mut pem = Zeroizing::new(String::with_capacity(text.len() + text.len() / 32 + 64));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in lines {
        pem.push_str(line);
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    let private = Private::parse(pem.as_bytes()).map_err(|_| MakeError)?;
    let record = Record::of_key(domain, selector, kind, &private.public());
    Ok(Made { pem, record })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_and_read_again() {
        for kind in [Kind::Rsa, Kind::Ed25519] {
            let made = make(kind, "example.com", "s1").unwrap();
            let private = Private::parse(made.pem.as_bytes()).unwrap();
            assert_eq!(private.kind(), kind);
            assert_eq!(made.record.name, "s1._domainkey.example.com");
            let strings = made.record.strings();
            assert!(strings.iter().all(|it| it.len() <= 255), "{strings:?}");
            assert_eq!(strings.concat(), made.record.value);
            assert_eq!(strings.len(), if kind == Kind::Rsa { 2 } else { 1 });
            let want = format!("v=DKIM1; k={}; p=", kind.word());
            assert!(made.record.value.starts_with(&want), "{}", made.record);
            assert!(!format!("{made:?} {private:?}").contains("BEGIN"));
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let good = make(Kind::Ed25519, "example.com", "s1").unwrap();
        let write = |text: &str, mode| {
            let file = folder.path().join("key.pem");
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            Private::read(&file).map_err(|error| error.to_string())
        };
        assert!(write(&good.pem, 0o600).is_ok());
        assert!(write(&good.pem, 0o640).is_ok());
        for (text, mode, want) in [
            (good.pem.as_str(), 0o644, "open to everybody (mode 644); give it mode 600"),
            ("", 0o600, "no private key for DKIM"),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                0o600,
                "no private key",
            ),
        ] {
            let error = write(text, mode).unwrap_err();
            assert!(error.contains(want) && error.contains("key.pem"), "{error}");
        }
        let error = Private::read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
        let error = Private::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not a file"), "{error}");
    }
}
