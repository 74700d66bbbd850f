//! A message on its way out.

use std::sync::Arc;

use bytes::Bytes;
use mail::{Envelope, MessageId, Timestamp};

use crate::engine::Family;
use crate::error::{LoadError, ReadError};
use crate::inner::Inner;
use crate::record::RecordError;
use crate::record::envelope::{Message, Place};
use crate::record::extent::{Extent, HEADER_OCTETS, Header};
use crate::record::progress;
use crate::request::{Freed, SetAside};
use crate::rows::Rows;
use crate::state::RecipientState;

/// A message read from the spool. Its content is read when it is asked for.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its key.
    pub id: MessageId,
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// When its 250 was due.
    pub received_at: Timestamp,
    /// Size of the content.
    pub octets: u64,
    /// One state per recipient, in the envelope's order.
    pub recipients: Vec<RecipientState>,
    source: Source,
    spool: Arc<Inner>,
}

#[derive(Clone, Debug)]
enum Source {
    Memory(Bytes),
    Extents(Arc<[Extent]>),
}

impl Stored {
    /// Reads the content from its beginning; may be called again for another destination.
    pub fn content(&self) -> Content {
        Content {
            id: self.id,
            octets: self.octets,
            source: self.source.clone(),
            next: 0,
            spool: Arc::clone(&self.spool),
        }
    }
}

/// The content of a message, chunk by chunk.
#[derive(Debug)]
pub struct Content {
    id: MessageId,
    octets: u64,
    source: Source,
    next: u32,
    spool: Arc<Inner>,
}

impl Content {
    /// The next chunk of at most 256 KiB, its checksum verified; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        match &mut self.source {
            Source::Memory(octets) if octets.is_empty() => Ok(None),
            Source::Memory(octets) => Ok(Some(std::mem::take(octets))),
            Source::Extents(extents) => {
                let at = usize::try_from(self.next).unwrap_or(usize::MAX);
                let Some(extent) = extents.get(at).copied() else { return Ok(None) };
                let index = self.next;
                self.next += 1;
                self.extent(&extent, index).await.map(Some)
            }
        }
    }

    async fn extent(&self, extent: &Extent, index: u32) -> Result<Bytes, ReadError> {
        let octets = usize::try_from(extent.octets_framed()).unwrap_or(usize::MAX);
        let read = match self.spool.shared.segments.segment(extent.segment) {
            Ok(segment) => self.spool.lane.read(&segment.file, extent.offset, octets).await,
            Err(error) => Err(error),
        };
        let reason = match read {
            Ok(frame) => match Header::verify(&frame, self.id, index) {
                Ok(header) if header.crc == extent.crc => return Ok(frame.slice(HEADER_OCTETS..)),
                Ok(_) => RecordError::Checksum.to_string(),
                Err(error) => error.to_string(),
            },
            Err(error) if is_lost(error.kind()) => error.to_string(),
            Err(error) => {
                let reason = error.to_string().into();
                return Err(ReadError::Device { id: self.id, reason });
            }
        };
        let reason = format!("extent {index} in segment {:x}: {reason}", extent.segment);
        // Boxed: it is rare, and each reader would hold room for it.
        Box::pin(self.set_aside(reason)).await;
        Err(ReadError::Corrupt(self.id))
    }

    async fn set_aside(&self, reason: String) {
        let key = self.id.to_bytes();
        let raw = self.spool.shared.engine.get(Family::Envelope, &key).ok().flatten();
        let records = vec![(Family::Envelope, key.to_vec(), raw.unwrap_or_default())];
        let freed = Freed { messages: 1, octets: self.octets, extents: Vec::new() };
        let reason = reason.into();
        self.spool.set_aside(Family::Body, SetAside { id: self.id, records, reason, freed }).await;
    }
}

/// Whether the octets are gone for good.
fn is_lost(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::NotFound)
}

/// What a load found, and what is to be set aside because of it.
pub(crate) struct Found {
    pub(crate) result: Result<Stored, LoadError>,
    pub(crate) aside: Vec<(Family, SetAside)>,
}

/// Finds a message in memory.
pub(crate) fn load_warm(spool: &Arc<Inner>, id: MessageId) -> Option<Stored> {
    let fresh = spool.shared.warm.load(id)?;
    let source = match (&fresh.message.place, &fresh.body) {
        (Place::Inline, Some(body)) => Source::Memory(body.clone()),
        (Place::Inline, None) => return None,
        (Place::Extents(extents), _) => Source::Extents(Arc::clone(extents)),
    };
    let count = fresh.message.envelope.recipients.len();
    let recipients =
        fresh.recipients.clone().unwrap_or_else(|| vec![fresh.message.fresh_state(); count]);
    Some(stored(spool, id, &fresh.message, recipients, source))
}

