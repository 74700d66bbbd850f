//! What SCRAM keeps instead of a password, and its messages.

pub(crate) mod message;

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use policy::config::Mechanism;

use crate::secret::Secret;
use crate::text;

/// Fewer rounds would help whoever guesses (RFC 7677 §4).
const ITERATIONS_MIN: u32 = 4096;
/// More rounds would keep clients busy for seconds.
const ITERATIONS_MAX: u32 = 10_000_000;
/// A longer salt would not fit into a reply's line.
pub(crate) const SALT_OCTETS_MAX: usize = 64;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScramHash {
    Sha1,
    Sha256,
}

impl ScramHash {
    /// That of a mechanism, if it is a SCRAM.
    pub(crate) const fn of(mechanism: Mechanism) -> Option<Self> {
        match mechanism {
            Mechanism::ScramSha256Plus | Mechanism::ScramSha256 => Some(Self::Sha256),
            Mechanism::ScramSha1 => Some(Self::Sha1),
            _ => None,
        }
    }

    /// The scheme's name in stored keys (RFC 5803).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
        }
    }

    /// Length of a key.
    pub(crate) const fn octets(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }

    /// Works through all rounds: takes milliseconds. `password` has been prepared.
    pub(crate) fn salted(self, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Secret {
        let algorithm = match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut out = vec![0; self.octets()];
        pbkdf2::derive(algorithm, iterations, salt, password, &mut out);
        Secret::new(out)
    }
}

/// What a server keeps of a password (RFC 5802 §3). Its `Debug` shows no key.
#[derive(Clone)]
pub(crate) struct ScramKeys {
    pub(crate) iterations: u32,
    pub(crate) salt: Box<[u8]>,
    pub(crate) stored: Box<[u8]>,
    pub(crate) server: Box<[u8]>,
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ScramKeys({} iterations)", self.iterations)
    }
}

/// Why a text is not what SCRAM keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramKeysError {
    #[error("is not `{0}$iterations:salt$stored key:server key`")]
    Form(&'static str),
    #[error("asks for {0} iterations; {ITERATIONS_MIN} to {ITERATIONS_MAX} are taken")]
    Iterations(u32),
    #[error("has a salt that is empty or longer than {SALT_OCTETS_MAX} octets")]
    Salt,
    #[error("has keys of a wrong length")]
    Keys,
}

impl ScramKeys {
    /// Makes them from a password that has been prepared.
    pub(crate) fn derive(
        hash: ScramHash,
        password: &[u8],
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Self {
        let salted = hash.salted(password, salt, iterations);
        let client = Secret::new(hash.hmac(salted.as_bytes(), b"Client Key"));
        Self {
            iterations: iterations.get(),
            salt: salt.into(),
            stored: hash.digest(client.as_bytes()).into(),
            server: hash.hmac(salted.as_bytes(), b"Server Key").into(),
        }
    }

    /// Reads `SCRAM-SHA-256$10000:salt$stored:server`, the parts in base64 (RFC 5803).
    pub(crate) fn parse(hash: ScramHash, text: &str) -> Result<Self, ScramKeysError> {
        let parts = || {
            let rest = text.strip_prefix(hash.name())?.strip_prefix('$')?;
            let (cost, keys) = rest.split_once('$')?;
            let ((iterations, salt), (stored, server)) =
                (cost.split_once(':')?, keys.split_once(':')?);
            let part = |text: &str| text::decoded(text.as_bytes()).map(Vec::into_boxed_slice);
            let iterations: u32 = iterations.parse().ok()?;
            Some(Self {
                iterations,
                salt: part(salt)?,
                stored: part(stored)?,
                server: part(server)?,
            })
        };
        let keys = parts().ok_or(ScramKeysError::Form(hash.name()))?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&keys.iterations) {
            return Err(ScramKeysError::Iterations(keys.iterations));
        }
        if keys.salt.is_empty() || keys.salt.len() > SALT_OCTETS_MAX {
            return Err(ScramKeysError::Salt);
        }
        if [&keys.stored, &keys.server].iter().any(|key| key.len() != hash.octets()) {
            return Err(ScramKeysError::Keys);
        }
        Ok(keys)
    }

