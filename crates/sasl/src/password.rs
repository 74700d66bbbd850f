//! Passwords as Argon2 keeps them (RFC 9106), in PHC strings.

use std::fmt;

use argon2::password_hash::phc;
use argon2::password_hash::{CustomizedPasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// What one check may cost at most: whoever may edit the file could otherwise stop the relay by accident.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 64;

/// A kept password. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub(crate) struct PasswordHash(phc::PasswordHash);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PasswordHash")
    }
}

/// Why a text is not a kept password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordHashError {
    #[error("is not a PHC string such as `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`")]
    Form,
    #[error("is of a kind that is not known; argon2id, argon2i and argon2d are")]
    Kind,
    #[error("has parameters that Argon2 does not allow")]
    Parameters,
    #[error("costs too much: at most m={MEMORY_KIB_MAX}, t={PASSES_MAX}, p={LANES_MAX} are taken")]
    Cost,
}

impl PasswordHash {
    /// Reads a PHC string.
    pub(crate) fn parse(text: &str) -> Result<Self, PasswordHashError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| PasswordHashError::Form)?;
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(PasswordHashError::Form);
        }
        Algorithm::new(hash.algorithm.as_str()).map_err(|_| PasswordHashError::Kind)?;
        let version = hash.version.map(Version::try_from).transpose();
        let params = Params::try_from(&hash).map_err(|_| PasswordHashError::Parameters)?;
        if version.is_err() {
            return Err(PasswordHashError::Parameters);
        }
        let is_cheap = params.m_cost() <= MEMORY_KIB_MAX
            && params.t_cost() <= PASSES_MAX
            && params.p_cost() <= LANES_MAX;
        if is_cheap { Ok(Self(hash)) } else { Err(PasswordHashError::Cost) }
    }

    /// Keeps a password with Argon2id; none if the parameters are not allowed. Takes tens of milliseconds.
    pub(crate) fn make(password: &[u8], salt: &[u8], params: Params) -> Option<Self> {
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        hasher.hash_password_with_params(password, salt, params).ok().map(Self)
    }

    /// Whether `password` is the one. Takes as long as it took to make.
    pub(crate) fn is_of(&self, password: &[u8]) -> bool {
        Argon2::default().verify_password(password, &self.0).is_ok()
    }

    /// One that costs the same and that no password opens.
    pub(crate) fn decoy(&self, random: &[u8; 64]) -> Self {
        let (salt, output) = random.split_at(32);
        let octets = |mine: Option<usize>, max: usize| mine.unwrap_or(16).min(max);
        let salt_octets = octets(self.0.salt.as_ref().map(|salt| salt.len()), salt.len());
        let output_octets = octets(self.0.hash.as_ref().map(phc::Output::len), output.len());
        let salt = salt.get(..salt_octets).and_then(|salt| phc::Salt::new(salt).ok());
        let hash = output.get(..output_octets).and_then(|hash| phc::Output::new(hash).ok());
        Self(phc::PasswordHash { salt, hash, ..self.0.clone() })
    }

    /// The PHC string.
    pub(crate) fn to_text(&self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest that Argon2 allows.
    const CHEAP: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$";

    fn cheap(password: &[u8]) -> PasswordHash {
        PasswordHash::make(password, b"somesalt", Params::new(8, 1, 1, None).unwrap()).unwrap()
    }

    #[test]
    fn a_kept_password_is_found_again() {
        let text = cheap(b"pencil").to_text();
        assert!(text.starts_with(CHEAP), "{text}");
        let hash = PasswordHash::parse(&text).unwrap();
        assert!(hash.is_of(b"pencil") && !hash.is_of(b"pencils") && !hash.is_of(b""));
        let decoy = hash.decoy(&[3; 64]);
        assert!(!decoy.is_of(b"pencil"));
        assert_eq!(decoy.to_text().len(), text.len());
        assert_eq!(format!("{hash:?}"), "PasswordHash");
    }

    /// From the tests of the reference implementation.
    #[test]
    fn the_reference_implementation_is_understood() {
        let text =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(PasswordHash::parse(text).unwrap().is_of(b"password"));
    }

    #[test]
    fn what_is_no_kept_password_is_refused() {
        let good = cheap(b"pencil").to_text();
        for (bad, want) in [
            ("pencil", PasswordHashError::Form),
            ("", PasswordHashError::Form),
            ("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ", PasswordHashError::Form),
            (
                "$scrypt$ln=1,r=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                PasswordHashError::Kind,
            ),
            (&good.replace("m=8", "m=1"), PasswordHashError::Parameters),
            (&good.replace("v=19", "v=20"), PasswordHashError::Parameters),
            (&good.replace("m=8", "m=4000000"), PasswordHashError::Cost),
            (&good.replace("t=1", "t=1000"), PasswordHashError::Cost),
        ] {
            assert_eq!(PasswordHash::parse(bad).unwrap_err(), want, "{bad}");
        }
    }
}