fn stored(
    spool: &Arc<Inner>,
    id: MessageId,
    message: &Message,
    recipients: Vec<RecipientState>,
    source: Source,
) -> Stored {
    Stored {
        id,
        envelope: Arc::clone(&message.envelope),
        received_at: message.received_at,
        octets: message.octets,
        recipients,
        source,
        spool: Arc::clone(spool),
    }
}

/// Reads a message from the database; blocks.
pub(crate) fn load_cold(spool: &Arc<Inner>, id: MessageId) -> Found {
    let mut aside = Vec::new();
    let result = read(spool, id, &mut aside);
    Found { result, aside }
}

fn read(
    spool: &Arc<Inner>,
    id: MessageId,
    aside: &mut Vec<(Family, SetAside)>,
) -> Result<Stored, LoadError> {
    let key = id.to_bytes();
    let engine = &spool.shared.engine;
    let failed = |error: crate::engine::EngineError| LoadError::Engine {
        id,
        reason: error.to_string().into(),
    };
    let (record, decoded) = match engine.get(Family::Envelope, &key) {
        Ok(None) => return Err(LoadError::Missing(id)),
        Ok(Some(record)) => {
            let decoded = Message::decode(&record, id);
            (record, decoded)
        }
        Err(crate::engine::EngineError::Corrupt(words)) => {
            (Vec::new(), Err(RecordError::Engine(words)))
        }
        Err(error) => return Err(failed(error)),
    };
    let envelope_row = (Family::Envelope, key.to_vec(), record);
    let message = match decoded {
        Ok(message) => message,
        Err(error) => {
            let freed = Freed { messages: 1, ..Freed::default() };
            let reason = error.to_string().into();
            let records = vec![envelope_row];
            aside.push((Family::Envelope, SetAside { id, records, reason, freed }));
            return Err(LoadError::Corrupt(id));
        }
    };
    let source = match &message.place {
        Place::Extents(extents) => Source::Extents(Arc::clone(extents)),
        Place::Inline => {
            let (body, sound) = match engine.get(Family::Body, &key) {
                Ok(body) => {
                    let body = body.unwrap_or_default();
                    let sound = Header::verify(&body, id, 0).map(drop);
                    (body, sound)
                }
                Err(crate::engine::EngineError::Corrupt(words)) => {
                    (Vec::new(), Err(RecordError::Engine(words)))
                }
                Err(error) => return Err(failed(error)),
            };
            if let Err(error) = sound {
                let freed = Freed { messages: 1, octets: message.octets, extents: Vec::new() };
                let reason = error.to_string().into();
                let records = vec![envelope_row, (Family::Body, key.to_vec(), body)];
                aside.push((Family::Body, SetAside { id, records, reason, freed }));
                return Err(LoadError::Corrupt(id));
            }
            Source::Memory(Bytes::from(body).slice(HEADER_OCTETS..))
        }
    };
    let rows = crate::scan::progress(engine, id).map_err(failed)?;
    for words in rows.damage {
        tracing::error!(message = %id, error = %words, "progress of a message cannot be read");
        spool.corrupt_found(Family::Progress);
    }
    let recipients = recipients(id, &message, &rows.rows, aside);
    Ok(stored(spool, id, &message, recipients, source))
}

/// Puts the progress of a message together; a record that cannot be read counts as not written, so
/// that its recipient is tried again rather than never.
fn recipients(
    id: MessageId,
    message: &Message,
    rows: &Rows,
    aside: &mut Vec<(Family, SetAside)>,
) -> Vec<RecipientState> {
    let count = message.envelope.recipients.len();
    let mut states = vec![message.fresh_state(); count];
    for (key, value) in rows.iter() {
        let place = progress::split_key(key).filter(|(of, _)| *of == id);
        let place = place.and_then(|(_, at)| states.get_mut(usize::try_from(at).ok()?));
        match (progress::decode(value, key), place) {
            (Ok(state), Some(place)) => *place = state,
            (decoded, _) => {
                let reason = decoded.err().unwrap_or(RecordError::Key).to_string().into();
                let records = vec![(Family::Progress, key.to_vec(), value.to_vec())];
                let freed = Freed::default();
                aside.push((Family::Progress, SetAside { id, records, reason, freed }));
            }
        }
    }
    states
}
