//! Why an edit is not done.

use std::io;
use std::path::PathBuf;

use admin::view::Direction;

use crate::load_error::LoadError;

/// Why an edit is not done. Nothing was written, unless it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// There is no such connector.
    #[error("there is no {direction} connector `{name}`")]
    Missing {
        /// Which way.
        direction: Direction,
        /// Its name.
        name: String,
    },
    /// There is one already.
    #[error("there is already an {direction} connector `{name}` in {}", file.display())]
    Exists {
        /// Which way.
        direction: Direction,
        /// Its name.
        name: String,
        /// Where.
        file: PathBuf,
    },
    /// There is no such key.
    #[error("there is no DKIM key `{selector}` of {domain} in the settings")]
    KeyMissing {
        /// The domain that signs.
        domain: String,
        /// The key's name.
        selector: String,
    },
    /// There is one already.
    #[error("there is already a DKIM key `{selector}` of {domain} in {}", file.display())]
    KeyExists {
        /// The domain that signs.
        domain: String,
        /// The key's name.
        selector: String,
        /// Where.
        file: PathBuf,
    },
    /// The edit makes no sense as it stands.
    #[error("{0}")]
    Wrong(String),
    /// The settings would not be good, or are not.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file cannot be written; of several files, those before it in the alphabet are.
    #[error("{} cannot be written", file.display())]
    Unwritable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else keeps changing the files: try again.
    #[error("the settings were changed by somebody else at the same time")]
    Raced,
}

impl EditError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "`chasqui connector list` names them",
            Self::Exists { .. } => "change it with `chasqui connector set`, or take another name",
            Self::KeyMissing { .. } => "`chasqui dkim list` names them",
            Self::KeyExists { .. } => "take another selector",
            Self::Wrong(_) => "see docs/reference/settings.md",
            Self::Load(_) => "nothing was written",
            Self::Unwritable { .. } => "let the relay's user write into the folder of the settings",
            Self::Raced => "try again",
        }
    }
}
