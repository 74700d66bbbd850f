//! The payload of DATA.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

/// Takes the dots out of DATA's payload and finds its end, which is CRLF.CRLF and nothing else (RFC 5321 §4.1.1.4, §4.5.2).
///
/// Long runs are slices of the input; short ones are gathered, so that many stuffed dots do not make many small pieces.
#[derive(Debug)]
pub struct DataDecoder {
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the start, or behind CRLF.
    LineStart,
    /// In a line.
    Text,
    /// In a line, behind a CR.
    Cr,
    /// Behind a dot that starts a line: it is stuffing, or the end begins here.
    Dot,
    /// Behind such a dot and a CR that is not given out yet.
    DotCr,
    /// Behind the end.
    End,
}

/// What came out of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A piece of the payload, never empty.
    Payload(Bytes),
    /// The payload has ended; what is left of the input comes behind it.
    End,
}

/// A shorter run is copied together with its neighbours.
const SLICE_OCTETS_MIN: usize = 512;
const GATHERED_OCTETS_MAX: usize = 16 * 1024;

impl DataDecoder {
    /// A decoder for what follows 354.
    pub const fn new() -> Self {
        Self { at: At::LineStart }
    }

    /// Takes the next piece out of `input`; none when `input` is used up.
    pub fn decode(&mut self, input: &mut Bytes) -> Option<Decoded> {
        let mut gathered = BytesMut::new();
        loop {
            if gathered.len() >= GATHERED_OCTETS_MAX {
                return Some(Decoded::Payload(gathered.freeze()));
            }
            match self.run(input) {
                Some(Decoded::Payload(run))
                    if gathered.is_empty() && run.len() >= SLICE_OCTETS_MIN =>
                {
                    return Some(Decoded::Payload(run));
                }
                Some(Decoded::Payload(run)) => gathered.extend_from_slice(&run),
                rest if gathered.is_empty() => return rest,
                Some(Decoded::End) | None => return Some(Decoded::Payload(gathered.freeze())),
            }
        }
    }

    /// One run of payload, the end, or none when `input` is used up.
    fn run(&mut self, input: &mut Bytes) -> Option<Decoded> {
        loop {
            if self.at == At::End {
                return Some(Decoded::End);
            }
            let first = *input.first()?;
            match self.at {
                At::LineStart if first == b'.' => self.at = At::Dot,
                At::Dot if first == b'\r' => self.at = At::DotCr,
                At::DotCr if first == b'\n' => self.at = At::End,
                At::DotCr => {
                    // `. CR x`: only the dot was stuffing.
                    self.at = At::Cr;
                    return Some(Decoded::Payload(Bytes::from_static(b"\r")));
                }
                At::LineStart | At::Text | At::Cr | At::Dot | At::End => {
                    let (octets, at) = self.stretch(input);
                    self.at = at;
                    return Some(Decoded::Payload(input.split_to(octets)));
                }
            }
            input.advance(1);
        }
    }

    /// How far the payload goes without a dot at the start of a line, and where that leads.
    fn stretch(&self, input: &[u8]) -> (usize, At) {
        if self.at == At::Cr && input.starts_with(b"\n.") {
            return (1, At::LineStart);
        }
        if let Some(found) = memmem::find(input, b"\r\n.") {
            return (found.saturating_add(2), At::LineStart);
        }
        let at = match input {
            [.., b'\r', b'\n'] => At::LineStart,
            [b'\n'] if self.at == At::Cr => At::LineStart,
            [.., b'\r'] => At::Cr,
            _ => At::Text,
        };
        (input.len(), at)
    }
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plain machine, octet by octet; the rest of the input follows the end.
    fn plain(input: &[u8]) -> (Vec<u8>, Option<usize>) {
        let (mut at, mut body) = (At::LineStart, Vec::new());
        for (index, &byte) in input.iter().enumerate() {
            if (at, byte) == (At::DotCr, b'\n') {
                return (body, Some(index + 1));
            }
            if at == At::DotCr {
                body.push(b'\r');
                at = At::Cr;
            }
            at = match (at, byte) {
                (At::LineStart, b'.') => At::Dot,
                (At::Dot, b'\r') => At::DotCr,
                (At::Cr, b'\n') => {
                    body.push(byte);
                    At::LineStart
                }
                (_, b'\r') => {
                    body.push(byte);
                    At::Cr
                }
                (_, _) => {
                    body.push(byte);
                    At::Text
                }
            };
        }
        (body, None)
    }

