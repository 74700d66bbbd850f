//! Paths: what stands in angle brackets.

use mail::{Address, AddressError, Domain, ReversePath};

/// What stands between `<` and `>`, and what follows.
pub(crate) struct Path<'a> {
    pub(crate) inner: &'a str,
    pub(crate) rest: &'a str,
}

impl<'a> Path<'a> {
    /// Finds the brackets at the start of `text`; quoted `>` do not end a path.
    ///
    /// None without brackets, or when something other than a space follows them.
    pub(crate) fn find(text: &'a str) -> Option<Self> {
        let inner = text.strip_prefix('<')?;
        let mut is_quoted = false;
        let mut is_escaped = false;
        let end = inner.bytes().position(|byte| {
            if is_escaped {
                is_escaped = false;
                return false;
            }
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\\' => is_escaped = is_quoted,
                b'>' => return !is_quoted,
                _ => {}
            }
            false
        })?;
        let (inner, rest) = inner.split_at_checked(end)?;
        let rest = rest.strip_prefix('>')?;
        (rest.is_empty() || rest.starts_with(' ')).then_some(Self { inner, rest })
    }

    /// The sender: an address, or nobody.
    pub(crate) fn reverse(&self) -> Result<ReversePath, AddressError> {
        if self.inner.is_empty() {
            return Ok(ReversePath::Null);
        }
        self.forward().map(ReversePath::Address)
    }

    /// The recipient. A source route is checked and dropped (RFC 5321 §4.1.1.3, appendix C).
    pub(crate) fn forward(&self) -> Result<Address, AddressError> {
        if !self.inner.starts_with('@') {
            return Address::parse(self.inner);
        }
        let (route, mailbox) = self.inner.split_once(':').ok_or(AddressError::NoDomain)?;
        for hop in route.split(',') {
            Domain::parse(hop.strip_prefix('@').unwrap_or_default())?;
        }
        Address::parse(mailbox)
    }
}
