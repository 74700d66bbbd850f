//! A body as a milter is shown it.

use bytes::Bytes;

use crate::milter::command::BODY_OCTETS_MAX;

/// The pieces of a body, none too large for a packet.
pub(super) struct Body<'a> {
    pieces: &'a [Bytes],
    at: usize,
    skipped: usize,
}

impl<'a> Body<'a> {
    pub(super) fn behind_empty_line(pieces: &'a [Bytes]) -> Self {
        let mut start = pieces.iter().flatten().take(2);
        let skipped = match (start.next(), start.next()) {
            (Some(b'\r'), Some(b'\n')) => 2,
            (Some(b'\n'), _) => 1,
            _ => 0,
        };
        let mut body = Self { pieces, at: 0, skipped };
        body.settle();
        body
    }

    fn settle(&mut self) {
        while let Some(piece) = self.pieces.get(self.at).filter(|piece| piece.len() <= self.skipped)
        {
            self.skipped -= piece.len();
            self.at += 1;
        }
    }

    pub(super) fn next(&mut self) -> Option<Bytes> {
        let piece = self.pieces.get(self.at)?;
        let end = piece.len().min(self.skipped + BODY_OCTETS_MAX);
        let part = piece.slice(self.skipped..end);
        self.skipped = end;
        self.settle();
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_without_loss() {
        let large = vec![b'x'; 200_000];
        for (pieces, want) in [
            (vec![&b""[..]], &b""[..]),
            (vec![b"\r\nabc"], b"abc"),
            (vec![b"\r", b"\n", b"a", b"", b"bc"], b"abc"),
            (vec![b"\nabc"], b"abc"),
            (vec![b"no empty line"], b"no empty line"),
            (vec![b"\r\n", &large], &large),
        ] {
            let pieces: Vec<_> = pieces.into_iter().map(Bytes::copy_from_slice).collect();
            let (mut body, mut found) = (Body::behind_empty_line(&pieces), Vec::new());
            while let Some(part) = body.next() {
                assert!((1..=BODY_OCTETS_MAX).contains(&part.len()));
                found.extend_from_slice(&part);
            }
            assert_eq!(found, want);
        }
    }
}
