//! Addresses as somebody gives them: on the command line, through the API, in the settings.

use anyhow::{Result, anyhow};
use mail::{Address, ReversePath};

/// An address.
pub(crate) fn address(text: &str) -> Result<Address> {
    Address::parse(text).map_err(|error| anyhow!("`{text}` is not an address: {error}"))
}

/// The sender of an envelope; nothing, or `<>`, is the null sender of reports.
pub(crate) fn sender(text: &str) -> Result<ReversePath> {
    match text {
        "" | "<>" => Ok(ReversePath::Null),
        _ => Ok(ReversePath::Address(address(text)?)),
    }
}
