//! Why there are no settings.

use std::io;
use std::path::PathBuf;

use crate::problem::Problems;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read: name another, or look at its mode.
    #[error("the settings file {} cannot be read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says something that cannot be: correct it.
    #[error(transparent)]
    Wrong(#[from] Problems),
}
