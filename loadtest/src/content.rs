//! What is in the messages: text that does not compress, different from message to message, known to both sides.

use std::io::Write;
use std::ops::Range;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::random::{Throw, dice};

/// The header by which the sink knows a message: the run, a hyphen, its number. What an earlier run left in the
/// relay's queue is another run's, and counts as unknown.
pub(crate) const NUMBER_HEADER: &str = "X-Load-Number: ";

/// Octets of each line of a body, with its end.
const LINE_OCTETS: usize = 78;

/// What the header takes of a message's size; its true length depends on the number's digits.
const HEAD_OCTETS: usize = 256;

/// Bodies begin at so many places of the text.
const STARTS: u64 = 1024;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text that all bodies are cut from, as it goes over the wire: no message has to be put together.
#[derive(Debug)]
pub(crate) struct Text {
    seed: u64,
    octets: Vec<u8>,
}

impl Text {
    /// Text for messages of up to `size_max` octets.
    pub(crate) fn new(seed: u64, size_max: usize) -> Self {
        let lines = size_max.div_ceil(LINE_OCTETS) + usize::try_from(STARTS).unwrap_or_default();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut octets = Vec::with_capacity(lines * LINE_OCTETS);
        for line in 0..lines {
            let start = octets.len();
            while octets.len() < start + LINE_OCTETS - 2 {
                // Ten letters of six bits from each throw.
                let throw = random.next_u64();
                octets.extend((0..10).map(|place| letter(throw >> (6 * place))));
            }
            octets.truncate(start + LINE_OCTETS - 2);
            octets.extend_from_slice(b"\r\n");
            // Now and then a line that begins with a dot, doubled on the wire (RFC 5321 §4.5.2).
            if line % 512 == 7
                && let Some(dots) = octets.get_mut(start..start + 2)
            {
                dots.copy_from_slice(b"..");
            }
        }
        Self { seed, octets }
    }

    /// The body of message `number`, whole lines, so that the message has at most `size` octets.
    pub(crate) fn body(&self, number: u64, size: usize) -> &[u8] {
        self.octets.get(self.range(number, size)).unwrap_or_default()
    }

    fn range(&self, number: u64, size: usize) -> Range<usize> {
        let start = dice(self.seed, number, Throw::Body) % STARTS;
        let start = usize::try_from(start).unwrap_or_default() * LINE_OCTETS;
        let lines = size.saturating_sub(HEAD_OCTETS) / LINE_OCTETS;
        start..start + lines * LINE_OCTETS
    }
}

fn letter(bits: u64) -> u8 {
    let place = usize::try_from(bits & 63).unwrap_or_default();
    LETTERS.get(place).copied().unwrap_or(b'A')
}

/// Writes the header of message `number`, with the empty line behind it. The number comes last, so that the body
/// follows it.
pub(crate) fn push_head(out: &mut Vec<u8>, run: u64, number: u64) {
    // Writing to memory cannot fail.
    write!(
        out,
        "From: load@source.example\r\nTo: user@domain.example\r\nSubject: load {number}\r\n\
         Message-ID: <{run:x}.{number}@source.example>\r\nDate: Sat, 21 Nov 2026 00:00:00 +0000\r\n\
         {NUMBER_HEADER}{run:x}-{number}\r\n\r\n"
    )
    .ok();
}

/// The number that a header names, if it is of this run.
pub(crate) fn number(head: &[u8], run: u64) -> Option<u64> {
    let at = memchr::memmem::find(head, NUMBER_HEADER.as_bytes())? + NUMBER_HEADER.len();
    let rest = head.get(at..)?;
    let line = rest.get(..memchr::memchr(b'\r', rest).unwrap_or(rest.len()))?;
    let (named_run, number) = std::str::from_utf8(line).ok()?.split_once('-')?;
    let is_ours = u64::from_str_radix(named_run, 16).ok()? == run;
    if is_ours { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_whole_lines_with_their_dots_doubled_and_no_end_inside() {
        let text = Text::new(1, 100 << 10);
        for number in 0..2_000 {
            let body = text.body(number, 50 << 10);
            assert!((50 << 10) - 400 < body.len() && body.len() + HEAD_OCTETS <= 50 << 10);
            assert!(body.ends_with(b"\r\n"));
        }
        let all = &text.octets;
        assert!(all.split(|octet| *octet == b'\n').all(|line| !line.starts_with(b".\r")));
        let dots =
            all.split(|octet| *octet == b'\n').filter(|line| line.starts_with(b"..")).count();
        assert!(dots > 3, "{dots}");
        assert!(
            all.split(|octet| *octet == b'\n')
                .all(|line| { !line.starts_with(b".") || line.starts_with(b"..") })
        );
    }

    #[test]
    fn bodies_differ_and_repeat() {
        let (text, again) = (Text::new(1, 10_240), Text::new(1, 10_240));
        assert_eq!(text.body(5, 10_240), again.body(5, 10_240));
        assert_ne!(text.body(5, 10_240), text.body(6, 10_240));
        assert_ne!(text.body(5, 10_240), Text::new(2, 10_240).body(5, 10_240));
        assert_eq!(text.body(5, 100), b"");
    }

    #[test]
    fn the_number_is_found_behind_trace_headers() {
        let mut head = b"Received: from a\r\n\tby b\r\n".to_vec();
        push_head(&mut head, 0xbeef, 123);
        assert_eq!(number(&head, 0xbeef), Some(123));
        assert_eq!(number(&head, 0xbee), None);
        assert_eq!(number(b"Subject: x\r\n\r\n", 0xbeef), None);
        assert_eq!(number(b"X-Load-Number: beef-", 0xbeef), None);
    }
}
