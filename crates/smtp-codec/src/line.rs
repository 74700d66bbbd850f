//! Lines out of a stream, with bounded memory.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr3};

/// Cuts a stream into lines. Only CRLF ends one (RFC 5321 §2.3.8).
///
/// A line at fault is reported once, at its first octet at fault; the rest of it, up to its CRLF, is thrown away.
/// Holds at most one unfinished line.
#[derive(Debug)]
pub struct LineReader {
    text_octets_max: usize,
    partial: BytesMut,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a line.
    Text,
    /// Behind a CR that may end the line.
    Cr,
    /// In the rest of a line at fault.
    Skip,
    /// There too, behind a CR.
    SkipCr,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than agreed.
    #[error("the line is too long")]
    TooLong,
    /// A CR without LF behind it.
    #[error("the line holds a CR without LF")]
    BareCr,
    /// An LF without CR before it.
    #[error("the line holds an LF without CR")]
    BareLf,
    /// A NUL.
    #[error("the line holds a NUL")]
    Nul,
}

const CRLF_OCTETS: usize = 2;

impl LineReader {
    /// A reader for lines of at most `octets_max` octets, CRLF included.
    pub fn new(octets_max: usize) -> Self {
        let text_octets_max = octets_max.saturating_sub(CRLF_OCTETS);
        Self { text_octets_max, partial: BytesMut::new(), at: At::Text }
    }

    /// From the next line on, takes `octets_max` octets, CRLF included. Not for the middle of a line.
    pub const fn set_octets_max(&mut self, octets_max: usize) {
        self.text_octets_max = octets_max.saturating_sub(CRLF_OCTETS);
    }

    /// Takes the next line from `input`, without its CRLF; none when `input` is used up.
    pub fn read(&mut self, input: &mut Bytes) -> Option<Result<Bytes, LineError>> {
        loop {
            let first = *input.first()?;
            match self.at {
                At::Skip | At::SkipCr => self.skip(input),
                At::Cr if first == b'\n' => {
                    input.advance(1);
                    self.at = At::Text;
                    return Some(Ok(self.partial.split().freeze()));
                }
                At::Cr => return Some(Err(self.fail(LineError::BareCr))),
                At::Text => {
                    if let Some(line) = self.scan(input) {
                        return Some(line);
                    }
                }
            }
        }
    }

    /// Forgets an unfinished line.
    pub fn clear(&mut self) {
        self.partial.clear();
        self.at = At::Text;
    }

    fn scan(&mut self, input: &mut Bytes) -> Option<Result<Bytes, LineError>> {
        let hit = memchr3(b'\r', b'\n', 0, input);
        let text_octets = hit.unwrap_or(input.len());
        if self.partial.len().saturating_add(text_octets) > self.text_octets_max {
            input.advance(text_octets);
            return Some(Err(self.fail(LineError::TooLong)));
        }
        let text = input.split_to(text_octets);
        match input.first() {
            Some(b'\r') if input.get(1) == Some(&b'\n') => {
                input.advance(CRLF_OCTETS);
                if self.partial.is_empty() {
                    return Some(Ok(text));
                }
                self.partial.extend_from_slice(&text);
                return Some(Ok(self.partial.split().freeze()));
            }
            Some(b'\r') => {
                input.advance(1);
                self.at = At::Cr;
            }
            Some(b'\n') => {
                input.advance(1);
                return Some(Err(self.fail(LineError::BareLf)));
            }
            Some(_) => {
                input.advance(1);
                return Some(Err(self.fail(LineError::Nul)));
            }
            None => {}
        }
        self.partial.extend_from_slice(&text);
        None
    }

    fn fail(&mut self, error: LineError) -> LineError {
        self.partial.clear();
        self.at = At::Skip;
        error
    }

    fn skip(&mut self, input: &mut Bytes) {
        if self.at == At::SkipCr && input.first() == Some(&b'\n') {
            input.advance(1);
            self.at = At::Text;
            return;
        }
        self.at = At::Skip;
        match memchr(b'\r', input) {
            Some(at) => {
                input.advance(at.saturating_add(1));
                self.at = At::SkipCr;
            }
            None => input.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(octets_max: usize, pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, LineError>> {
        let mut reader = LineReader::new(octets_max);
        let mut found = Vec::new();
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(line) = reader.read(&mut input) {
                found.push(line.map(|line| line.to_vec()));
            }
            assert!(input.is_empty(), "a reader uses up its input");
            assert!(reader.partial.len() <= octets_max);
        }
        found
    }

    fn check(input: &str, want: &[Result<&str, LineError>]) {
        let want: Vec<_> =
            want.iter().map(|line| line.map(|line| line.as_bytes().to_vec())).collect();
        assert_eq!(lines(12, &[input.as_bytes()]), want, "{input:?}");
        let single: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(lines(12, &single), want, "{input:?} byte by byte");
    }

    #[test]
    fn only_crlf_ends_a_line() {
        check("a\r\nb\r\n", &[Ok("a"), Ok("b")]);
        check("a\nb\r\nc\r\n", &[Err(LineError::BareLf), Ok("c")]);
        check("a\rb\r\nc\r\n", &[Err(LineError::BareCr), Ok("c")]);
        check("a\r\r\nc\r\n", &[Err(LineError::BareCr), Ok("c")]);
        check("a\0b\nc\r\nd\r\n", &[Err(LineError::Nul), Ok("d")]);
        check("\r\n\r\n", &[Ok(""), Ok("")]);
        check("\n", &[Err(LineError::BareLf)]);
        check("a", &[]);
    }

    #[test]
    fn a_long_line_is_one_fault() {
        check("0123456789\r\n", &[Ok("0123456789")]);
        check("0123456789x\r\nb\r\n", &[Err(LineError::TooLong), Ok("b")]);
        check("0123456789xxxxxx\nxxxxxxxxxxxx\rx\r\r\nb\r\n", &[Err(LineError::TooLong), Ok("b")]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn cuts_do_not_matter(text in "[ab\r\n\0]{0,60}", cut in prop::collection::vec(0_usize..60, 0..4)) {
            let whole = lines(12, &[text.as_bytes()]);
            let mut cut: Vec<usize> = cut.into_iter().map(|at| at.min(text.len())).collect();
            cut.extend([0, text.len()]);
            cut.sort_unstable();
            let pieces: Vec<&[u8]> = cut.windows(2).map(|ends| &text.as_bytes()[ends[0]..ends[1]]).collect();
            prop_assert_eq!(lines(12, &pieces), whole);
        }
    }
}
