//! What comes from a peer, made fit to be compared, decoded or shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// More of a peer's words than this stands in no log.
const SHOWN_CHARS_MAX: usize = 80;
/// No account has a longer name.
const NAME_OCTETS_MAX: usize = 255;

/// Why a text cannot name an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("is empty")]
    Empty,
    #[error("is longer than 255 octets")]
    TooLong,
    #[error("holds a character that no name may have, or mixes directions of writing (RFC 4013)")]
    Unfit,
}

/// The form in which names and passwords are compared (RFC 4013).
pub(crate) fn prepared(name: &str) -> Result<String, NameError> {
    if name.len() > NAME_OCTETS_MAX {
        return Err(NameError::TooLong);
    }
    let prepared = stringprep::saslprep(name).map_err(|_| NameError::Unfit)?;
    match prepared.len() {
        0 => Err(NameError::Empty),
        1..=NAME_OCTETS_MAX => Ok(prepared.into_owned()),
        _ => Err(NameError::TooLong),
    }
}

/// A password in the form in which it is hashed; as it is, if it has no such form.
pub(crate) fn prepared_password(password: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(password).ok();
    let prepared = text.and_then(|text| stringprep::saslprep(text).ok());
    prepared.map_or_else(|| password.to_vec(), |text| text.as_bytes().to_vec())
}

/// A peer's words for a log.
pub(crate) fn shown(words: &str) -> String {
    telemetry::shown(words, SHOWN_CHARS_MAX)
}

/// Decodes base64 as RFC 4648 §4 has it: with its padding, without anything else.
pub(crate) fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Encodes for the wire.
pub(crate) fn encoded(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4013 §3.
    #[test]
    fn names_are_prepared() {
        assert_eq!(prepared("I\u{ad}X").unwrap(), "IX");
        assert_eq!(prepared("user").unwrap(), "user");
        assert_eq!(prepared("USER").unwrap(), "USER");
        assert_eq!(prepared("\u{aa}").unwrap(), "a");
        assert_eq!(prepared("\u{2168}").unwrap(), "IX");
        assert_eq!(prepared("\u{7}"), Err(NameError::Unfit));
        assert_eq!(prepared("\u{627}\u{31}"), Err(NameError::Unfit));
        assert_eq!(prepared("a\0b"), Err(NameError::Unfit));
        assert_eq!(prepared(""), Err(NameError::Empty));
        assert_eq!(prepared("\u{ad}"), Err(NameError::Empty));
        assert_eq!(prepared(&"a".repeat(256)), Err(NameError::TooLong));
    }

    #[test]
    fn passwords_without_a_form_stay_as_they_are() {
        assert_eq!(prepared_password("I\u{ad}X".as_bytes()), b"IX");
        assert_eq!(prepared_password(b"a\xffb"), b"a\xffb");
        assert_eq!(prepared_password(b"a\tb"), b"a\tb");
    }

    #[test]
    fn nothing_that_is_shown_leaves_its_line() {
        assert_eq!(shown("a\r\n250 b\0\u{1b}[2J\u{85}\u{202e}"), "a??250 b??[2J??");
        assert_eq!(shown(&"é".repeat(81)), "é".repeat(80) + "…");
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(decoded(b"AGEAYg==").unwrap(), b"\0a\0b");
        assert_eq!(decoded(b"").unwrap(), b"");
        for bad in ["AGEAYg", "AGEAYg=", "AGEAYh==", "AGEA Yg==", "AGEAYg==\r", "_-==", "=", "*"] {
            assert!(decoded(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
