//! Content that goes out by BDAT (RFC 3030).

use bytes::Bytes;

/// How much of the content has been announced, given out and answered.
///
/// A chunk has a size that is said before it, so the content must have as many octets as were said at the start.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    /// Octets that no BDAT has announced.
    unannounced: u64,
    /// Octets of the announced chunk that are not given out.
    open: u64,
    /// Chunks that are not answered.
    due: u32,
    /// Content that came before its chunk may be announced.
    held: Bytes,
    last: Last,
}

/// How far the last chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    ToCome,
    Announced,
    /// The driver has said that there is no more content.
    Ended,
}

/// A larger content goes out in several chunks, so that a refusal comes before all of it is sent.
const CHUNK_OCTETS_MAX: u64 = 1 << 20;
/// So many chunks may be unanswered.
const DUE_MAX: u32 = 16;

/// Whether a further chunk may be announced while others are unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Pipelined,
    OneByOne,
}

/// What is to be sent next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `BDAT`, with so many octets, and whether it is the last.
    Line(u64, bool),
    /// Octets of the announced chunk.
    Octets(Bytes),
}

/// What a chunk's reply was to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// A chunk that is not whole yet.
    Early,
    /// A chunk; more of them, or of their replies, are to come.
    Chunk,
    /// All that was announced, and no more will be unless it is asked for.
    AllSoFar,
    /// The content.
    Whole,
}

impl Chunks {
    pub(super) const fn new(octets: u64) -> Self {
        Self { unannounced: octets, open: 0, due: 0, held: Bytes::new(), last: Last::ToCome }
    }

    /// Takes a piece of content; asked for by [`wants_body`](Self::wants_body) only.
    pub(super) fn body(&mut self, piece: Bytes) {
        self.held = piece;
    }

    /// The next part to be sent; none if more content or a reply is needed first.
    pub(super) fn next(&mut self, pace: Pace) -> Option<Part> {
        if self.open > 0 {
            let octets = usize::try_from(self.open).unwrap_or(usize::MAX).min(self.held.len());
            self.open = self.open.saturating_sub(u64::try_from(octets).unwrap_or(u64::MAX));
            return (octets > 0).then(|| Part::Octets(self.held.split_to(octets)));
        }
        let due_max = if pace == Pace::Pipelined { DUE_MAX } else { 1 };
        if self.last != Last::ToCome || self.due >= due_max {
            return None;
        }
        self.open = self.unannounced.min(CHUNK_OCTETS_MAX);
        self.unannounced = self.unannounced.saturating_sub(self.open);
        self.due = self.due.saturating_add(1);
        let is_last = self.unannounced == 0;
        if is_last {
            self.last = Last::Announced;
        }
        Some(Part::Line(self.open, is_last))
    }

    /// Whether content is needed to go on, or word that there is no more.
    pub(super) fn wants_body(&self) -> bool {
        self.held.is_empty() && (self.open > 0 || self.last == Last::Announced)
    }

    /// Whether all octets of the content are given out.
    pub(super) fn is_given_out(&self) -> bool {
        self.last != Last::ToCome && self.open == 0
    }

    /// Whether only the last chunk, given out whole, is to be answered.
    pub(super) fn awaits_last(&self) -> bool {
        self.due == 1 && self.is_given_out()
    }

    /// Whether there was more content than was said.
    pub(super) fn is_too_long(&self) -> bool {
        self.is_given_out() && !self.held.is_empty()
    }

    /// There is no more content; false if there should be.
    pub(super) fn end(&mut self) -> bool {
        let is_whole = self.is_given_out();
        if is_whole {
            self.last = Last::Ended;
        }
        is_whole
    }

    /// A chunk was answered.
    pub(super) fn answered(&mut self) -> Answered {
        let is_early = self.due <= u32::from(self.open > 0);
        self.due = self.due.saturating_sub(1);
        if is_early {
            Answered::Early
        } else if self.due > 0 || self.open > 0 {
            Answered::Chunk
        } else if self.is_given_out() {
            Answered::Whole
        } else {
            Answered::AllSoFar
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts that go out for a content of so many octets in such pieces.
    fn parts(octets: u64, pieces: &[usize], pace: Pace) -> Vec<(u64, Option<bool>)> {
        let mut chunks = Chunks::new(octets);
        let mut pieces = pieces.iter();
        let mut parts = Vec::new();
        loop {
            match chunks.next(pace) {
                Some(Part::Line(octets, is_last)) => parts.push((octets, Some(is_last))),
                Some(Part::Octets(octets)) => parts.push((octets.len() as u64, None)),
                None if chunks.wants_body() => {
                    let Some(piece) = pieces.next() else {
                        assert!(chunks.end());
                        return parts;
                    };
                    chunks.body(Bytes::from(vec![b'x'; *piece]));
                }
                None => assert_eq!(chunks.answered(), Answered::AllSoFar),
            }
            assert!(!chunks.is_too_long());
        }
    }

    #[test]
    fn what_is_announced_is_sent() {
        const MIB: u64 = CHUNK_OCTETS_MAX;
        const PIECE: usize = 1_048_577;
        for pace in [Pace::Pipelined, Pace::OneByOne] {
            assert_eq!(parts(0, &[], pace), [(0, Some(true))]);
            assert_eq!(parts(5, &[2, 3], pace), [(5, Some(true)), (2, None), (3, None)]);
            let want = [(MIB, Some(false)), (MIB, None), (1, Some(true)), (1, None)];
            assert_eq!(parts(MIB + 1, &[PIECE], pace), want);
        }
    }

    #[test]
    fn replies_are_told_apart() {
        let mut chunks = Chunks::new(CHUNK_OCTETS_MAX + 1);
        chunks.next(Pace::Pipelined);
        assert_eq!(chunks.clone().answered(), Answered::Early, "nothing of it is sent");
        chunks.body(Bytes::from(vec![b'x'; 1 << 20]));
        chunks.next(Pace::Pipelined);
        assert_eq!(chunks.clone().answered(), Answered::AllSoFar);
        chunks.next(Pace::Pipelined);
        assert_eq!(chunks.answered(), Answered::Chunk, "the last one is open");
        assert_eq!(chunks.clone().answered(), Answered::Early);
        assert!(!chunks.end(), "an octet is missing");
        chunks.body(Bytes::from_static(b"xy"));
        chunks.next(Pace::Pipelined);
        assert!(chunks.is_too_long());
        assert_eq!(chunks.answered(), Answered::Whole);
    }
}
