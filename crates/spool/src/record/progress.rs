//! The record of where one recipient of a message stands.

use mail::{Fate, MessageId, Timestamp};

use crate::record::{Encoder, Kind, RecordError, array, exactly, open, text, unknown};
use crate::state::RecipientState;

const TRIES: u16 = 1;
const NEXT_TRY_AT: u16 = 2;
const LAST: u16 = 3;
const FATE: u16 = 4;
const SETTLED_AT: u16 = 5;
const REPLY: u16 = 6;
/// Empty; it stands only where the sender was told.
const TOLD: u16 = 7;
/// A reply longer than this is cut: it comes from a next hop, and is for people to read.
const WORDS_OCTETS_MAX: usize = 2048;

/// The key: the message, then the recipient's place, so that a message's records stand together.
pub(crate) fn key(id: MessageId, recipient: u32) -> [u8; 20] {
    let mut key = [0; 20];
    let (message, place) = key.split_at_mut(16);
    message.copy_from_slice(&id.to_bytes());
    place.copy_from_slice(&recipient.to_be_bytes());
    key
}

/// The message and the recipient's place that a key names.
pub(crate) fn split_key(key: &[u8]) -> Option<(MessageId, u32)> {
    let recipient = key.get(16..)?.try_into().map(u32::from_be_bytes).ok()?;
    Some((MessageId::from_bytes(array(key)?), recipient))
}

pub(crate) fn encode(key: &[u8], state: &RecipientState) -> Vec<u8> {
    let mut out = Encoder::new(Kind::Progress, key);
    match state {
        RecipientState::Waiting { tries, next_try_at, last, is_told } => {
            out.field(TRIES, &tries.to_le_bytes());
            out.field(NEXT_TRY_AT, &next_try_at.as_millis().to_le_bytes());
            if let Some(last) = last {
                out.field(LAST, cut(last).as_bytes());
            }
            if *is_told {
                out.field(TOLD, &[]);
            }
        }
        RecipientState::Settled { fate, at, reply } => {
            let fate = match fate {
                Fate::Delivered => 0,
                Fate::Deferred => 1,
                Fate::Failed => 2,
            };
            out.field(FATE, &[fate]);
            out.field(SETTLED_AT, &at.as_millis().to_le_bytes());
            out.field(REPLY, cut(reply).as_bytes());
        }
    }
    out.finish()
}

fn cut(words: &str) -> &str {
    words.get(..words.floor_char_boundary(WORDS_OCTETS_MAX)).unwrap_or_default()
}

/// What a record says, in the record's own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View<'a> {
    Waiting { tries: u16, next_try_at: Timestamp, last: Option<&'a str>, is_told: bool },
    Settled { fate: Fate, at: Timestamp, reply: &'a str },
}

impl From<View<'_>> for RecipientState {
    fn from(view: View<'_>) -> Self {
        match view {
            View::Waiting { tries, next_try_at, last, is_told } => {
                Self::Waiting { tries, next_try_at, last: last.map(Into::into), is_told }
            }
            View::Settled { fate, at, reply } => Self::Settled { fate, at, reply: reply.into() },
        }
    }
}

pub(crate) fn decode(record: &[u8], key: &[u8]) -> Result<RecipientState, RecordError> {
    view(record, key).map(RecipientState::from)
}

pub(crate) fn view<'a>(record: &'a [u8], key: &[u8]) -> Result<View<'a>, RecordError> {
    let (mut tries, mut next_try_at, mut last, mut is_told) = (0, None, None, false);
    let (mut fate, mut settled_at, mut reply) = (None, None, "");
    for field in open(record, Kind::Progress, key)? {
        match field? {
            (TRIES, value) => tries = u16::from_le_bytes(exactly(TRIES, value)?),
            (NEXT_TRY_AT, value) => next_try_at = Some(moment(NEXT_TRY_AT, value)?),
            (LAST, value) => last = Some(text(LAST, value)?),
            (FATE, value) => {
                fate = Some(match value {
                    [0] => Fate::Delivered,
                    [1] => Fate::Deferred,
                    [2] => Fate::Failed,
                    _ => return Err(RecordError::Field(FATE)),
                });
            }
            (SETTLED_AT, value) => settled_at = Some(moment(SETTLED_AT, value)?),
            (REPLY, value) => reply = text(REPLY, value)?,
            (TOLD, _) => is_told = true,
            (tag, _) => unknown(tag)?,
        }
    }
    if let Some(fate) = fate {
        let at = settled_at.ok_or(RecordError::Field(SETTLED_AT))?;
        return Ok(View::Settled { fate, at, reply });
    }
    let next_try_at = next_try_at.ok_or(RecordError::Field(NEXT_TRY_AT))?;
    Ok(View::Waiting { tries, next_try_at, last, is_told })
}

fn moment(tag: u16, value: &[u8]) -> Result<Timestamp, RecordError> {
    exactly(tag, value).map(u64::from_le_bytes).map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> impl Strategy<Value = RecipientState> {
        let moment = any::<u64>().prop_map(Timestamp::from_millis);
        let words = prop::option::of("\\PC{0,40}");
        let waiting = (any::<u16>(), moment.clone(), words, any::<bool>()).prop_map(
            |(tries, next_try_at, last, is_told)| RecipientState::Waiting {
                tries,
                next_try_at,
                last: last.map(Into::into),
                is_told,
            },
        );
        let fate = prop_oneof![Just(Fate::Delivered), Just(Fate::Deferred), Just(Fate::Failed)];
        let settled = (fate, moment, "\\PC{0,40}").prop_map(|(fate, at, reply)| {
            RecipientState::Settled { fate, at, reply: reply.into() }
        });
        prop_oneof![waiting, settled]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(state in state(), random: u128, recipient: u32, cut: prop::sample::Index) {
            let id = MessageId::from_bytes(random.to_be_bytes());
            let key = key(id, recipient);
            prop_assert_eq!(split_key(&key), Some((id, recipient)));
            let record = encode(&key, &state);
            prop_assert_eq!(decode(&record, &key), Ok(state));
            prop_assert!(decode(&record[..cut.index(record.len())], &key).is_err());
        }
    }

    /// The octets of a record as relays wrote it that sent no word of delays.
    #[test]
    fn a_record_from_before_there_were_delay_reports_is_read() {
        let key = key(MessageId::new(1, 1), 0);
        let mut out = Encoder::new(Kind::Progress, &key);
        out.field(1, &3_u16.to_le_bytes());
        out.field(2, &9_000_u64.to_le_bytes());
        out.field(3, b"451 later");
        let old = out.finish();
        let state = |is_told| RecipientState::Waiting {
            tries: 3,
            next_try_at: Timestamp::from_millis(9_000),
            last: Some("451 later".into()),
            is_told,
        };
        assert_eq!(decode(&old, &key), Ok(state(false)));
        assert_eq!(encode(&key, &state(false)), old, "and such a relay reads ours");
        assert_eq!(decode(&encode(&key, &state(true)), &key), Ok(state(true)));
    }

    #[test]
    fn a_long_reply_is_cut_between_characters() {
        let reply = "é".repeat(2000);
        let state = RecipientState::Settled {
            fate: Fate::Failed,
            at: Timestamp::from_millis(1),
            reply: reply.into(),
        };
        let key = key(MessageId::new(1, 1), 0);
        let RecipientState::Settled { reply, .. } = decode(&encode(&key, &state), &key).unwrap()
        else {
            panic!("settled");
        };
        assert_eq!(reply.len(), WORDS_OCTETS_MAX);
    }
}
