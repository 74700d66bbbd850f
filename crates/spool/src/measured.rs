//! What `benches` measures inside the spool: the record of a message, written and read.

use std::sync::Arc;

use mail::{Envelope, MessageId, Timestamp};

use crate::record::envelope::{Message, Place};

/// Writes the record as the committer does.
pub fn encode(envelope: &Arc<Envelope>, id: MessageId) -> Vec<u8> {
    let message = Message {
        envelope: Arc::clone(envelope),
        received_at: Timestamp::from_millis(id.unix_millis()),
        octets: 10_240,
        place: Place::Inline,
    };
    message.encode(id)
}

/// Reads it as delivery and recovery do; none if it is damaged.
pub fn decode(record: &[u8], id: MessageId) -> Option<Arc<Envelope>> {
    Message::decode(record, id).ok().map(|message| message.envelope)
}
