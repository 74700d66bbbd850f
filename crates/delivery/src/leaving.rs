//! Content as it leaves: as it was taken, or with the changes to its header that were decided then.

use bytes::{Buf, Bytes};
use mail::header::{Edit, apply};
use spool::{Content, ReadError, Stored};

/// A header larger than this is not looked at as a whole; reception takes none of this size by default.
const HEADER_OCTETS_MAX: usize = 4 << 20;

/// The beginning of content that leaves otherwise than it came.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// What leaves.
    octets: Bytes,
    /// So many octets of what came.
    replaced: usize,
}

impl Head {
    /// Makes the changes; none if there are none to make.
    pub(crate) async fn of(stored: &Stored) -> Result<Option<Self>, ReadError> {
        let directions = stored.envelope.directions.as_deref();
        match directions.filter(|it| !it.edits.is_empty()) {
            Some(directions) => Self::changed(stored, &directions.edits).await.map(Some),
            None => Ok(None),
        }
    }

    async fn changed(stored: &Stored, edits: &[Edit]) -> Result<Self, ReadError> {
        let (mut before, mut content) = (Vec::new(), stored.content());
        while let Some(piece) = content.next().await? {
            let from = before.len().saturating_sub(3);
            before.extend_from_slice(&piece);
            let rest = before.get(from..).unwrap_or_default();
            if rest.windows(4).any(|it| it == b"\r\n\r\n") || before.len() > HEADER_OCTETS_MAX {
                break;
            }
        }
        Ok(Self { octets: apply(&before, edits).into(), replaced: before.len() })
    }
}

/// The content of a message, which may be read from its beginning as often as need be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving<'a> {
    pub(crate) stored: &'a Stored,
    pub(crate) head: Option<&'a Head>,
}

impl Leaving<'_> {
    /// How large it is.
    pub(crate) fn octets(&self) -> u64 {
        let wide = |octets: usize| u64::try_from(octets).unwrap_or(u64::MAX);
        let stored = self.stored.octets;
        self.head.map_or(stored, |head| {
            stored.saturating_sub(wide(head.replaced)).saturating_add(wide(head.octets.len()))
        })
    }

    /// Reads it from its beginning.
    pub(crate) fn pieces(&self) -> Pieces {
        let content = self.stored.content();
        match self.head {
            Some(head) => Pieces { head: head.octets.clone(), skip: head.replaced, content },
            None => Pieces { head: Bytes::new(), skip: 0, content },
        }
    }
}

/// Content piece by piece.
#[derive(Debug)]
pub(crate) struct Pieces {
    head: Bytes,
    /// Octets of the content that `head` stands for.
    skip: usize,
    content: Content,
}

impl Pieces {
    /// Puts `octets` before all the rest.
    pub(crate) fn put_on_top(&mut self, octets: Bytes) {
        self.head = match (octets.is_empty(), self.head.is_empty()) {
            (true, _) => return,
            (_, true) => octets,
            _ => [octets, std::mem::take(&mut self.head)].concat().into(),
        };
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if !self.head.is_empty() {
            return Ok(Some(std::mem::take(&mut self.head)));
        }
        loop {
            let Some(mut piece) = self.content.next().await? else { return Ok(None) };
            let skipped = self.skip.min(piece.len());
            self.skip = self.skip.saturating_sub(skipped);
            piece.advance(skipped);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}
