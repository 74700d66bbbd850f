//! The header of a content that streams by.

use memchr::memchr;

/// Finds the end of a header, and counts its octets and its `Received` fields, for the limits on both.
///
/// The header ends at an empty line, or before a line that is neither a field nor a folded one; a first line such as
/// `From a@b Sat Nov 21` is passed over. Holds no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderScan {
    at: At,
    octets: u64,
    line_octets: u64,
    received: u32,
    is_first_line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the start of a line.
    LineStart,
    /// Behind a CR at the start of a line.
    LineStartCr,
    /// In a field's name, of which so many octets are those of `Received`; none if it is another.
    Name(Option<usize>),
    /// Behind such a name and white space, before the colon.
    NameSpace(Option<usize>),
    /// In a field's value.
    Value,
    /// In the body.
    Body,
}

const RECEIVED: &[u8] = b"received";

impl HeaderScan {
    /// A scan at the start of a content.
    pub const fn new() -> Self {
        Self { at: At::LineStart, octets: 0, line_octets: 0, received: 0, is_first_line: true }
    }

    /// Looks at the next piece.
    pub fn scan(&mut self, mut chunk: &[u8]) {
        while let Some(&first) = chunk.first() {
            let octets = match self.at {
                At::Body => return,
                At::Value => self.value(chunk),
                At::LineStart => self.plain_line(chunk).unwrap_or_else(|| self.octet(first)),
                At::LineStartCr | At::Name(_) | At::NameSpace(_) => self.octet(first),
            };
            chunk = chunk.get(octets..).unwrap_or_default();
        }
    }

    /// Octets of the header so far, without the empty line. It never goes down: a line counts once it is known to
    /// be the header's.
    pub const fn octets(&self) -> u64 {
        match self.at {
            At::LineStartCr | At::Name(_) | At::NameSpace(_) => {
                self.octets.saturating_sub(self.line_octets)
            }
            At::LineStart | At::Value | At::Body => self.octets,
        }
    }

    /// `Received` fields so far.
    pub const fn received(&self) -> u32 {
        self.received
    }

    /// Whether the body has begun.
    pub const fn is_ended(&self) -> bool {
        matches!(self.at, At::Body)
    }

    /// Takes one octet.
    fn octet(&mut self, byte: u8) -> usize {
        self.step(byte);
        self.count(1);
        1
    }

    /// Takes what is here of a value and its LF; its octets.
    fn value(&mut self, chunk: &[u8]) -> usize {
        let end = memchr(b'\n', chunk);
        if end.is_some() {
            self.at = At::LineStart;
            self.is_first_line = false;
        }
        let octets = end.map_or(chunk.len(), |at| at.saturating_add(1));
        self.count(octets);
        octets
    }

    /// Takes a whole line that is plainly the header's, a field or a folded one, the short way; its octets. None, and
    /// nothing is taken, if it is any other.
    fn plain_line(&mut self, chunk: &[u8]) -> Option<usize> {
        let octets = memchr(b'\n', chunk)?.saturating_add(1);
        if !matches!(chunk.first(), Some(b' ' | b'\t')) {
            let colon = chunk.iter().position(|&byte| byte == b':' || !is_name(byte))?;
            let name = chunk.get(..colon).filter(|name| !name.is_empty())?;
            chunk.get(colon).filter(|byte| **byte == b':')?;
            self.received =
                self.received.saturating_add(u32::from(name.eq_ignore_ascii_case(RECEIVED)));
        }
        self.is_first_line = false;
        self.count(octets);
        Some(octets)
    }

    fn count(&mut self, octets: usize) {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        match self.at {
            // The line under way was none of the header's.
            At::Body => self.octets = self.octets.saturating_sub(self.line_octets),
            At::LineStart => {
                self.octets = self.octets.saturating_add(octets);
                self.line_octets = 0;
            }
            At::LineStartCr | At::Name(_) | At::NameSpace(_) | At::Value => {
                self.octets = self.octets.saturating_add(octets);
                self.line_octets = self.line_octets.saturating_add(octets);
            }
        }
    }

