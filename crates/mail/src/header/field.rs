//! Names and values of fields that are safe to write.

use std::fmt;

/// The longest line that may be written, without its CRLF (RFC 5322 §2.1.1).
const LINE_OCTETS_MAX: usize = 998;
/// Longer names are no names.
const NAME_OCTETS_MAX: usize = 128;
/// Larger values are written by nobody in good faith.
const VALUE_OCTETS_MAX: usize = 64 << 10;

/// Why a text is no name or value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// RFC 5322 §3.6.8.
    #[error("a field's name has 1 to 128 printable characters of ASCII and no colon or space")]
    Name,
    /// RFC 5322 §2.2.
    #[error("the value holds a control character")]
    Control,
    /// RFC 5322 §2.2.3: a line end is followed by a space or a tab, or it ends the field.
    #[error("the value holds a line end that folds nothing")]
    LineEnd,
    /// RFC 5322 §2.1.1.
    #[error("the value holds a word that is too long for one line")]
    Word,
    /// More than 64 KiB.
    #[error("the value is larger than 64 KiB")]
    TooLarge,
}

/// The name of a field in its spelling; names are equal without regard to case (RFC 5322 §1.2.2).
#[derive(Clone)]
pub struct FieldName(Box<str>);

impl FieldName {
    /// Takes a name without its colon.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if (1..=NAME_OCTETS_MAX).contains(&text.len()) && text.bytes().all(is_name) {
            return Ok(Self(text.into()));
        }
        Err(FieldError::Name)
    }

    /// The name as it was spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for FieldName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for FieldName {}

impl fmt::Display for FieldName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The value of a field, folded so that it cannot end its field and no line is longer than 998 octets.
///
/// Octets above 127 are kept: whoever sends it on knows whether the next hop takes them (RFC 6532).
#[derive(Clone, PartialEq, Eq)]
pub struct FieldValue(Box<[u8]>);

impl FieldValue {
    /// Takes what stands behind the colon, without the line end that ends the field.
    ///
    /// White space at both ends goes. A fold may be CRLF or LF and becomes CRLF; one that holds white space alone goes,
    /// since some take it for the header's end. Lines that are too long are folded where they have white space.
    ///
    /// # Errors
    /// When a control character or a line end would end the field or confuse a reader, or a line cannot be folded.
    pub fn parse(text: &[u8]) -> Result<Self, FieldError> {
        if text.len() > VALUE_OCTETS_MAX {
            return Err(FieldError::TooLarge);
        }
        let text = text.trim_ascii();
        let mut folded = Vec::with_capacity(text.len());
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                return Err(FieldError::Control);
            }
            if number > 0 && !matches!(line.first(), None | Some(b' ' | b'\t')) {
                return Err(FieldError::LineEnd);
            }
            add_line(&mut folded, line.trim_ascii_end())?;
        }
        Ok(Self(folded.into_boxed_slice()))
    }

    /// The value with its folds, each CRLF and white space; no white space at its ends.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it can go without SMTPUTF8.
    pub const fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

impl fmt::Debug for FieldValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.0.escape_ascii())
    }
}

/// Adds a line that is not empty, in parts if it is too long; each but the first begins with white space.
fn add_line(folded: &mut Vec<u8>, line: &[u8]) -> Result<(), FieldError> {
    if line.is_empty() {
        return Ok(());
    }
    if !folded.is_empty() {
        folded.extend_from_slice(b"\r\n");
    }
    let is_first = folded.is_empty();
    // The first line may have to be folded away from the name, by one space.
    let octets_max = if is_first { LINE_OCTETS_MAX - 1 } else { LINE_OCTETS_MAX };
    if line.len() <= octets_max {
        folded.extend_from_slice(line);
        return Ok(());
    }
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut octets = 0_usize;
    for (number, word) in words.enumerate() {
        if word.len() >= LINE_OCTETS_MAX {
            return Err(FieldError::Word);
        }
        if octets + 1 + word.len() > octets_max {
            folded.extend_from_slice(b"\r\n");
            octets = 0;
        }
        if number > 0 || !is_first {
            folded.push(b' ');
            octets += 1;
        }
        folded.extend_from_slice(word);
        octets += word.len();
    }
    Ok(())
}

/// A field as it goes into a header, with its CRLF.
pub(crate) fn written(name: &FieldName, value: &FieldValue) -> Vec<u8> {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    let first = value.split(|byte| *byte == b'\r').next().map_or(0, <[u8]>::len);
    let mut field = Vec::with_capacity(name.len() + value.len() + 6);
    field.extend_from_slice(name);
    let fits = name.len() + 2 + first <= LINE_OCTETS_MAX;
    field.extend_from_slice(if fits { b": " } else { b":\r\n " });
    field.extend_from_slice(value);
    field.extend_from_slice(b"\r\n");
    field
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, FieldError>) {
        let value = FieldValue::parse(text.as_bytes());
        let value = value.map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap());
        assert_eq!(value, want.map(str::to_owned), "{text:?}");
    }

    #[test]
    fn values_end_no_field() {
        check("", Ok(""));
        check(" plain \t", Ok("plain"));
        check("a\r\n b\n\tc", Ok("a\r\n b\r\n\tc"));
        check("a\r\n \r\n b\n\n\tc\r\n", Ok("a\r\n b\r\n\tc"));
        check("grüße", Ok("grüße"));
        check("a\r\nBcc: b", Err(FieldError::LineEnd));
        check("a\nBcc: b", Err(FieldError::LineEnd));
        check("a\rBcc: b", Err(FieldError::Control));
        check("a\r\r\n b", Err(FieldError::Control));
        check("a\0b", Err(FieldError::Control));
        check(&"x".repeat(70_000), Err(FieldError::TooLarge));
        check(&"x".repeat(1000), Err(FieldError::Word));
    }

    #[test]
    fn names_are_words() {
        assert_eq!(FieldName::parse("X-Spam").unwrap(), FieldName::parse("x-spAM").unwrap());
        for bad in ["", "a b", "a:", "a\r\n", "ä", "a\t", &"a".repeat(129)] {
            assert_eq!(FieldName::parse(bad), Err(FieldError::Name), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_line_is_short_and_no_fold_is_empty(
            text in "[a-z :]{0,40}((\r\n|\n|\r)?[ \tx]{0,700}){0,6}", name in "[A-Z]{1,128}"
        ) {
            let Ok(value) = FieldValue::parse(text.as_bytes()) else { return Ok(()) };
            let field = written(&FieldName::parse(&name).unwrap(), &value);
            let lines = field.strip_suffix(b"\r\n").unwrap().split(|byte| *byte == b'\n');
            for (number, line) in lines.enumerate() {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                prop_assert!(line.len() <= LINE_OCTETS_MAX && !line.contains(&b'\r'));
                prop_assert!(!line.trim_ascii().is_empty());
                prop_assert_eq!(number > 0, matches!(line[0], b' ' | b'\t'));
            }
            // What is read again says the same.
            let again = FieldValue::parse(value.as_bytes()).unwrap();
            prop_assert_eq!(again, value);
        }
    }
}
