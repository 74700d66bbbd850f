//! What the lines of a content are like.

use memchr::memchr2_iter;

/// Looks at content as it streams by: bare CR and LF, the longest line, octets above 127.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineScan {
    line_octets: u64,
    line_octets_longest: u64,
    last: Last,
    has_bare_end: bool,
    has_eight_bit: bool,
}

/// The last octet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    Cr,
    #[default]
    Other,
}

impl LineScan {
    /// A scan at the start of a content.
    pub const fn new() -> Self {
        Self {
            line_octets: 0,
            line_octets_longest: 0,
            last: Last::Other,
            has_bare_end: false,
            has_eight_bit: false,
        }
    }

    /// Looks at the next piece.
    pub fn scan(&mut self, chunk: &[u8]) {
        let Some(last) = chunk.last() else { return };
        self.has_eight_bit |= !chunk.is_ascii();
        if self.last == Last::Cr && chunk.first() != Some(&b'\n') {
            self.has_bare_end = true;
        }
        let mut line_start = 0_usize;
        let mut previous_cr = if self.last == Last::Cr { Some(usize::MAX) } else { None };
        for at in memchr2_iter(b'\r', b'\n', chunk) {
            let is_behind_cr = previous_cr.is_some_and(|cr| cr.wrapping_add(1) == at);
            if chunk.get(at) == Some(&b'\r') {
                self.has_bare_end |= previous_cr.is_some();
                previous_cr = Some(at);
            } else if is_behind_cr {
                // The CR was counted.
                let octets = self.line_octets.saturating_add(octets(at.saturating_sub(line_start)));
                self.saw_line(octets.saturating_sub(1));
                self.line_octets = 0;
                line_start = at.saturating_add(1);
                previous_cr = None;
            } else {
                self.has_bare_end = true;
            }
        }
        self.last = if *last == b'\r' { Last::Cr } else { Last::Other };
        self.has_bare_end |= previous_cr.is_some() && self.last == Last::Other;
        let rest = octets(chunk.len().saturating_sub(line_start));
        self.line_octets = self.line_octets.saturating_add(rest);
        self.saw_line(self.line_octets.saturating_sub(u64::from(self.last == Last::Cr)));
    }

    /// Whether a CR or LF stood alone. At the end of the content a last CR counts too.
    pub const fn has_bare_end(&self) -> bool {
        self.has_bare_end || matches!(self.last, Last::Cr)
    }

    /// Whether a CR or LF stood alone before the last octet.
    pub const fn has_bare_end_so_far(&self) -> bool {
        self.has_bare_end
    }

    /// The longest line so far, without its CRLF.
    pub const fn line_octets_longest(&self) -> u64 {
        self.line_octets_longest
    }

    /// Whether an octet above 127 was seen.
    pub const fn has_eight_bit(&self) -> bool {
        self.has_eight_bit
    }

    fn saw_line(&mut self, octets: u64) {
        self.line_octets_longest = self.line_octets_longest.max(octets);
    }
}

fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(pieces: &[&[u8]]) -> (bool, u64, bool) {
        let mut scan = LineScan::new();
        for piece in pieces {
            scan.scan(piece);
        }
        (scan.has_bare_end(), scan.line_octets_longest(), scan.has_eight_bit())
    }

    #[test]
    fn lines_are_looked_at() {
        for (text, want) in [
            ("", (false, 0, false)),
            ("\r\n", (false, 0, false)),
            ("abc\r\nab\r\n", (false, 3, false)),
            ("a\r\nabcd", (false, 4, false)),
            ("a\nb\r\n", (true, 3, false)),
            ("\n", (true, 1, false)),
            ("a\rb\r\n", (true, 3, false)),
            ("a\r", (true, 1, false)),
            ("a\r\r\n", (true, 2, false)),
            ("\r\n\n", (true, 1, false)),
            ("é\r\n", (false, 2, true)),
        ] {
            assert_eq!(scan(&[text.as_bytes()]), want, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn cuts_and_the_plain_reading_agree(text in "[aé\r\n]{0,30}", cut in 0_usize..60) {
            let bytes = text.as_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let whole = scan(&[bytes]);
            prop_assert_eq!(scan(&[head, tail]), whole);
            prop_assert_eq!(scan(&single), whole);
            let bare = text.replace("\r\n", "").contains(['\r', '\n']);
            let longest = text.split("\r\n").map(str::len).max().unwrap_or(0);
            // A last CR may still become CRLF, so it is no part of the line yet.
            let longest = if text.ends_with('\r') { whole.1 } else { longest as u64 };
            prop_assert_eq!(whole, (bare, longest, !text.is_ascii()));
        }
    }
}
