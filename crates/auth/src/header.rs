//! A header's fields, found without changing an octet.

use std::ops::Range;

/// One field where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// What stands before the colon, as it is spelled.
    pub name: &'a [u8],
    /// What stands behind the colon, with folds, without the last line end.
    pub value: &'a [u8],
    /// The whole field with its line end.
    pub place: Range<usize>,
}

impl Field<'_> {
    /// Whether it is called `name`, whatever its case and the white space before the colon.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of `header` from the top, until the empty line or the end; lines that are no field are passed over.
pub(crate) fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at;
            let rest = header.get(start..).filter(|rest| !rest.is_empty())?;
            if rest.starts_with(b"\r\n") {
                return None;
            }
            let octets = field_end(rest);
            at += octets;
            let text = rest.get(..octets)?;
            let Some(colon) = text.iter().position(|octet| *octet == b':') else { continue };
            let value = text.get(colon + 1..)?;
            let value = value.strip_suffix(b"\r\n").unwrap_or(value);
            return Some(Field { name: text.get(..colon)?, value, place: start..at });
        }
    })
}

/// Where the field at the start of `text` ends: behind the first line end that no white space follows.
fn field_end(text: &[u8]) -> usize {
    let mut from = 0;
    while let Some(found) =
        text.get(from..).and_then(|rest| rest.windows(2).position(|two| two == b"\r\n"))
    {
        from += found + 2;
        if !matches!(text.get(from), Some(b' ' | b'\t')) {
            return from;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_octets() {
        let header = b"From: a\r\n b\r\nno field\r\nTo :c\r\nX:\r\n\r\nBody: no\r\n";
        let found: Vec<_> = fields(header).collect();
        let texts: Vec<_> = found.iter().map(|it| &header[it.place.clone()]).collect();
        assert_eq!(texts, [&b"From: a\r\n b\r\n"[..], b"To :c\r\n", b"X:\r\n"]);
        assert_eq!(found[0].value, b" a\r\n b");
        assert!(found[1].is("to") && found[1].name == b"To ");
        assert!(fields(b"").next().is_none() && fields(b"a: b").next().is_some());
    }
}
