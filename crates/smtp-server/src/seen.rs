//! What is kept in memory of content on its way into the spool, for those who decide about it at its end.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mail::header::Beginning;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Content as it came, as far as somebody will want to know it.
#[derive(Debug)]
pub(crate) struct Seen {
    beginning: Beginning,
    /// The header is not kept past this.
    header_octets_max: usize,
    octets: u64,
    /// All of it, for filters; none if nobody wants to see it.
    shown: Option<Shown>,
}

impl Seen {
    /// Nothing yet. The session refuses larger headers; what it lets through while it waits for the end is not kept.
    pub(crate) fn new(header_octets_max: usize, room: Option<(u64, Arc<Semaphore>)>) -> Self {
        let beginning = Beginning::default();
        Self { beginning, header_octets_max, octets: 0, shown: room.map(Shown::new) }
    }

    /// Takes the next piece.
    pub(crate) fn take(&mut self, piece: &Bytes) {
        self.octets = self.octets.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if let Some(shown) = &mut self.shown {
            shown.take(piece, self.octets);
        }
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

    /// What filters are to be shown.
    pub(crate) fn take_shown(&mut self) -> Option<Shown> {
        self.shown.take()
    }

    /// Octets of the whole content.
    pub(crate) const fn octets(&self) -> u64 {
        self.octets
    }
}

/// Content that filters are shown. It is copied: pieces of what was read may be small and keep much alive.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Larger content is not kept.
    octets_max: u64,
    memory: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    pieces: Vec<Bytes>,
    last: BytesMut,
    is_whole: bool,
    /// There was no memory for it.
    is_crowded: bool,
}

const PIECE_OCTETS: usize = 64 << 10;

impl Shown {
    fn new((octets_max, memory): (u64, Arc<Semaphore>)) -> Self {
        Self {
            octets_max,
            memory,
            permit: None,
            pieces: Vec::new(),
            last: BytesMut::new(),
            is_whole: true,
            is_crowded: false,
        }
    }

    fn take(&mut self, piece: &[u8], octets: u64) {
        if !self.is_whole {
            return;
        }
        if octets > self.octets_max || !self.has_room(piece.len()) {
            self.is_crowded = octets <= self.octets_max;
            self.is_whole = false;
            self.pieces.clear();
            self.last = BytesMut::new();
            self.permit = None;
            return;
        }
        self.last.extend_from_slice(piece);
        if self.last.len() >= PIECE_OCTETS {
            self.pieces.push(self.last.split().freeze());
        }
    }

    /// Takes permits for so many octets more.
    fn has_room(&mut self, octets: usize) -> bool {
        let Ok(octets) = u32::try_from(octets) else { return false };
        let Ok(more) = Arc::clone(&self.memory).try_acquire_many_owned(octets) else {
            return false;
        };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        true
    }

    /// Whether it could not be kept for want of memory.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// The content of so many octets, and what holds its place in memory.
    pub(crate) fn content(
        mut self,
        octets: u64,
    ) -> (filters::facts::Content, Option<OwnedSemaphorePermit>) {
        if !self.is_whole {
            return (filters::facts::Content::unseen(octets), None);
        }
        if !self.last.is_empty() {
            self.pieces.push(self.last.freeze());
        }
        (filters::facts::Content::new(self.pieces), self.permit)
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
                let mut seen = Seen::new(1000, None);
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
        let mut seen = Seen::new(100, None);
        for _ in 0..50 {
            seen.take(&Bytes::from_static(b"X: 12345678\r\n"));
        }
        assert!(seen.header().len() <= 113);
        assert_eq!(seen.octets(), 650);
    }
}