    /// The decoder, with the input in pieces.
    fn fast(pieces: &[&[u8]]) -> (Vec<u8>, Option<usize>) {
        let (mut decoder, mut body, mut before) = (DataDecoder::new(), Vec::new(), 0);
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(decoded) = decoder.decode(&mut input) {
                match decoded {
                    Decoded::Payload(octets) => {
                        assert!(!octets.is_empty());
                        body.extend_from_slice(&octets);
                    }
                    Decoded::End => return (body, Some(before + piece.len() - input.len())),
                }
            }
            assert!(input.is_empty());
            before += piece.len();
        }
        (body, None)
    }

    fn check(input: &str, want: &str, end: Option<usize>) {
        let want = (want.as_bytes().to_vec(), end);
        assert_eq!(plain(input.as_bytes()), want, "{input:?} plain");
        assert_eq!(fast(&[input.as_bytes()]), want, "{input:?}");
        let single: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(fast(&single), want, "{input:?} byte by byte");
    }

    #[test]
    fn payload_ends_at_crlf_dot_crlf_only() {
        check(".\r\n", "", Some(3));
        check("a\r\n.\r\nQUIT", "a\r\n", Some(6));
        check("..a\r\n...\r\n.\r\n", ".a\r\n..\r\n", Some(13));
        check(".a\r\n.\r\n", "a\r\n", Some(7));
        check("\r\n.\r\n", "\r\n", Some(5));
    }

    /// The forms that smuggled mail past others; none of them ends the payload.
    #[test]
    fn smuggling_forms_do_not_end_it() {
        for form in [
            "\n.\n",
            "\n.\r\n",
            "\r\n.\n",
            "\r.\r",
            "\r.\r\n",
            "\r\n.\r",
            "\n.\r",
            "\r.\n",
            "\r\n.\r\r\n",
            "\r\n\0.\r\n",
            "\r\n.\0\r\n",
            "\r\n. \r\n",
            "\r\n.\t\r\n",
            "\r\n\x2e\x08.\r\n",
            "\r\r\n.\n",
            "\r\n.\n\r\n",
            "\n\n.\r\n",
            "\r\n..\r\n",
        ] {
            let input = format!("a{form}b");
            assert_eq!(plain(input.as_bytes()).1, None, "{form:?}");
            assert_eq!(fast(&[input.as_bytes()]).1, None, "{form:?}");
            assert_eq!(fast(&[input.as_bytes()]).0, plain(input.as_bytes()).0, "{form:?}");
        }
    }

    #[test]
    fn long_runs_are_not_copied() {
        let mut input = Bytes::from([vec![b'x'; 5000], b"\r\n.\r\nNOOP\r\n".to_vec()].concat());
        let start = input.as_ptr();
        let mut decoder = DataDecoder::new();
        let Some(Decoded::Payload(body)) = decoder.decode(&mut input) else { panic!("no payload") };
        assert_eq!((body.as_ptr(), body.len()), (start, 5002));
        assert_eq!(decoder.decode(&mut input), Some(Decoded::End));
        assert_eq!(input, "NOOP\r\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn fast_path_equals_plain_machine(
            text in "[a.\r\n]{0,40}|([a]{0,300}(\r\n|\r\n\\.|\\.|\r|\n)){0,8}",
            cut in prop::collection::vec(0_usize..600, 0..5),
        ) {
            let bytes = text.as_bytes();
            let mut cut: Vec<usize> = cut.into_iter().map(|at| at.min(bytes.len())).collect();
            cut.extend([0, bytes.len()]);
            cut.sort_unstable();
            let pieces: Vec<&[u8]> = cut.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            // What is held back behind `. CR` differs only until the next octet.
            prop_assert_eq!(fast(&pieces), plain(bytes));
            prop_assert_eq!(fast(&[bytes]), plain(bytes));
        }
    }
}
