//! The fields of a header, with every octet in its place.

/// A content taken apart: what stands before the first field, the fields, and the rest.
///
/// A line ends at LF, with or without CR before it. The header ends at an empty line or before a line that is neither a field
/// nor a folded one; a first line such as `From a@b Sat Nov 21` stands before the fields. The parts together are the
/// content, octet by octet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// A first line that is no field; mostly empty.
    pub before: &'a [u8],
    /// The fields in their order.
    pub fields: Vec<Field<'a>>,
    /// The empty line and the body; or what of it was given.
    pub rest: &'a [u8],
}

/// A field as it stands in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// All of it, with its line end.
    pub whole: &'a [u8],
    name_octets: usize,
}

impl<'a> Field<'a> {
    /// The name, without white space or colon.
    pub fn name(&self) -> &'a [u8] {
        self.whole.get(..self.name_octets).unwrap_or_default().trim_ascii_end()
    }

    /// What stands behind the colon, with its folds and white space, without the line end that ends the field.
    pub fn value(&self) -> &'a [u8] {
        let value = self.whole.get(self.name_octets.saturating_add(1)..).unwrap_or_default();
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        value.strip_suffix(b"\r").unwrap_or(value)
    }

    /// Whether this is its name, without regard to case.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }
}

impl<'a> Header<'a> {
    /// Takes a content apart, or its beginning.
    pub fn read(content: &'a [u8]) -> Self {
        let (mut before, mut fields, mut rest) = (&b""[..], Vec::new(), content);
        let line = line_octets(content);
        let first = content.get(..line).unwrap_or_default();
        if colon(first).is_none() && !is_empty(first) && !is_folded(first) {
            before = first;
            rest = content.get(line..).unwrap_or_default();
        }
        while let Some(name_octets) = colon(rest) {
            let (whole, behind) = rest.split_at(field_octets(rest).min(rest.len()));
            fields.push(Field { whole, name_octets });
            rest = behind;
        }
        Self { before, fields, rest }
    }
}

/// Octets of the line that begins here, its LF among them.
fn line_octets(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1)
}

/// Octets of the field that begins here, its folded lines among them.
fn field_octets(text: &[u8]) -> usize {
    let mut octets = line_octets(text);
    while let Some(next) = text.get(octets..).filter(|next| is_folded(next)) {
        octets += line_octets(next);
    }
    octets
}

fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

fn is_empty(line: &[u8]) -> bool {
    matches!(line, [] | b"\n" | b"\r\n")
}

/// Where the colon of the field stands that begins here; none if none does. White space may stand before it
/// (RFC 5322 §4.5), and UTF-8 is let through.
fn colon(text: &[u8]) -> Option<usize> {
    let is_name = |byte: &u8| (byte.is_ascii_graphic() && *byte != b':') || !byte.is_ascii();
    let name = text.iter().position(|byte| !is_name(byte)).filter(|name| *name > 0)?;
    let space = text.get(name..)?.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    (text.get(name + space) == Some(&b':')).then_some(name + space)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(content: &str, before: &str, fields: &[(&str, &str)], rest: &str) {
        let header = Header::read(content.as_bytes());
        let found: Vec<_> =
            header.fields.iter().map(|field| (field.name(), field.value())).collect();
        let want: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        assert_eq!(found, want, "{content:?}");
        assert_eq!((header.before, header.rest), (before.as_bytes(), rest.as_bytes()));
    }

    #[test]
    fn headers_are_read() {
        check("", "", &[], "");
        check("\r\nbody", "", &[], "\r\nbody");
        check("a: b\r\n\r\nc: d\r\n", "", &[("a", " b")], "\r\nc: d\r\n");
        check("A : b\r\n\tc\nd:e", "", &[("A", " b\r\n\tc"), ("d", "e")], "");
        check("From a@b Sat\r\na:b\r\n\r\n", "From a@b Sat\r\n", &[("a", "b")], "\r\n");
        check("a:b\r\nno field\r\nc:d\r\n", "", &[("a", "b")], "no field\r\nc:d\r\n");
        check(" a:b\r\n", "", &[], " a:b\r\n");
        check(":a\r\n", ":a\r\n", &[], "");
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "(From|a|b c|:| |\t|\r\n|\r|\n|ü){0,24}") {
            let header = Header::read(text.as_bytes());
            let mut whole = header.before.to_vec();
            whole.extend(header.fields.iter().flat_map(|field| field.whole));
            whole.extend_from_slice(header.rest);
            prop_assert_eq!(whole, text.as_bytes());
            prop_assert!(header.fields.iter().all(|field| !field.name().is_empty()));
        }
    }
}