    /// The text that [`Self::parse`] reads.
    pub(crate) fn to_text(&self, hash: ScramHash) -> String {
        let [salt, stored, server] =
            [&self.salt, &self.stored, &self.server].map(|part| text::encoded(part));
        format!("{}${}:{salt}${stored}:{server}", hash.name(), self.iterations)
    }

    /// Keys that no password opens, the same for a name as long as `key` is the same, so that a name without an
    /// account looks like one with.
    pub(crate) fn decoy(hash: ScramHash, like: &Self, key: &hmac::Key, name: &str) -> Self {
        let part = |what: &str, octets: usize| -> Box<[u8]> {
            let mut made = Vec::new();
            for block in 0_u8..4 {
                let mut context = hmac::Context::with_key(key);
                for piece in [hash.name().as_bytes(), what.as_bytes(), &[0, block], name.as_bytes()]
                {
                    context.update(piece);
                }
                made.extend_from_slice(context.sign().as_ref());
            }
            made.truncate(octets);
            made.into()
        };
        Self {
            iterations: like.iterations,
            salt: part("salt", like.salt.len()),
            stored: part("stored", hash.octets()),
            server: part("server", hash.octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the proof and the server's signature of an exchange in an RFC follow from the password.
    #[track_caller]
    fn check(hash: ScramHash, salt: &str, messages: &str, proof: &str, signature: &str) {
        let salt = text::decoded(salt.as_bytes()).unwrap();
        let keys = ScramKeys::derive(hash, b"pencil", &salt, NonZeroU32::new(4096).unwrap());
        let client_signature = hash.hmac(&keys.stored, messages.as_bytes());
        let proof = text::decoded(proof.as_bytes()).unwrap();
        let client_key: Vec<u8> = proof.iter().zip(&client_signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(hash.digest(&client_key), *keys.stored);
        assert_eq!(text::encoded(&hash.hmac(&keys.server, messages.as_bytes())), signature);
        let again = ScramKeys::parse(hash, &keys.to_text(hash)).unwrap();
        assert_eq!(again.to_text(hash), keys.to_text(hash));
    }

    #[test]
    fn rfc_5802_section_5() {
        check(
            ScramHash::Sha1,
            "QSXCR+Q6sek8bf92",
            "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,\
             i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        );
    }

    #[test]
    fn rfc_7677_section_3() {
        check(
            ScramHash::Sha256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        );
    }

    #[test]
    fn what_is_not_kept_by_scram_is_refused() {
        let key = text::encoded(&[7; 32]);
        let good = format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}");
        assert!(ScramKeys::parse(ScramHash::Sha256, &good).is_ok());
        let short = text::encoded(&[7; 20]);
        let long = text::encoded(&[7; 65]);
        for bad in [
            String::new(),
            good.replace("SHA-256", "SHA-1"),
            good.replace("4096", "4095"),
            good.replace("4096", "10000001"),
            good.replace("4096", "-1"),
            good.replace("c2FsdA==", ""),
            good.replace("c2FsdA==", &long),
            good.replace("c2FsdA==", "c2FsdA"),
            good.replace(&key, &short),
            good.replace(':', ";"),
            format!("{good}:"),
        ] {
            assert!(ScramKeys::parse(ScramHash::Sha256, &bad).is_err(), "{bad}");
        }
        assert!(!format!("{:?}", ScramKeys::parse(ScramHash::Sha256, &good)).contains('7'));
    }

    #[test]
    fn decoys_stay_the_same_and_look_like_keys() {
        let like =
            ScramKeys::derive(ScramHash::Sha256, b"x", &[1; 16], NonZeroU32::new(5000).unwrap());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let decoy = |name| {
            ScramKeys::decoy(ScramHash::Sha256, &like, &key, name).to_text(ScramHash::Sha256)
        };
        assert_eq!(decoy("a"), decoy("a"));
        assert_ne!(decoy("a"), decoy("b"));
        let read = ScramKeys::parse(ScramHash::Sha256, &decoy("a")).unwrap();
        assert_eq!((read.iterations, read.salt.len()), (5000, 16));
        assert_ne!(read.stored, read.server);
    }
}
