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
    /// All of it; none if nobody wants to see it.
    shown: Option<Shown>,
}

/// How much was kept of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    Header,
    All,
}

impl Kept {
    pub(crate) fn of(seen: Option<&Seen>) -> Self {
        match seen {
            None => Self::Nothing,
            Some(seen) if seen.shown.is_none() => Self::Header,
            Some(_) => Self::All,
        }
    }
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

    /// All that was kept, at the end of the content.
    ///
    /// # Errors
    /// When there was no memory for what somebody wants to see.
    pub(crate) fn finish(self) -> Result<Finished, Crowded> {
        let octets_fields = self.beginning.fields().len();
        let octets_header = self.beginning.body_at().unwrap_or(octets_fields);
        let mut header = self.beginning.into_octets();
        header.truncate(octets_fields);
        let (body, place) = match self.shown {
            Some(shown) if shown.is_crowded => return Err(Crowded),
            Some(shown) => shown.behind(octets_header),
            None => (Vec::new(), None),
        };
        let seen = octets_header + body.iter().map(Bytes::len).sum::<usize>();
        Ok(Finished {
            octets_unseen: self.octets.saturating_sub(u64::try_from(seen).unwrap_or(u64::MAX)),
            octets: self.octets,
            header,
            body,
            _place: place,
        })
    }
}

/// There was no memory for content that somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowded;

/// Content that has come, as far as it was kept.
#[derive(Debug)]
pub(crate) struct Finished {
    /// All fields with their line ends; what was kept of the content, if no empty line came.
    pub(crate) header: Vec<u8>,
    /// What follows the empty line, in pieces, if somebody wants to see it.
    pub(crate) body: Vec<Bytes>,
    /// Octets of the whole content.
    pub(crate) octets: u64,
    /// Octets behind those that were kept.
    pub(crate) octets_unseen: u64,
    _place: Option<OwnedSemaphorePermit>,
}

/// Content that somebody is shown. It is copied: pieces of what was read may be small and keep much alive.
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

    /// What comes behind so many octets, and what holds its place in memory.
    fn behind(mut self, octets: usize) -> (Vec<Bytes>, Option<OwnedSemaphorePermit>) {
        if !self.last.is_empty() {
            self.pieces.push(self.last.freeze());
        }
        let mut left = octets;
        let cut = |mut piece: Bytes| {
            let rest = piece.split_off(left.min(piece.len()));
            left -= piece.len();
            (!rest.is_empty()).then_some(rest)
        };
        (self.pieces.into_iter().filter_map(cut).collect(), self.permit)
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
                let finished = seen.finish().unwrap();
                assert_eq!(finished.header, want.as_bytes(), "{content:?} by {size}");
                assert_eq!(finished.octets, content.len() as u64);
                let rest = content.strip_prefix(want).unwrap();
                let body = rest.strip_prefix("\r\n").unwrap_or(rest);
                assert_eq!(finished.octets_unseen, body.len() as u64, "{content:?} by {size}");
            }
        }
    }

    #[test]
    fn a_header_without_end_is_not_kept_for_ever() {
        let mut seen = Seen::new(100, None);
        for _ in 0..50 {
            seen.take(&Bytes::from_static(b"X: 12345678\r\n"));
        }
        let finished = seen.finish().unwrap();
        assert!(finished.header.len() <= 113);
        assert_eq!(finished.octets, 650);
    }

    #[test]
    fn content_is_kept_within_its_limits() {
        let memory = Arc::new(Semaphore::new(1000));
        let keep = |octets_max, content: &str, size| {
            let mut seen = Seen::new(100, Some((octets_max, Arc::clone(&memory))));
            let pieces = content.as_bytes().chunks(size);
            pieces.for_each(|piece| seen.take(&Bytes::copy_from_slice(piece)));
            seen.finish()
        };
        let content = "A: b\r\n\r\nBody\r\n\r\nE: f\r\n";
        for size in 1..=content.len() {
            let finished = keep(100, content, size).unwrap();
            assert_eq!(finished.header, b"A: b\r\n");
            assert_eq!(finished.body.concat(), b"Body\r\n\r\nE: f\r\n", "by {size}");
            assert_eq!(finished.octets_unseen, 0);
            assert_eq!(memory.available_permits(), 1000 - content.len());
        }
        let finished = keep(10, content, 4).unwrap();
        assert!(finished.body.is_empty() && finished.octets_unseen == content.len() as u64 - 8);
        assert_eq!(memory.available_permits(), 1000);
        let _taken = memory.try_acquire_many(990).unwrap();
        assert_eq!(keep(100, content, 4).unwrap_err(), Crowded);
        assert_eq!(memory.available_permits(), 10);
    }
}
