//! Content on its way out behind DATA.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// Puts a dot before each dot that starts a line (RFC 5321 §4.5.2), and ends the payload.
#[derive(Clone, Copy, Debug, Default)]
pub struct DotStuffer {
    at: At,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    LineStart,
    Text,
    Cr,
}

impl DotStuffer {
    /// A stuffer at the start of a content.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to send for `chunk`: the chunk itself if it needs no dot.
    pub fn stuff(&mut self, chunk: Bytes) -> Bytes {
        let starts_with_dot = match self.at {
            At::LineStart => chunk.starts_with(b"."),
            At::Cr => chunk.starts_with(b"\n."),
            At::Text => false,
        };
        let first = if !starts_with_dot {
            None
        } else if self.at == At::Cr {
            Some(1)
        } else {
            Some(0)
        };
        self.at = match &*chunk {
            [] => self.at,
            [.., b'\r', b'\n'] => At::LineStart,
            [b'\n'] if self.at == At::Cr => At::LineStart,
            [.., b'\r'] => At::Cr,
            _ => At::Text,
        };
        let mut dots = first
            .into_iter()
            .chain(memmem::find_iter(&chunk, b"\r\n.").map(|at| at + 2))
            .peekable();
        if dots.peek().is_none() {
            drop(dots);
            return chunk;
        }
        let mut stuffed = BytesMut::with_capacity(chunk.len() + chunk.len() / 16 + 16);
        let mut sent = 0;
        for dot in dots {
            stuffed.extend_from_slice(chunk.get(sent..dot).unwrap_or_default());
            stuffed.extend_from_slice(b".");
            sent = dot;
        }
        stuffed.extend_from_slice(chunk.get(sent..).unwrap_or_default());
        stuffed.freeze()
    }

    /// What ends the payload: the lone dot, behind the CRLF that the content lacks.
    pub const fn end(self) -> &'static [u8] {
        match self.at {
            At::LineStart => b".\r\n",
            At::Text => b"\r\n.\r\n",
            At::Cr => b"\n.\r\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::{DataDecoder, Decoded};

    fn stuff(pieces: &[&[u8]]) -> Vec<u8> {
        let mut stuffer = DotStuffer::new();
        let mut sent = Vec::new();
        for piece in pieces {
            sent.extend_from_slice(&stuffer.stuff(Bytes::copy_from_slice(piece)));
        }
        sent.extend_from_slice(stuffer.end());
        sent
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_added() {
        for (content, want) in [
            ("", ".\r\n"),
            (".", "..\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r", "a\r\n.\r\n"),
            (".a\r\n.b\r\n..\r\nc.\r\n", "..a\r\n..b\r\n...\r\nc.\r\n.\r\n"),
            ("\r\n.\r\n", "\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(stuff(&[content.as_bytes()]), want.as_bytes(), "{content:?}");
        }
    }

    #[test]
    fn a_chunk_without_such_dots_is_not_copied() {
        let chunk = Bytes::from_static(b"a.b\r\nc\r\n");
        assert_eq!(DotStuffer::new().stuff(chunk.clone()).as_ptr(), chunk.as_ptr());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn unstuffed_is_what_was_stuffed(
            lines in prop::collection::vec("[a.\r]{0,6}[a.]", 0..8),
            ends_with_crlf in any::<bool>(),
            cut in prop::collection::vec(0_usize..80, 0..4),
        ) {
            let mut content = lines.join("\r\n");
            if ends_with_crlf && !content.is_empty() {
                content.push_str("\r\n");
            }
            let bytes = content.as_bytes();
            let mut cut: Vec<usize> = cut.into_iter().map(|at| at.min(bytes.len())).collect();
            cut.extend([0, bytes.len()]);
            cut.sort_unstable();
            let pieces: Vec<&[u8]> = cut.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            let sent = stuff(&pieces);
            prop_assert_eq!(&sent, &stuff(&[bytes]));

            let mut input = Bytes::from(sent);
            let (mut decoder, mut back) = (DataDecoder::new(), Vec::new());
            while let Some(Decoded::Payload(octets)) = decoder.decode(&mut input) {
                back.extend_from_slice(&octets);
            }
            prop_assert_eq!(decoder.decode(&mut input), Some(Decoded::End));
            prop_assert!(input.is_empty());
            if !ends_with_crlf && !content.is_empty() {
                content.push_str("\r\n");
            }
            prop_assert_eq!(back, content.as_bytes());
        }
    }
}
