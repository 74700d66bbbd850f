//! Mailbox addresses in their original spelling.

use std::fmt;

use crate::domain::{self, Domain, DomainError};

/// A mailbox as it stood in a command: `local@domain`, or `postmaster` alone.
///
/// The spelling is never changed: quotes, case and UTF-8 stay, since the local part belongs to the
/// receiving host (RFC 5321 §2.3.11). Two addresses are equal when their spelling is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    text: Box<str>,
    local_octets: usize,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// RFC 5321 §4.1.2: a mailbox is `local@domain`; only `postmaster` stands alone.
    #[error("the address has no domain")]
    NoDomain,
    /// RFC 5321 §4.1.2.
    #[error("the local part is neither a dot-string nor a quoted string")]
    LocalPart,
    /// RFC 5321 §4.5.3.1.1.
    #[error("the local part is longer than 64 octets")]
    LocalPartTooLong,
    /// The domain is at fault.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

const LOCAL_OCTETS_MAX: usize = 64;

impl Address {
    /// Reads what stands between `<` and `>`, without a source route.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.eq_ignore_ascii_case("postmaster") {
            return Ok(Self { text: text.into(), local_octets: text.len() });
        }
        let local_octets = local_part_end(text)?;
        if local_octets > LOCAL_OCTETS_MAX {
            return Err(AddressError::LocalPartTooLong);
        }
        let rest = text.get(local_octets..).unwrap_or_default();
        domain::check(rest.strip_prefix('@').ok_or(AddressError::NoDomain)?)?;
        Ok(Self { text: text.into(), local_octets })
    }

    /// The whole address as it was spelled.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`, with its quotes.
    pub fn local_part(&self) -> &str {
        self.text.get(..self.local_octets).unwrap_or_default()
    }

    /// What stands behind the `@` in lower case; none for `postmaster` alone.
    pub fn domain(&self) -> Option<Domain> {
        let text = self.text.get(self.local_octets.saturating_add(1)..)?;
        Domain::parse(text).ok()
    }

    /// Whether it can go without SMTPUTF8 (RFC 6531 §3.4).
    pub const fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

/// Finds where the local part ends: a dot-string or a quoted string (RFC 5321 §4.1.2).
fn local_part_end(text: &str) -> Result<usize, AddressError> {
    if !text.starts_with('"') {
        let end = text.rfind('@').ok_or(AddressError::NoDomain)?;
        let local = text.get(..end).unwrap_or_default();
        return if is_dot_string(local) { Ok(end) } else { Err(AddressError::LocalPart) };
    }
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        let is_printable = c == ' ' || c.is_ascii_graphic() || (!c.is_ascii() && !c.is_control());
        match c {
            _ if !is_printable || (is_escaped && !c.is_ascii()) => {
                return Err(AddressError::LocalPart);
            }
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Ok(at + 1),
            _ => {}
        }
    }
    Err(AddressError::LocalPart)
}

/// Atoms with dots between them, of RFC 5322 §3.2.3 `atext` with UTF-8 beyond ASCII (RFC 6531 §3.3).
fn is_dot_string(local: &str) -> bool {
    let is_beyond_ascii = |c: char| !c.is_ascii() && !c.is_control() && !c.is_whitespace();
    let is_atom = |atom: &[u8]| {
        !atom.is_empty() && atom.iter().all(|byte| is_atext(*byte) || !byte.is_ascii())
    };
    local.as_bytes().split(|byte| *byte == b'.').all(is_atom)
        && (local.is_ascii() || local.chars().all(|c| c.is_ascii() || is_beyond_ascii(c)))
}

const fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~'
        )
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "<{}>", self.text)
    }
}

/// Who is told when a message fails: an address, or nobody (`<>`).
///
/// RFC 5321 §4.5.5.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `MAIL FROM:<>`: a report. It is never answered by another report.
    Null,
    /// An ordinary sender.
    Address(Address),
}

impl ReversePath {
    /// The sender, unless it is null.
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }
}

impl fmt::Display for ReversePath {
    /// As on the wire, with angle brackets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "<{}>", self.address().map_or("", Address::as_str))
    }
}

impl fmt::Debug for ReversePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_stays() {
        for (text, local, domain) in [
            ("User.Name+tag@Example.COM", "User.Name+tag", Some("example.com")),
            (r#""a b"@c.d"#, r#""a b""#, Some("c.d")),
            (r#""a\"@b"@c.d"#, r#""a\"@b""#, Some("c.d")),
            (r#"""@c.d"#, r#""""#, Some("c.d")),
            ("a@[127.0.0.1]", "a", Some("[127.0.0.1]")),
            ("jösé@exämple.org", "jösé", Some("exämple.org")),
            ("PostMaster", "PostMaster", None),
            ("user%other.example@relay.example", "user%other.example", Some("relay.example")),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.as_str(), text);
            assert_eq!(address.local_part(), local);
            assert_eq!(address.domain().as_ref().map(Domain::as_str), domain);
        }
    }

    #[test]
    fn others_are_refused() {
        let long = format!("{}@b.c", "a".repeat(65));
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a..b@c",
            ".a@c",
            "a.@c",
            "a b@c",
            "\"a@c",
            "\"a\"b@c",
            "a\"b\"@c",
            "\"a\r\nb\"@c",
            "a\0@c",
            "a<b@c",
            "a@b.",
            "a@b>",
            "(x)a@b",
            "a\u{80}@b",
            "\"a\u{0}\"@b",
            &long,
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }
}
