//! Content on its way out, piece by piece.

use bytes::Bytes;
use spool::ReadError;

use crate::leaving::Pieces;

/// Given out at once.
const PIECE_OCTETS: usize = 64 << 10;

/// Content on its way out.
#[derive(Debug)]
pub(crate) enum Body {
    /// As it was taken.
    Stored(Pieces),
    /// In memory; given out piece by piece, as each has its own time limit.
    Whole(Box<Whole>),
}

/// Content in memory.
#[derive(Debug)]
pub(crate) struct Whole {
    /// What goes before the rest, such as signatures.
    top: Bytes,
    /// All the rest.
    octets: Bytes,
}

impl Body {
    /// Content that is in memory.
    pub(crate) fn of(octets: Bytes) -> Self {
        Self::Whole(Box::new(Whole { top: Bytes::new(), octets }))
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        match self {
            Self::Stored(content) => content.next().await,
            Self::Whole(all) if !all.top.is_empty() => Ok(Some(std::mem::take(&mut all.top))),
            Self::Whole(all) => {
                let piece = all.octets.split_to(all.octets.len().min(PIECE_OCTETS));
                Ok(Some(piece).filter(|piece| !piece.is_empty()))
            }
        }
    }

    /// Puts `fields` on top of the header.
    pub(crate) fn put_on_top(&mut self, fields: Bytes) {
        match self {
            Self::Stored(pieces) => pieces.put_on_top(fields),
            Self::Whole(all) => all.top = fields,
        }
    }
}
