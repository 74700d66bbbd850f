//! What the lines of a content are like.

use memchr::memrchr;

/// Looks at content as it streams by: CR and LF that stand alone, NULs, and lines that are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says of one thing whether it was seen")]
pub struct LineScan {
    line_octets_max: u64,
    /// Of the line under way, behind the last LF.
    line_octets: u64,
    last: Last,
    has_bare_end: bool,
    has_long_line: bool,
    has_nul: bool,
}

/// The last octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Cr,
    Other,
}

/// CR and LF.
const END_OCTETS: u64 = 2;

impl LineScan {
    /// A scan at the start of a content whose lines may have `line_octets_max` octets without their CRLF.
    pub const fn new(line_octets_max: u64) -> Self {
        Self {
            line_octets_max,
            line_octets: 0,
            last: Last::Other,
            has_bare_end: false,
            has_long_line: false,
            has_nul: false,
        }
    }

    /// Looks at the next piece.
    pub fn scan(&mut self, chunk: &[u8]) {
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { return };
        self.has_bare_end |= (self.last == Last::Cr) != (*first == b'\n');
        // Without a way out in the middle the compiler compares many octets at once.
        let neighbours = chunk.iter().zip(chunk.get(1..).unwrap_or_default());
        let (is_bare, least) = neighbours.fold((false, *last), |(is_bare, least), (one, next)| {
            (is_bare | is_bare_between(*one, *next), least.min(*one))
        });
        self.has_bare_end |= is_bare;
        self.has_nul |= least == 0;
        self.last = if *last == b'\r' { Last::Cr } else { Last::Other };
        if !self.has_long_line {
            self.has_long_line = self.finds_long_line(chunk);
        }
    }

    /// Whether a CR or LF stood alone. At the end of the content a last CR counts too.
    pub const fn has_bare_end(&self) -> bool {
        self.has_bare_end || matches!(self.last, Last::Cr)
    }

    /// Whether a CR or LF stood alone before the last octet.
    pub const fn has_bare_end_so_far(&self) -> bool {
        self.has_bare_end
    }

    /// Whether a line has been too long. Says nothing certain where a CR or LF stood alone.
    pub const fn has_long_line(&self) -> bool {
        self.has_long_line
    }

    /// Whether there was a NUL.
    pub const fn has_nul(&self) -> bool {
        self.has_nul
    }

    /// Goes from the last LF that a line may have to the next, so the longer the lines may be, the less is looked at.
    fn finds_long_line(&mut self, mut chunk: &[u8]) -> bool {
        loop {
            let octets_max = self.line_octets_max.saturating_add(END_OCTETS);
            let window = octets_max.saturating_sub(self.line_octets);
            let window = usize::try_from(window).unwrap_or(usize::MAX).min(chunk.len());
            let (near, far) = chunk.split_at_checked(window).unwrap_or((chunk, &[]));
            let Some(end) = memrchr(b'\n', near) else {
                self.line_octets = self.line_octets.saturating_add(octets(near.len()));
                // A last CR may be the line's end.
                let text_octets = self.line_octets.saturating_sub(u64::from(self.last == Last::Cr));
                return !far.is_empty() || text_octets > self.line_octets_max;
            };
            self.line_octets = 0;
            chunk = chunk.get(end.saturating_add(1)..).unwrap_or_default();
        }
    }
}

/// Whether of two neighbours one is half a line end, and the other not its other half.
const fn is_bare_between(one: u8, next: u8) -> bool {
    (one == b'\r') != (next == b'\n')
}

fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(line_octets_max: u64, pieces: &[&[u8]]) -> (bool, bool, bool) {
        let mut scan = LineScan::new(line_octets_max);
        for piece in pieces {
            scan.scan(piece);
        }
        (scan.has_bare_end(), scan.has_long_line(), scan.has_nul())
    }

    /// Lines are measured from LF to LF, which is only the truth where each has its CR.
    fn has_bare_before_end(text: &[u8]) -> bool {
        let mut scan = LineScan::new(0);
        scan.scan(text);
        scan.has_bare_end_so_far()
    }

    #[test]
    fn lines_are_looked_at() {
        for (text, want) in [
            ("", (false, false)),
            ("\r\n", (false, false)),
            ("abc\r\nab\r\n", (false, false)),
            ("abcd\r\nab\r\n", (false, true)),
            ("a\r\nabcd", (false, true)),
            ("a\r\nabc\r\nabc", (false, false)),
            ("a\nb\r\n", (true, false)),
            ("\n", (true, false)),
            ("a\rb\r\n", (true, false)),
            ("abc\r", (true, false)),
            ("a\r\r\n", (true, false)),
            ("abc\r\r\n", (true, true)),
            ("\r\n\n", (true, false)),
        ] {
            let found = scan(3, &[text.as_bytes()]);
            assert_eq!((found.0, found.1), want, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn cuts_and_the_plain_reading_agree(
            text in "([aé]{0,9}(\r\n|\r\n|\r\n|\r|\n|\0)){0,9}[a\r]{0,4}",
            cut in 0_usize..60,
            line_octets_max in 0_u64..9,
        ) {
            let bytes = text.as_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let is_bare = text.replace("\r\n", "").contains(['\r', '\n']);
            // A last CR may still become CRLF.
            let line = |line: &str| line.strip_suffix('\r').unwrap_or(line).len() as u64;
            let is_long = text.split("\r\n").map(line).any(|octets| octets > line_octets_max);
            for pieces in [&[bytes][..], &[head, tail], &single] {
                let found = scan(line_octets_max, pieces);
                prop_assert_eq!(found.0, is_bare);
                prop_assert_eq!(found.2, text.contains('\0'));
                prop_assert!(found.1 == is_long || has_bare_before_end(bytes), "{:?}", found);
            }
        }
    }
}
