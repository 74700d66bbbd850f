//! A key that signs, and whether the DNS has it.

use std::fmt;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use crate::config::{Key, KeyState};
use crate::dns::{Dns, LookupError, a_labels};
use crate::key::{KeyError, Kind, Private, Record};

/// A key that may sign.
pub struct SigningKey {
    /// The domain that signs, in A-labels.
    pub domain: String,
    /// The key's name.
    pub selector: String,
    /// Where it is in its life.
    pub state: KeyState,
    pub(crate) check_dns: bool,
    pub(crate) private: Private,
    pub(crate) public: Vec<u8>,
    pub(crate) looked_up: Mutex<Option<(Published, Instant)>>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({}._domainkey.{})", self.selector, self.domain)
    }
}

impl SigningKey {
    /// Reads the key that the settings name. Blocks.
    ///
    /// # Errors
    /// When the file cannot be used; the operator mends it or the settings.
    pub fn read(key: &Key) -> Result<Self, KeyError> {
        let private = Private::read(&key.key_file)?;
        Ok(Self {
            domain: a_labels(&key.domain).unwrap_or_else(|| key.domain.clone()),
            selector: a_labels(&key.selector).unwrap_or_else(|| key.selector.clone()),
            state: key.state,
            check_dns: key.check_dns,
            public: private.public(),
            private,
            looked_up: Mutex::default(),
        })
    }

    /// Which kind it is.
    pub const fn kind(&self) -> Kind {
        self.private.kind()
    }

    /// What the DNS must say.
    pub fn record(&self) -> Record {
        Record::of_key(&self.domain, &self.selector, self.kind(), &self.public)
    }

    /// Asks whether the DNS has this key (RFC 6376 §3.6.1).
    pub async fn published(&self, dns: &Dns) -> Published {
        let texts = match dns.texts(&self.record().name).await {
            Ok(texts) => texts,
            Err(error) if error.is_temporary() => return Published::Unknown(error),
            Err(_) => return Published::Missing,
        };
        let of = |text: &String| public_of(text);
        if texts.iter().filter_map(of).any(|public| self.private.is_public(&public)) {
            return Published::Yes;
        }
        match texts.into_iter().next() {
            Some(found) => Published::Differs { found },
            None => Published::Missing,
        }
    }
}

/// The key in a record.
fn public_of(text: &str) -> Option<Vec<u8>> {
    let tags = text.split(';').filter_map(|tag| tag.split_once('='));
    let (_, value) = tags.into_iter().find(|(name, _)| name.trim() == "p")?;
    let letters: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(letters).ok()
}

/// Whether the DNS has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// It has it.
    Yes,
    /// There is no such record.
    Missing,
    /// There is another key.
    Differs {
        /// What is there.
        found: String,
    },
    /// The DNS did not say.
    Unknown(LookupError),
}
