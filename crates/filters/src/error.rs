//! What goes wrong with a filter.

use std::io;
use std::path::PathBuf;

/// Why a filter cannot be used; the operator mends the settings or a file.
#[derive(Debug, thiserror::Error)]
#[error("filter `{filter}`: {key}: {words}")]
#[non_exhaustive]
pub struct FiltersError {
    /// Its name.
    pub filter: String,
    /// Which setting is wrong.
    pub key: &'static str,
    /// What is wrong with it, and what to do.
    pub words: String,
}

/// Why there is no answer: `on_failure` decides what follows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("closed the connection")]
    Closed,
    #[error("did not answer in time")]
    Late,
    #[error("no connection was free in time")]
    Busy,
    #[error("rests after failures")]
    Rests,
    #[error("says that it is going down")]
    GoingDown,
    #[error("does not follow the protocol: {0}")]
    Protocol(String),
    #[error("no answer: {0}")]
    Http(String),
}

impl AskError {
    pub(crate) fn protocol(words: impl Into<String>) -> Self {
        Self::Protocol(words.into())
    }

    /// Whether it says something of the filter's health, and not only that it has much to do or rests.
    pub(crate) const fn is_failure(&self) -> bool {
        !matches!(self, Self::Rests | Self::Busy)
    }
}

/// Why a file of a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("{} cannot be read: {error}", file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("{} is open to everybody (mode {mode:03o}); give it mode 640 and change what it holds", file.display())]
    Open { file: PathBuf, mode: u32 },
    #[error("{} must hold one line of at most 4096 octets, and nothing else", file.display())]
    NoSecret { file: PathBuf },
}
