//! What is returned of the original.

use crate::encode::{Lines, is_seven_bit, quoted_printable};

/// How much of the original is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Its headers.
    Headers,
    /// All of it if it is small.
    Small,
    /// All of it as far as a report can carry it: the sender asked for it.
    Full,
}

/// The beginning of the original's content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Original<'a> {
    /// Its first octets, at least [`Original::OCTETS_WANTED`] if there are so many; empty if it could
    /// not be read.
    pub octets: &'a [u8],
    /// Whether that is all of it.
    pub is_whole: bool,
}

/// Headers beyond this are not returned.
const HEADER_OCTETS_MAX: usize = 64 << 10;
/// A message up to this size is returned whole although nobody asked for it.
const SMALL_OCTETS_MAX: usize = 32 << 10;
const MESSAGE_ID_OCTETS_MAX: usize = 250;

impl Original<'_> {
    /// How much of the content a report can use, and returns at most.
    pub const OCTETS_WANTED: usize = HEADER_OCTETS_MAX;

    /// Headers and body of the part: the whole message if it is wanted, small enough and 7-bit, else its
    /// headers (RFC 6522 §3).
    pub(crate) fn part(&self, extent: Extent) -> Vec<u8> {
        let mut out = Lines::new();
        let octets_max = match extent {
            Extent::Headers => 0,
            Extent::Small => SMALL_OCTETS_MAX,
            Extent::Full => Self::OCTETS_WANTED,
        };
        let fits = self.is_whole && self.octets.len() <= octets_max;
        if fits && !self.octets.is_empty() && is_seven_bit(self.octets) {
            out.line("Content-Type: message/rfc822");
            out.line("");
            out.octets(self.octets);
            return out.into_octets();
        }
        let header = self.header();
        if is_seven_bit(header) {
            out.line("Content-Type: text/rfc822-headers");
            out.line("");
            out.octets(header);
            return out.into_octets();
        }
        // UTF-8 in headers has a type of its own (RFC 6533 §6); anything else is broken and is shown
        // as it came.
        let is_utf8 = std::str::from_utf8(header).is_ok();
        let kind = if is_utf8 { "message/global-headers" } else { "text/rfc822-headers" };
        out.line(&format!("Content-Type: {kind}"));
        out.line("Content-Transfer-Encoding: quoted-printable");
        out.line("");
        out.octets(&quoted_printable(header));
        out.into_octets()
    }

    /// The original's `Message-ID` with its brackets, if it has a plain one.
    pub(crate) fn message_id(&self) -> Option<&str> {
        const NAME: &[u8] = b"message-id:";
        let lines = self.header().split(|octet| *octet == b'\n');
        let value = lines
            .filter_map(|line| line.split_at_checked(NAME.len()))
            .find_map(|(name, value)| name.eq_ignore_ascii_case(NAME).then_some(value))?;
        let value = std::str::from_utf8(value).ok()?.trim();
        let inner = value.strip_prefix('<')?.strip_suffix('>')?;
        let is_plain = inner.chars().all(|c| c.is_ascii_graphic() && c != '<' && c != '>');
        (is_plain && !inner.is_empty() && value.len() <= MESSAGE_ID_OCTETS_MAX).then_some(value)
    }

    /// The header without the empty line behind it; if that is not in sight, up to the last line end.
    fn header(&self) -> &[u8] {
        let octets = self.octets.get(..HEADER_OCTETS_MAX).unwrap_or(self.octets);
        if octets.starts_with(b"\r\n") {
            return b"";
        }
        let end = octets.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.map(|at| at.saturating_add(2)).or_else(|| {
            let is_all = self.is_whole && octets.len() == self.octets.len();
            if is_all { Some(octets.len()) } else { last_line_end(octets) }
        });
        octets.get(..end.unwrap_or(0)).unwrap_or_default()
    }
}

fn last_line_end(octets: &[u8]) -> Option<usize> {
    octets.windows(2).rposition(|window| window == b"\r\n").map(|at| at.saturating_add(2))
}
