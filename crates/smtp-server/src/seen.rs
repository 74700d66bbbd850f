//! What is kept in memory of content on its way into the spool, for those who decide about it at its end.

use bytes::Bytes;
use mail::header::Beginning;

/// Content as it came, as far as somebody will want to know it.
#[derive(Debug)]
pub(crate) struct Seen {
    beginning: Beginning,
    /// The header is not kept past this.
    header_octets_max: usize,
    octets: u64,
}

impl Seen {
    /// Nothing yet. The session refuses larger headers; what it lets through while it waits for the end is not kept.
    pub(crate) fn new(header_octets_max: usize) -> Self {
        Self { beginning: Beginning::default(), header_octets_max, octets: 0 }
    }

    /// Takes the next piece.
    pub(crate) fn take(&mut self, piece: &Bytes) {
        self.octets = self.octets.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let is_at_its_end = self.beginning.body_at().is_some()
            || self.beginning.octets().len() > self.header_octets_max;
        if !is_at_its_end {
            self.beginning.push(piece);
        }
    }

    /// All fields with their line ends; what was kept of the content, if no empty line came.
    pub(crate) fn header(&self) -> &[u8] {
        self.beginning.fields()
    }

    /// Octets of the whole content.
    pub(crate) const fn octets(&self) -> u64 {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the content is cut, the same header is seen.
    #[test]
    fn the_header_ends_at_the_first_empty_line() {
        for (content, want) in [
            ("A: b\r\nC: d\r\n\r\nBody\r\n\r\nE: f\r\n", "A: b\r\nC: d\r\n"),
            ("\r\nBody\r\n", ""),
            ("A: b\r\n", "A: b\r\n"),
            ("A: b\r\n\r\n", "A: b\r\n"),
            ("", ""),
        ] {
            for size in 1..=content.len().max(1) {
                let mut seen = Seen::new(1000);
                for piece in content.as_bytes().chunks(size) {
                    seen.take(&Bytes::copy_from_slice(piece));
                }
                assert_eq!(seen.header(), want.as_bytes(), "{content:?} by {size}");
                assert_eq!(seen.octets(), content.len() as u64);
            }
        }
    }

    #[test]
    fn a_header_without_end_is_not_kept_for_ever() {
        let mut seen = Seen::new(100);
        for _ in 0..50 {
            seen.take(&Bytes::from_static(b"X: 12345678\r\n"));
        }
        assert!(seen.header().len() <= 113);
        assert_eq!(seen.octets(), 650);
    }
}
