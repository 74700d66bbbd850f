//! How an error is told in one line.

use std::error::Error;
use std::fmt;

/// An error with its causes.
pub(crate) struct Causes<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(this) = cause {
            write!(out, ": {this}")?;
            cause = this.source();
        }
        Ok(())
    }
}
