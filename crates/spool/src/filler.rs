//! Messages put into a spool that no relay uses, many at a time: for measurements of long queues.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mail::{Envelope, MessageId, Timestamp};
use units::Clock;

use crate::engine::{Change, Durability, Engine, EngineError, Family};
use crate::error::{OpenError, WriteError};
use crate::faults::Faults;
use crate::folder::{self, Folder};
use crate::ids::Ids;
use crate::record::envelope::{Message, Place};
use crate::record::extent::{HEADER_OCTETS, Header};
use crate::record::progress;
use crate::scan;
use crate::state::RecipientState;

/// Messages in one batch.
const BATCH: usize = 1024;

/// Writes the records that a relay would have written, without a client to answer for each.
#[derive(Debug)]
pub struct Filler {
    engine: Engine,
    ids: Ids,
    clock: Clock,
    changes: Vec<Change>,
    messages: usize,
    /// Unlocked when all else is gone.
    _folder: Folder,
}

impl Filler {
    /// Opens the spool in `path`, making it if it is not there.
    pub fn open(path: &Path, clock: Clock, random_seed: u64) -> Result<Self, OpenError> {
        let folder = Folder::open(path)?;
        let fault = |error: EngineError| OpenError::Engine(error.to_string().into());
        let engine = Engine::open(&folder::database(path), Faults::default()).map_err(fault)?;
        let last = scan::last_message(&engine, Family::Envelope).map_err(fault)?;
        let ids = Ids::new(clock.clone(), random_seed, last);
        Ok(Self { engine, ids, clock, changes: Vec::new(), messages: 0, _folder: folder })
    }

    /// Adds a message, received now, with small content; `state` is written about its first recipient.
    pub fn put(
        &mut self,
        envelope: Envelope,
        content: &[u8],
        state: &RecipientState,
    ) -> Result<MessageId, WriteError> {
        let id = self.ids.next();
        let message = Message {
            envelope: Arc::new(envelope),
            received_at: Timestamp::from_millis(self.clock.unix_millis()),
            octets: content.len() as u64,
            place: Place::Inline,
        };
        let octets = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let header = Header { id, index: 0, octets, crc: crc32c::crc32c(content) };
        let mut body = Vec::with_capacity(HEADER_OCTETS + content.len());
        body.extend_from_slice(&header.encode());
        body.extend_from_slice(content);
        let (key, note) = (id.to_bytes().to_vec(), progress::key(id, 0));
        let progress = Bytes::from(progress::encode(&note, state));
        self.changes.push(Change::Put(Family::Body, key.clone(), body.into()));
        self.changes.push(Change::Put(Family::Envelope, key, message.encode(id).into()));
        self.changes.push(Change::Put(Family::Progress, note.to_vec(), progress));
        self.messages += 1;
        if self.messages >= BATCH {
            self.write()?;
        }
        Ok(id)
    }

    fn write(&mut self) -> Result<(), WriteError> {
        let written = self.engine.write(&self.changes, Durability::Buffer);
        written.map_err(|error| failed(&error))?;
        self.changes.clear();
        self.messages = 0;
        Ok(())
    }

    /// Puts all of it on the device.
    pub fn close(mut self) -> Result<(), WriteError> {
        self.write()?;
        self.engine.sync().map_err(|error| failed(&error))?;
        self.engine.close();
        Ok(())
    }
}

fn failed(error: &EngineError) -> WriteError {
    WriteError::Device(error.to_string().into())
}
