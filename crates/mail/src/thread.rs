//! Threads of applications: what a reply belongs to, as the application calls it.

use std::fmt;

/// What an application calls one of its threads, such as `ticket-4711`: 1 to 32 letters, digits, `-`, `_` and dots
/// between them. In small letters, since hosts may change the case of the addresses that it stands in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ThreadName(Box<str>);

/// A text is no name of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a thread is called by 1 to 32 letters, digits, `-`, `_` and dots between them")]
pub struct ThreadNameError;

impl ThreadName {
    const OCTETS_MAX: usize = 32;

    /// Reads one.
    ///
    /// # Errors
    /// When it is too long for an address, or holds what an address cannot hold everywhere.
    pub fn parse(text: &str) -> Result<Self, ThreadNameError> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let mut parts = text.split('.');
        let is_good = text.len() <= Self::OCTETS_MAX
            && parts.all(|part| !part.is_empty() && part.bytes().all(is_known));
        is_good.then(|| Self(text.to_ascii_lowercase().into())).ok_or(ThreadNameError)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ThreadName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_an_address() {
        let name = |text: &str| ThreadName::parse(text).map(|name| name.as_str().to_owned());
        assert_eq!(name("Ticket-4711").as_deref(), Ok("ticket-4711"));
        assert_eq!(name("a.b_c").as_deref(), Ok("a.b_c"));
        let long = "x".repeat(33);
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a+b", "a@b", "a\r\nb", "\u{e9}", &long] {
            assert_eq!(name(bad), Err(ThreadNameError), "{bad:?}");
        }
    }
}