    fn step(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (At::LineStart, b'\r') => At::LineStartCr,
            (At::LineStart | At::LineStartCr, b'\n') => At::Body,
            (At::LineStart, b' ' | b'\t') => At::Value,
            (At::Name(matched) | At::NameSpace(matched), b':') => self.field(matched),
            (At::Name(matched) | At::NameSpace(matched), b' ' | b'\t') => At::NameSpace(matched),
            (At::LineStart, b':') | (At::LineStartCr | At::NameSpace(_), _) => {
                self.not_a_field(byte)
            }
            (At::LineStart, _) => {
                Self::name(Some(0), byte).unwrap_or_else(|| self.not_a_field(byte))
            }
            (At::Name(matched), _) => {
                Self::name(matched, byte).unwrap_or_else(|| self.not_a_field(byte))
            }
            (at @ (At::Value | At::Body), _) => at,
        };
    }

    fn field(&mut self, matched: Option<usize>) -> At {
        self.received = self.received.saturating_add(u32::from(matched == Some(RECEIVED.len())));
        At::Value
    }

    fn not_a_field(&mut self, byte: u8) -> At {
        match byte {
            _ if !self.is_first_line => At::Body,
            b'\n' => {
                self.is_first_line = false;
                At::LineStart
            }
            _ => At::Value,
        }
    }

    /// One more octet of a name; none if no name has it.
    fn name(matched: Option<usize>, byte: u8) -> Option<At> {
        let goes_on = matched.filter(|&at| RECEIVED.get(at) == Some(&byte.to_ascii_lowercase()));
        is_name(byte).then_some(At::Name(goes_on.map(|at| at.saturating_add(1))))
    }
}

/// Whether a name may have this octet (RFC 5322 §2.2), but for the colon that ends it. UTF-8 is let through.
const fn is_name(byte: u8) -> bool {
    byte.is_ascii_graphic() || !byte.is_ascii()
}

impl Default for HeaderScan {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(pieces: &[&[u8]]) -> HeaderScan {
        let mut scan = HeaderScan::new();
        for piece in pieces {
            scan.scan(piece);
        }
        scan
    }

    #[test]
    fn headers_are_measured() {
        for (content, octets, received, is_ended) in [
            ("", 0, 0, false),
            ("\r\nbody", 0, 0, true),
            ("a: b\r\n\r\nReceived: x\r\n", 6, 0, true),
            ("Received: x\r\n y\r\nRECEIVED : z\r\n\r\n", 31, 2, true),
            ("Received-SPF: x\r\nX-Received: y\r\nReceive: z\r\n\r\n", 44, 0, true),
            ("a: b\r\nno field\r\nReceived: x\r\n", 6, 0, true),
            ("a: b\r\nnofield\r\nReceived: x\r\n", 6, 0, true),
            ("From a@b Sat\r\nReceived: x\r\n\r\n", 27, 1, true),
            ("Hello\r\nworld, this is text\r\n", 7, 0, true),
            ("a: b\r\nc: d\r\n", 12, 0, false),
        ] {
            let found = scan(&[content.as_bytes()]);
            let found = (found.octets(), found.received(), found.is_ended());
            assert_eq!(found, (octets, received, is_ended), "{content:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn cuts_do_not_matter(text in "(Received|a|b c| x|:| |\r\n|\r|\n){0,24}", cut in 0_usize..60) {
            let bytes = text.as_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(scan(&[head, tail]), scan(&[bytes]));
            prop_assert_eq!(scan(&single), scan(&[bytes]));
            let octets: Vec<_> = (0..=bytes.len()).map(|end| scan(&[&bytes[..end]]).octets()).collect();
            prop_assert!(octets.is_sorted());
        }
    }
}
