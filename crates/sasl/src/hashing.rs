//! What stands in the accounts' file for a password.

use std::fmt;
use std::num::NonZeroU32;

use argon2::Params;
use units::ByteSize;

use crate::config::Account;
use crate::file::{self, Problem};
use crate::password::PasswordHash;
use crate::scram::{ScramHash, ScramKeys};
use crate::text;

/// Longer than any password that a person or a machine was given.
const PASSWORD_OCTETS_MAX: usize = 1024;
const SALT_OCTETS: usize = 16;

/// What a guess is to cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory that one check of PLAIN or LOGIN takes.
    pub memory: ByteSize,
    /// How often it goes through that memory.
    pub passes: u32,
    /// Rounds that a client of SCRAM works through, at least 4096.
    pub scram_iterations: NonZeroU32,
}

impl Default for Cost {
    /// RFC 9106 §4 in the smaller form that OWASP recommends; SCRAM's rounds are worked through by each client.
    fn default() -> Self {
        let scram_iterations = NonZeroU32::MIN.saturating_add(9_999);
        Self { memory: ByteSize::mib(19), passes: 2, scram_iterations }
    }
}

/// A password in the forms in which it is kept. Its `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Hashed {
    /// For `password`: PLAIN and LOGIN.
    pub password: String,
    /// For `scram_sha_256`.
    pub scram_sha_256: String,
    /// For `scram_sha_1`.
    pub scram_sha_1: String,
}

impl fmt::Debug for Hashed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hashed")
    }
}

/// Why a password cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// There is none.
    #[error("the password is empty")]
    Empty,
    /// Nobody types that.
    #[error("the password is longer than {PASSWORD_OCTETS_MAX} octets")]
    TooLong,
    /// Two programs could send it in two forms.
    #[error("the password holds a character that programs do not send alike (RFC 4013)")]
    Unfit,
    /// [`Cost`] asks for what Argon2 or SCRAM do not allow.
    #[error(
        "passwords cannot be kept at this cost: memory from 8KiB to 1GiB, at least one pass and 4096 iterations"
    )]
    Cost,
    /// The machine gave no random octets.
    #[error("the system gave no random numbers")]
    Random,
}

/// Makes the forms in which `password` is kept. Takes tens of milliseconds.
pub fn hash_password(password: &str, cost: &Cost) -> Result<Hashed, HashError> {
    if password.len() > PASSWORD_OCTETS_MAX {
        return Err(HashError::TooLong);
    }
    let prepared = stringprep::saslprep(password).map_err(|_| HashError::Unfit)?;
    if prepared.is_empty() {
        return Err(HashError::Empty);
    }
    let mut salts = [[0; SALT_OCTETS]; 3];
    for salt in &mut salts {
        aws_lc_rs::rand::fill(salt).map_err(|_| HashError::Random)?;
    }
    let [salt, salt_256, salt_1] = salts;
    let memory_kib = u32::try_from(cost.memory.as_octets() >> 10).map_err(|_| HashError::Cost)?;
    let params = Params::new(memory_kib, cost.passes, 1, None).map_err(|_| HashError::Cost)?;
    let hash = PasswordHash::make(prepared.as_bytes(), &salt, params).ok_or(HashError::Cost)?;
    let scram = |hash, salt: &[u8]| {
        let keys = ScramKeys::derive(hash, prepared.as_bytes(), salt, cost.scram_iterations);
        let text = keys.to_text(hash);
        ScramKeys::parse(hash, &text).map(|_| text).map_err(|_| HashError::Cost)
    };
    let password = hash.to_text();
    PasswordHash::parse(&password).map_err(|_| HashError::Cost)?;
    let (scram_sha_256, scram_sha_1) =
        (scram(ScramHash::Sha256, &salt_256)?, scram(ScramHash::Sha1, &salt_1)?);
    Ok(Hashed { password, scram_sha_256, scram_sha_1 })
}

/// An account to be written into the accounts' file.
#[derive(Debug)]
pub struct Entry(Account);

/// What the accounts' file would be refused for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", words(.0))]
pub struct EntryError(Vec<Problem>);

