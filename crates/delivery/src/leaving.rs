//! Content as it leaves: as it was taken, or with the changes to its header that were decided then.

use bytes::{Buf, Bytes};
use mail::header::{Beginning, Edit, apply};
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

    /// Makes these changes.
    pub(crate) async fn changed(stored: &Stored, edits: &[Edit]) -> Result<Self, ReadError> {
        let before = Leaving { stored, head: None }.beginning().await?;
        let before = before.octets();
        Ok(Self { octets: apply(before, edits).into(), replaced: before.len() })
    }

    /// Makes these changes besides.
    pub(crate) fn further(&self, edits: &[Edit]) -> Self {
        Self { octets: apply(&self.octets, edits).into(), replaced: self.replaced }
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

    /// Reads as much of it as holds its header.
    pub(crate) async fn beginning(&self) -> Result<Beginning, ReadError> {
        let (mut beginning, mut pieces) = (Beginning::default(), self.pieces());
        while let Some(piece) = pieces.next().await? {
            beginning.push(&piece);
            if beginning.body_at().is_some() || beginning.octets().len() > HEADER_OCTETS_MAX {
                break;
            }
        }
        Ok(beginning)
    }

    /// Reads it from its beginning.
    pub(crate) fn pieces(&self) -> Pieces {
        let content = self.stored.content();
        let front = |head: &Head| Front { head: head.octets.clone(), skip: head.replaced };
        Pieces { front: self.head.map(front).map(Box::new), content }
    }
}

/// Content piece by piece.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// What comes first; boxed, since most content leaves as it came.
    front: Option<Box<Front>>,
    content: Content,
}

/// What comes before the stored content, or in place of its beginning.
#[derive(Debug)]
struct Front {
    head: Bytes,
    /// Octets of the content that `head` stands for.
    skip: usize,
}

impl Pieces {
    /// Puts `octets` before all the rest.
    pub(crate) fn put_on_top(&mut self, octets: Bytes) {
        if octets.is_empty() {
            return;
        }
        let front = match self.front.take() {
            None => Front { head: octets, skip: 0 },
            Some(front) => Front { head: [octets, front.head].concat().into(), ..*front },
        };
        self.front = Some(Box::new(front));
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let Some(front) = &mut self.front else { return self.content.next().await };
        if !front.head.is_empty() {
            return Ok(Some(std::mem::take(&mut front.head)));
        }
        while let Some(mut piece) = self.content.next().await? {
            let skipped = front.skip.min(piece.len());
            front.skip = front.skip.saturating_sub(skipped);
            piece.advance(skipped);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}
