//! What `benches` measures and `fuzz` tries inside the spool: the record of a message, written and read.

use std::sync::Arc;

use mail::{Envelope, MessageId, Timestamp};

use crate::record::envelope::{Message, Place};
use crate::record::{Encoder, Kind};

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

/// A record whose fields are `fields`, under the right key and checksum, whatever they are.
pub fn sealed(fields: &[u8], id: MessageId) -> Vec<u8> {
    let mut encoder = Encoder::new(Kind::Envelope, &id.to_bytes());
    encoder.raw(fields);
    encoder.finish()
}