fn words(problems: &[Problem]) -> String {
    let words = problems.iter().map(|Problem { key, words, .. }| match key {
        Some(key) => format!("{key}: {words}"),
        None => words.clone(),
    });
    words.collect::<Vec<_>>().join("; ")
}

impl Entry {
    /// Checks name and senders as they are checked when the file is read; no senders mean the account's own name.
    pub fn new(name: &str, senders: &[String]) -> Result<Self, EntryError> {
        let senders = (!senders.is_empty()).then(|| senders.to_vec());
        let account = Account { name: name.to_owned(), senders, ..Account::default() };
        // Something has to stand for the password that is still to come.
        let checked = Account { certificates: vec!["x".to_owned()], ..account.clone() };
        file::parse(&text_of(&checked)).map_err(EntryError)?;
        Ok(Self(Account {
            name: text::prepared(name).unwrap_or_else(|_| name.to_owned()),
            ..account
        }))
    }

    /// The `[[account]]` with this password, with its line ends.
    pub fn with(self, hashed: &Hashed) -> String {
        text_of(&Account {
            password: Some(hashed.password.clone()),
            scram_sha_256: Some(hashed.scram_sha_256.clone()),
            scram_sha_1: Some(hashed.scram_sha_1.clone()),
            ..self.0
        })
    }
}

fn text_of(account: &Account) -> String {
    format!("[[account]]\n{}", toml::to_string(account).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory: ByteSize::kib(8),
        passes: 1,
        scram_iterations: NonZeroU32::new(4096).unwrap(),
    };

    #[test]
    fn a_password_is_kept_in_each_form() {
        let hashed = hash_password("I\u{ad}X", &CHEAP).unwrap();
        assert!(PasswordHash::parse(&hashed.password).unwrap().is_of(b"IX"));
        for (hash, text) in
            [(ScramHash::Sha256, &hashed.scram_sha_256), (ScramHash::Sha1, &hashed.scram_sha_1)]
        {
            let kept = ScramKeys::parse(hash, text).unwrap();
            let again = ScramKeys::derive(hash, b"IX", &kept.salt, CHEAP.scram_iterations);
            assert_eq!(again.to_text(hash), *text);
        }
        assert_ne!(
            hash_password("IX", &CHEAP).unwrap().password,
            hashed.password,
            "each has its own salt"
        );
        assert_eq!(format!("{hashed:?}"), "Hashed");
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let long = "a".repeat(1025);
        for (password, want) in [
            ("", HashError::Empty),
            ("\u{ad}", HashError::Empty),
            (&*long, HashError::TooLong),
            ("a\tb", HashError::Unfit),
        ] {
            assert_eq!(hash_password(password, &CHEAP), Err(want), "{password}");
        }
        for cost in [
            Cost { memory: ByteSize::kib(1), ..CHEAP },
            Cost { memory: ByteSize::mib(1 << 20), ..CHEAP },
            Cost { passes: 0, ..CHEAP },
            Cost { scram_iterations: NonZeroU32::MIN, ..CHEAP },
        ] {
            assert_eq!(hash_password("pencil", &cost), Err(HashError::Cost), "{cost:?}");
        }
    }

    #[test]
    fn an_entry_can_be_read_back() {
        let hashed = hash_password("pencil", &CHEAP).unwrap();
        let text = Entry::new("a\"b", &["a@b.example".to_owned()]).unwrap().with(&hashed);
        let accounts = file::parse(&text).unwrap();
        let account = accounts.first().unwrap();
        assert_eq!(&*account.name, "a\"b");
        assert!(account.password.as_ref().unwrap().is_of(b"pencil"));
        assert!(account.scram_sha_256.is_some() && account.scram_sha_1.is_some());
    }

    #[test]
    fn what_the_file_would_be_refused_for_is_refused_before() {
        for (name, senders, want) in [
            ("", &["*"][..], "account.name: is empty"),
            ("x\u{7}", &["*"], "account.name: holds a character that no name may have"),
            ("printer", &[], "account.senders: is missing: the name is no address"),
            ("ana", &["a@b.example", "no sender"], "account.senders: `no sender` names no sender"),
        ] {
            let senders: Vec<_> = senders.iter().map(ToString::to_string).collect();
            let error = Entry::new(name, &senders).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
        assert!(Entry::new("ana@b.example", &[]).is_ok());
    }
}
