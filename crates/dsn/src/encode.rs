//! How texts from anywhere become lines of a message.

/// Lines that end with CRLF.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one line; the caller has seen to it that it is one.
    pub(crate) fn line(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    /// Adds octets as they are, and a line end if they do not end with one.
    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
        if !self.0.ends_with(b"\r\n") {
            self.0.extend_from_slice(b"\r\n");
        }
    }

    /// Adds `text` folded at blanks, with a blank at the start of each further line
    /// (RFC 5322 §2.2.3). A word too long for a line is cut.
    pub(crate) fn folded(&mut self, text: &str) {
        for (number, line) in wrapped(text, FOLD_OCTETS).iter().enumerate() {
            if number > 0 {
                self.0.extend_from_slice(b"\t");
            }
            self.line(line);
        }
    }

    pub(crate) fn into_octets(self) -> Vec<u8> {
        self.0
    }
}

const FOLD_OCTETS: usize = 76;
/// A word longer than this is cut, since a line must not have more than 998 octets.
const WORD_OCTETS_MAX: usize = 500;

/// Breaks `text` at blanks into lines of at most `octets_max` where words allow it; never empty.
pub(crate) fn wrapped(text: &str, octets_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().flat_map(cut) {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len().saturating_add(word.len()) < octets_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Cuts a word into pieces that fit a line.
fn cut(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut at = WORD_OCTETS_MAX.min(rest.len());
        while !rest.is_char_boundary(at) {
            at = at.saturating_sub(1);
        }
        let (piece, behind) = rest.split_at_checked(at)?;
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The text without what could deceive a reader or a parser: control characters, line ends other than
/// `\n`, and marks that turn the direction of writing; at most `chars_max` characters.
pub(crate) fn clean(text: &str, chars_max: usize) -> String {
    let is_turn = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_line_end = |c| matches!(c, '\u{2028}' | '\u{2029}');
    let clean = |c: char| {
        let is_bad = (c.is_control() && c != '\n') || is_turn(c) || is_line_end(c);
        if is_bad { '?' } else { c }
    };
    let mut chars = text.chars();
    let mut cleaned: String = chars.by_ref().take(chars_max).map(clean).collect();
    if chars.next().is_some() {
        cleaned.push_str(" ...");
    }
    cleaned
}

/// The text in ASCII: other characters as `\x{2014}`, control characters as `?`.
///
/// The form of RFC 6533 §3 for places that must stay ASCII.
pub(crate) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(' '),
            c if c.is_control() => out.push('?'),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&embedded(c)),
        }
    }
    out
}

/// An address as `utf-8-addr-xtext` (RFC 6533 §3).
pub(crate) fn address_xtext(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for c in address.chars() {
        if c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\') {
            out.push(c);
        } else {
            out.push_str(&embedded(c));
        }
    }
    out
}

fn embedded(c: char) -> String {
    format!("\\x{{{:02X}}}", u32::from(c))
}

/// Whether octets may stand in a 7-bit part: ASCII without NUL, whole lines of at most 998 octets
/// (RFC 5322 §2.1.1, RFC 2045 §2.7).
pub(crate) fn is_seven_bit(octets: &[u8]) -> bool {
    let is_plain = |octet: &u8| octet.is_ascii() && *octet != 0;
    let mut lines = octets.split(|octet| *octet == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        let text = match line.strip_suffix(b"\r") {
            Some(text) if !is_last => text,
            None if is_last => line,
            Some(_) | None => return false,
        };
        if text.len() > 998 || text.contains(&b'\r') || !text.iter().all(is_plain) {
            return false;
        }
    }
    true
}

/// Octets as quoted-printable; CRLF stays a line end (RFC 2045 §6.7).
pub(crate) fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    const LINE_OCTETS_MAX: usize = 76;
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let hex = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut out = Vec::with_capacity(octets.len().saturating_add(octets.len() / 8));
    let mut column = 0_usize;
    let mut rest = octets;
    while let Some((octet, behind)) = rest.split_first() {
        if rest.starts_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            column = 0;
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        let ends_line = behind.is_empty() || behind.starts_with(b"\r\n");
        let is_blank = matches!(octet, b' ' | b'\t');
        let stays = (octet.is_ascii_graphic() && *octet != b'=') || (is_blank && !ends_line);
        let width = if stays { 1 } else { 3 };
        if column.saturating_add(width) >= LINE_OCTETS_MAX {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if stays {
            out.push(*octet);
        } else {
            out.extend_from_slice(&[b'=', hex(octet >> 4), hex(octet & 15)]);
        }
        column = column.saturating_add(width);
        rest = behind;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_bit_is_judged_line_by_line() {
        let long = [&[b'a'; 998][..], b"\r\n"].concat();
        let too_long = [&[b'a'; 999][..], b"\r\n"].concat();
        for (octets, want) in [
            (&b""[..], true),
            (b"a\r\nb", true),
            (b"a\r\n\r\n", true),
            (&long, true),
            (&too_long, false),
            (b"a\nb", false),
            (b"a\rb\r\n", false),
            (b"a\r", false),
            (b"\0\r\n", false),
            (b"\xff\r\n", false),
        ] {
            assert_eq!(is_seven_bit(octets), want, "{octets:?}");
        }
    }

    #[test]
    fn quoted_printable_keeps_to_its_line() {
        assert_eq!(quoted_printable("é=\t\r\n x \r\nz".as_bytes()), b"=C3=A9=3D=09\r\n x=20\r\nz");
        let long = quoted_printable(&[b'a'; 200]);
        let lines: Vec<_> = long.split(|octet| *octet == b'\n').collect();
        assert!(lines.len() == 3 && lines.iter().all(|line| line.len() <= 77));
    }

    #[test]
    fn texts_are_cleaned_and_wrapped() {
        assert_eq!(clean("a\r\u{202e}b\u{7f}\n\u{2028}c", 100), "a??b?\n?c");
        assert_eq!(clean("abcdef", 3), "abc ...");
        assert_eq!(wrapped("aa bb cc dd", 6), ["aa bb", "cc dd"]);
        assert_eq!(wrapped("", 6), [""]);
        let pieces = wrapped(&"é".repeat(600), 70);
        assert_eq!(pieces.iter().map(String::len).collect::<Vec<_>>(), [500, 500, 200]);
        assert_eq!(ascii("a—\n\u{1}b"), "a\\x{2014} ?b");
        assert_eq!(address_xtext("jö+\"a b\"@x.y"), "j\\x{F6}\\x{2B}\"a\\x{20}b\"@x.y");
    }
}
