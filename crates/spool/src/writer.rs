//! Writing.
use bytes::Bytes;
use mail::{Accepted, Envelope, MessageId, Timestamp};

use crate::error::{CommitError, WriteError};

/// A message on its way in. Dropped, nothing of it is kept.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// The id it will have.
    pub fn id(&self) -> MessageId {
        todo!()
    }
    /// Octets written so far.
    pub fn octets(&self) -> u64 {
        todo!()
    }
    /// Takes a piece of the content.
    pub async fn write(&mut self, _chunk: Bytes) -> Result<(), WriteError> {
        todo!()
    }
    /// Puts the message on the device.
    pub async fn commit(
        self,
        _envelope: Envelope,
        _received_at: Timestamp,
    ) -> Result<Accepted, CommitError> {
        todo!()
    }
}
