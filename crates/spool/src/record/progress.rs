//! The record of where one recipient of a message stands.

use std::net::SocketAddr;

use mail::{Fate, MessageId, Peer, Timestamp};

use crate::record::{Encoder, Kind, RecordError, array, exactly, open, text, unknown};
use crate::state::{Owed, RecipientState};

const TRIES: u16 = 1;
const NEXT_TRY_AT: u16 = 2;
const LAST: u16 = 3;
const FATE: u16 = 4;
const SETTLED_AT: u16 = 5;
const REPLY: u16 = 6;
/// Empty; it stands only where the sender was told.
const TOLD: u16 = 7;
/// Whether mail rests where the recipient was delivered; it stands only where the sender is still to be told.
const OWED: u16 = 8;
/// Who said the reply, where the sender is still to be told.
const HOST: u16 = 9;
const ADDRESS: u16 = 10;
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
        RecipientState::Settled { fate, at, reply, owed } => {
            let fate = match fate {
                Fate::Delivered => 0,
                Fate::Deferred => 1,
                Fate::Failed => 2,
            };
            out.field(FATE, &[fate]);
            out.field(SETTLED_AT, &at.as_millis().to_le_bytes());
            out.field(REPLY, cut(reply).as_bytes());
            if let Some(owed) = owed {
                encode_owed(owed, &mut out);
            }
        }
    }
    out.finish()
}

fn encode_owed(owed: &Owed, out: &mut Encoder) {
    out.field(OWED, &[owed.peer.as_ref().is_some_and(|peer| peer.is_final).into()]);
    out.field(TRIES, &owed.tries.to_le_bytes());
    if let Some(peer) = &owed.peer {
        out.field(HOST, peer.host.as_bytes());
        out.field(ADDRESS, peer.address.to_string().as_bytes());
    }
}

fn cut(words: &str) -> &str {
    words.get(..words.floor_char_boundary(WORDS_OCTETS_MAX)).unwrap_or_default()
}

/// What a record says, in the record's own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View<'a> {
    Waiting { tries: u16, next_try_at: Timestamp, last: Option<&'a str>, is_told: bool },
    Settled { fate: Fate, at: Timestamp, reply: &'a str, owed: Option<OwedView<'a>> },
}

/// As [`Owed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwedView<'a> {
    tries: u16,
    is_final: bool,
    peer: Option<(&'a str, SocketAddr)>,
}

impl From<View<'_>> for RecipientState {
    fn from(view: View<'_>) -> Self {
        match view {
            View::Waiting { tries, next_try_at, last, is_told } => {
                Self::Waiting { tries, next_try_at, last: last.map(Into::into), is_told }
            }
            View::Settled { fate, at, reply, owed } => {
                let owed = owed.map(|owed| Box::new(Owed::from(owed)));
                Self::Settled { fate, at, reply: reply.into(), owed }
            }
        }
    }
}

impl From<OwedView<'_>> for Owed {
    fn from(view: OwedView<'_>) -> Self {
        let OwedView { tries, is_final, peer } = view;
        let peer = peer.map(|(host, address)| Peer {
            host: host.into(),
            address,
            tls: None,
            offers_dsn: false,
            is_final,
            offers_deliver_by: false,
        });
        Self { tries, peer }
    }
}

pub(crate) fn decode(record: &[u8], key: &[u8]) -> Result<RecipientState, RecordError> {
    view(record, key).map(RecipientState::from)
}

pub(crate) fn view<'a>(record: &'a [u8], key: &[u8]) -> Result<View<'a>, RecordError> {
    let (mut tries, mut next_try_at, mut last, mut is_told) = (0, None, None, false);
    let (mut fate, mut settled_at, mut reply) = (None, None, "");
    let (mut owed, mut host, mut address) = (None, None, None);
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
            (OWED, value) => owed = Some(value == [1]),
            (HOST, value) => host = Some(text(HOST, value)?),
            (ADDRESS, value) => {
                let parsed = text(ADDRESS, value)?.parse();
                address = Some(parsed.map_err(|_| RecordError::Field(ADDRESS))?);
            }
            (tag, _) => unknown(tag)?,
        }
    }
    if let Some(fate) = fate {
        let at = settled_at.ok_or(RecordError::Field(SETTLED_AT))?;
        let owed = owed.map(|is_final| OwedView { tries, is_final, peer: host.zip(address) });
        return Ok(View::Settled { fate, at, reply, owed });
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

    /// What every record begins with.
    const HEADER: usize = 8;

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
        let peer = ("\\PC{0,40}", any::<(std::net::IpAddr, u16, bool)>());
        let peer = peer.prop_map(|(host, (address, port, is_final))| Peer {
            host: host.into(),
            address: (address, port).into(),
            tls: None,
            offers_dsn: false,
            is_final,
            offers_deliver_by: false,
        });
        let owed = (any::<u16>(), prop::option::of(peer));
        let owed = owed.prop_map(|(tries, peer)| Box::new(Owed { tries, peer }));
        let settled = (fate, moment, "\\PC{0,40}", prop::option::of(owed)).prop_map(
            |(fate, at, reply, owed)| RecipientState::Settled {
                fate,
                at,
                reply: reply.into(),
                owed,
            },
        );
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

    /// Relays that wrote a report for each recipient at once read what we owe as settled, and wrote what we do not owe.
    #[test]
    fn a_record_of_what_is_owed_is_one_of_what_is_settled_with_more_behind() {
        let key = key(MessageId::new(1, 1), 0);
        let state = |owed| RecipientState::Settled {
            fate: Fate::Delivered,
            at: Timestamp::from_millis(1),
            reply: "250 ok".into(),
            owed,
        };
        let (plain, owed) = (state(None), state(Some(Box::new(Owed { tries: 2, peer: None }))));
        let [plain, owed] = [plain, owed].map(|state| encode(&key, &state));
        assert!(owed[HEADER..].starts_with(&plain[HEADER..]));
        let tags: Vec<_> = open(&owed, Kind::Progress, &key).unwrap().flatten().collect();
        assert!(tags.iter().all(|(tag, _)| unknown(*tag).is_ok()));
    }

    #[test]
    fn a_long_reply_is_cut_between_characters() {
        let reply = "é".repeat(2000);
        let state = RecipientState::Settled {
            fate: Fate::Failed,
            at: Timestamp::from_millis(1),
            reply: reply.into(),
            owed: None,
        };
        let key = key(MessageId::new(1, 1), 0);
        let RecipientState::Settled { reply, .. } = decode(&encode(&key, &state), &key).unwrap()
        else {
            panic!("settled");
        };
        assert_eq!(reply.len(), WORDS_OCTETS_MAX);
    }
}
