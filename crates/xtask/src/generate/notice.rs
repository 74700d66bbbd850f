//! The first line of each document.

/// Keeps people from editing by hand what the next `make gen` overwrites.
pub(crate) const NOTICE: &str = "Made by `make gen`; do not edit.";
