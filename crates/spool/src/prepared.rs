//! A message whose content is on its way or on the device, and whose record is not.

use std::sync::Arc;

use bytes::Bytes;
use mail::{Accepted, MessageId};
use tokio::sync::OwnedSemaphorePermit;

use crate::engine::{Change, Family};
use crate::place::Place;
use crate::record::envelope::{self, Message};
use crate::record::extent::{Extent, HEADER_OCTETS};
use crate::segments::Segments;
use crate::warm::Fresh;

/// A message that lacks only the synced write. Dropped, its space is given back.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) id: MessageId,
    pub(crate) message: Message,
    /// The encoded record.
    pub(crate) record: Bytes,
    /// Small content with its header.
    pub(crate) body: Option<Bytes>,
    pub(crate) space: Space,
    /// Given back when dropped, unless the message is stored.
    pub(crate) place: Option<Place>,
    /// The memory it takes.
    pub(crate) _memory: Option<OwnedSemaphorePermit>,
}

/// Extents that are given back when dropped, unless something refers to them.
#[derive(Debug)]
pub(crate) struct Space {
    segments: Arc<Segments>,
    extents: Vec<Extent>,
}

impl Space {
    pub(crate) const fn new(segments: Arc<Segments>) -> Self {
        Self { segments, extents: Vec::new() }
    }

    pub(crate) fn push(&mut self, extent: Extent) {
        self.extents.push(extent);
    }

    pub(crate) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Something refers to them from now on.
    pub(crate) fn keep(&mut self) {
        self.extents.clear();
    }

    /// Takes them over.
    pub(crate) fn take(&mut self) -> Self {
        Self { segments: Arc::clone(&self.segments), extents: std::mem::take(&mut self.extents) }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.segments.release(&self.extents);
    }
}

impl Prepared {
    /// What is to be written.
    pub(crate) fn changes(&self, changes: &mut Vec<Change>) {
        let key = self.id.to_bytes().to_vec();
        if let Some(body) = &self.body {
            changes.push(Change::Put(Family::Body, key.clone(), body.clone()));
        }
        changes.push(Change::Put(Family::Envelope, key, self.record.clone()));
    }

    /// What the next stage learns. Only the committer asks, after the synced write.
    pub(crate) fn accepted(&self) -> Accepted {
        Accepted {
            id: self.id,
            envelope: Arc::clone(&self.message.envelope),
            received_at: self.message.received_at,
            octets: self.message.octets,
        }
    }

    /// The message is stored: its place and space stay taken.
    pub(crate) fn keep(&mut self) -> Fresh {
        self.space.keep();
        if let Some(place) = self.place.take() {
            place.keep(self.message.octets);
        }
        debug_assert_eq!(self.body.is_some(), self.message.place == envelope::Place::Inline);
        Fresh {
            message: self.message.clone(),
            body: self.body.as_ref().map(|body| body.slice(HEADER_OCTETS.min(body.len())..)),
            recipients: None,
        }
    }
}
