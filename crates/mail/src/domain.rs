//! Domains and address literals.

use std::fmt;
use std::net::IpAddr;

/// The part of an address behind the last `@`: a name or an address literal.
///
/// Kept in lower case, since domains compare without case (RFC 5321 §2.4); the address itself keeps
/// its spelling. A name may hold U-labels (RFC 6531); turn them into A-labels before a look-up.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<str>);

/// Why a text is not a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// Nothing there.
    #[error("the domain is empty")]
    Empty,
    /// RFC 5321 §4.5.3.1.2.
    #[error("the domain is longer than 255 octets")]
    TooLong,
    /// RFC 5321 §4.1.2, RFC 1035 §2.3.1.
    #[error(
        "a label of the domain is empty, longer than 63 octets or holds a character that no label has"
    )]
    Label,
    /// RFC 5321 §4.1.3.
    #[error("the address literal is neither [IPv4] nor [IPv6:address]")]
    Literal,
}

const OCTETS_MAX: usize = 255;
const LABEL_OCTETS_MAX: usize = 63;

impl Domain {
    /// Reads a domain name or an address literal in brackets.
    ///
    /// Underscores are taken, since hosts with them exist; a trailing dot is not (RFC 5321 §2.3.5).
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        check(text)?;
        Ok(Self(text.to_lowercase().into_boxed_str()))
    }

    /// The text, in lower case, with brackets if it is a literal.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if this is an address literal.
    pub fn literal(&self) -> Option<IpAddr> {
        self.0.strip_prefix('[')?.strip_suffix(']').and_then(literal)
    }

    /// Whether this is a name below `parent`, and not `parent` itself.
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0.strip_suffix(&*parent.0).is_some_and(|rest| rest.ends_with('.'))
    }

    /// Whether this is the name of a host, as DNS and certificates hold it: no literal, ASCII alone.
    pub fn is_host_name(&self) -> bool {
        self.literal().is_none() && self.is_ascii()
    }

    /// Whether `text` is such a name, or `*.` and one, as certificates are written for.
    pub fn is_host_pattern(text: &str) -> bool {
        let name = text.strip_prefix("*.").unwrap_or(text);
        Self::parse(name).is_ok_and(|domain| domain.is_host_name())
    }

    /// Whether every character is ASCII; if not, it needs SMTPUTF8 on the wire.
    pub const fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

/// Whether [`Domain::parse`] takes `text`, without making anything of it.
pub(crate) fn check(text: &str) -> Result<(), DomainError> {
    if text.is_empty() {
        return Err(DomainError::Empty);
    }
    if text.len() > OCTETS_MAX {
        return Err(DomainError::TooLong);
    }
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(DomainError::Literal)?;
        literal(inner).ok_or(DomainError::Literal)?;
    } else if !text.as_bytes().split(|byte| *byte == b'.').all(is_label) {
        return Err(DomainError::Label);
    }
    Ok(())
}

fn literal(inner: &str) -> Option<IpAddr> {
    let tag = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("ipv6:"));
    match tag {
        Some(_) => inner.get(5..)?.parse().ok().map(IpAddr::V6),
        None => inner.parse().ok().map(IpAddr::V4),
    }
}

fn is_label(label: &[u8]) -> bool {
    let is_ascii_allowed =
        |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    let is_allowed =
        |c: char| u8::try_from(c).is_ok_and(|byte| is_ascii_allowed(&byte)) || is_letter_utf8(c);
    let is_utf8_allowed = || str::from_utf8(label).is_ok_and(|it| it.chars().all(is_allowed));
    (1..=LABEL_OCTETS_MAX).contains(&label.len())
        && !label.starts_with(b"-")
        && !label.ends_with(b"-")
        && (label.iter().all(is_ascii_allowed) || is_utf8_allowed())
}

/// Letters, digits and marks beyond ASCII; spaces, controls and signs that look like dots are out.
fn is_letter_utf8(c: char) -> bool {
    let is_mark = ('\u{300}'..='\u{36f}').contains(&c) || c == '\u{200c}' || c == '\u{200d}';
    let is_beyond_ascii = !c.is_ascii() && !c.is_control() && !c.is_whitespace();
    let is_dot = matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
    is_beyond_ascii && !is_dot && (c.is_alphanumeric() || is_mark || c > '\u{36f}')
}

impl fmt::Display for Domain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_literals_are_taken() {
        for (text, want) in [
            ("Example.COM", "example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("bücher.example", "bücher.example"),
            ("localhost", "localhost"),
            ("_dmarc.example", "_dmarc.example"),
            ("[127.0.0.1]", "[127.0.0.1]"),
            ("[IPv6:::1]", "[ipv6:::1]"),
        ] {
            assert_eq!(Domain::parse(text).unwrap().as_str(), want);
        }
        assert_eq!(Domain::parse("[IPv6:::1]").unwrap().literal(), Some("::1".parse().unwrap()));
        assert_eq!(Domain::parse("a.example").unwrap().literal(), None);
    }

    #[test]
    fn certificates_are_for_names() {
        for name in ["a.example", "*.a.example", "localhost"] {
            assert!(Domain::is_host_pattern(name), "{name}");
        }
        for name in ["*.", "*", "a.*.example", "[127.0.0.1]", "*.[::1]", "b\u{fc}cher.example", ""]
        {
            assert!(!Domain::is_host_pattern(name), "{name}");
        }
    }

    #[test]
    fn others_are_refused() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = vec!["abcdefgh"; 32].join(".");
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a.b",
            "a-.b",
            "a b",
            "a\r\n.b",
            "a\0b",
            "[127.0.0]",
            "[::1]",
            "[127.0.0.1",
            "a@b",
            "a。b",
            "a%b",
            "a!b",
            "a\u{a0}b",
            &long,
            &longer,
        ] {
            assert!(Domain::parse(bad).is_err(), "{bad:?}");
        }
    }
}
