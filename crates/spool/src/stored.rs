//! Reading.
use std::sync::Arc;

use bytes::Bytes;
use mail::{Envelope, MessageId, Timestamp};

use crate::error::ReadError;
use crate::state::RecipientState;

/// A message read from the spool.
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
}

impl Stored {
    /// Reads the content from its beginning.
    pub fn content(&self) -> Content {
        todo!()
    }
}

/// The content of a message, chunk by chunk.
#[derive(Debug)]
pub struct Content {}

impl Content {
    /// The next chunk of at most 256 KiB, checked; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        todo!()
    }
}
