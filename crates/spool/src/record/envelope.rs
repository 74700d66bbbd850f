//! The record of a message: its envelope, and where its content is.

use std::net::IpAddr;
use std::sync::Arc;

use mail::{
    Address, BodyType, Directions, Envelope, MessageId, Notify, Origin, OriginalRecipient,
    Recipient, ReversePath, Timestamp, Wishes,
};

use crate::record::extent::Extent;
use crate::record::{
    CRITICAL, Encoder, Fields, Kind, RecordError, exactly, open, put_field, text, unknown,
};
use crate::record::{directions, wishes};
use crate::state::{RecipientState, Times};

const SENDER: u16 = 1;
const RECIPIENT: u16 = 2;
const BODY_TYPE: u16 = 3;
const SMTPUTF8: u16 = 4;
const CLIENT: u16 = 5;
const HELO: u16 = 6;
const LISTENER: u16 = 7;
const CONNECTOR: u16 = 8;
const TLS: u16 = 9;
const RECEIVED_AT: u16 = 10;
const OCTETS: u16 = 11;
const EXTENTS: u16 = 12;
/// 13 to 19 are wishes.
const LOGIN: u16 = 20;
/// 21 to 27 are directions.
/// Inside a recipient.
const RECIPIENT_ADDRESS: u16 = 1;
const RECIPIENT_NOTIFY: u16 = 2;
const RECIPIENT_ORIGINAL: u16 = 3;
/// A relay that does not know of it would send the message another way.
const RECIPIENT_VIA: u16 = CRITICAL + 4;
const EXTENT_OCTETS: usize = 24;

/// Where the content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the database, under the message's key.
    Inline,
    /// In segment files, in this order.
    Extents(Arc<[Extent]>),
}

/// All that is written once about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) received_at: Timestamp,
    pub(crate) octets: u64,
    pub(crate) place: Place,
}

impl Message {
    pub(crate) fn encode(&self, id: MessageId) -> Vec<u8> {
        let (envelope, origin) = (&self.envelope, &self.envelope.origin);
        let mut out = Encoder::new(Kind::Envelope, &id.to_bytes());
        if let Some(sender) = envelope.sender.address() {
            out.field(SENDER, sender.as_str().as_bytes());
        }
        for recipient in &envelope.recipients {
            let mut nested = Vec::with_capacity(64);
            put_field(&mut nested, RECIPIENT_ADDRESS, recipient.address.as_str().as_bytes());
            if let Some(notify) = recipient.notify {
                put_field(&mut nested, RECIPIENT_NOTIFY, &[notify.bits()]);
            }
            if let Some(original) = &recipient.original {
                put_field(&mut nested, RECIPIENT_ORIGINAL, original.as_str().as_bytes());
            }
            if let Some(via) = &recipient.via {
                put_field(&mut nested, RECIPIENT_VIA, via.as_bytes());
            }
            out.field(RECIPIENT, &nested);
        }
        let body_type = match envelope.body_type {
            BodyType::SevenBit => 0,
            BodyType::EightBitMime => 1,
            BodyType::BinaryMime => 2,
        };
        out.field(BODY_TYPE, &[body_type]);
        if envelope.needs_smtputf8 {
            out.field(SMTPUTF8, &[]);
        }
        wishes::encode(&envelope.wishes, &mut out);
        if let Some(all) = &envelope.directions {
            directions::encode(all, &mut out);
        }
        match origin.client {
            Some(IpAddr::V4(address)) => out.field(CLIENT, &address.octets()),
            Some(IpAddr::V6(address)) => out.field(CLIENT, &address.octets()),
            None => {}
        }
        out.field(HELO, origin.helo.as_bytes());
        out.field(LISTENER, origin.listener.as_bytes());
        out.field(CONNECTOR, origin.connector.as_bytes());
        if let Some(tls) = &origin.tls {
            out.field(TLS, tls.as_bytes());
        }
        if let Some(login) = &origin.login {
            out.field(LOGIN, login.as_bytes());
        }
        out.field(RECEIVED_AT, &self.received_at.as_millis().to_le_bytes());
        out.field(OCTETS, &self.octets.to_le_bytes());
        if let Place::Extents(extents) = &self.place {
            out.field(EXTENTS, &encode_extents(extents));
        }
        out.finish()
    }

    /// The state of each recipient of whom nothing was written.
    pub(crate) fn fresh_state(&self) -> RecipientState {
        RecipientState::fresh(Times::from(&self.envelope.wishes).due_at(self.received_at))
    }

    pub(crate) fn decode(record: &[u8], id: MessageId) -> Result<Self, RecordError> {
        let mut draft = Draft::default();
        for field in open(record, Kind::Envelope, &id.to_bytes())? {
            let (tag, value) = field?;
            draft.take(tag, value)?;
        }
        draft.finish()
    }
}

/// What the scan at start needs of a message. Addresses are not looked at: whoever loads the message
/// reads it whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) received_at: Timestamp,
    pub(crate) octets: u64,
    pub(crate) times: Times,
    pub(crate) place: Place,
}

impl View {
    /// Reads a record, adding to `recipients` the addresses with the connectors chosen for them, in the record's own
    /// memory.
    pub(crate) fn read<'a>(
        record: &'a [u8],
        id: MessageId,
        recipients: &mut Vec<(&'a str, Option<&'a str>)>,
    ) -> Result<Self, RecordError> {
        let (mut received_at, mut octets, mut place) = (None, None, Place::Inline);
        let mut times = Times::default();
        for field in open(record, Kind::Envelope, &id.to_bytes())? {
            match field? {
                (RECIPIENT, value) => recipients.push(recipient_text(value)?),
                (RECEIVED_AT, value) => {
                    received_at = Some(u64::from_le_bytes(exactly(RECEIVED_AT, value)?));
                }
                (OCTETS, value) => octets = Some(u64::from_le_bytes(exactly(OCTETS, value)?)),
                (EXTENTS, value) => place = Place::Extents(decode_extents(value)?),
                (SENDER | BODY_TYPE..=TLS | LOGIN, _) => {}
                (tag, _) if directions::is_known(tag) => {}
                (tag, value) if wishes::is_known(tag) => {
                    wishes::take_times(&mut times, tag, value)?;
                }
                (tag, _) => unknown(tag)?,
            }
        }
        if recipients.is_empty() {
            return Err(RecordError::Field(RECIPIENT));
        }
        let received_at = received_at.ok_or(RecordError::Field(RECEIVED_AT))?;
        Ok(Self {
            received_at: Timestamp::from_millis(received_at),
            octets: octets.ok_or(RecordError::Field(OCTETS))?,
            times,
            place,
        })
    }
}

/// What has been read so far.
#[derive(Default)]
struct Draft {
    sender: Option<Address>,
    recipients: Vec<Recipient>,
    body_type: BodyType,
    needs_smtputf8: bool,
    wishes: Wishes,
    client: Option<IpAddr>,
    helo: Box<str>,
    listener: Box<str>,
    connector: Box<str>,
    tls: Option<Box<str>>,
    login: Option<Box<str>>,
    directions: Option<Box<Directions>>,
    received_at: Option<u64>,
    octets: Option<u64>,
    extents: Option<Arc<[Extent]>>,
}

impl Draft {
    fn take(&mut self, tag: u16, value: &[u8]) -> Result<(), RecordError> {
        match tag {
            SENDER => self.sender = Some(address(tag, value)?),
            RECIPIENT => self.recipients.push(recipient(value)?),
            BODY_TYPE => {
                self.body_type = match exactly(tag, value)? {
                    [0] => BodyType::SevenBit,
                    [1] => BodyType::EightBitMime,
                    [2] => BodyType::BinaryMime,
                    [_] => return Err(RecordError::Field(tag)),
                }
            }
            SMTPUTF8 => self.needs_smtputf8 = true,
            CLIENT => {
                self.client = Some(match value.len() {
                    4 => IpAddr::from(exactly::<4>(tag, value)?),
                    _ => IpAddr::from(exactly::<16>(tag, value)?),
                });
            }
            HELO => self.helo = text(tag, value)?.into(),
            LISTENER => self.listener = text(tag, value)?.into(),
            CONNECTOR => self.connector = text(tag, value)?.into(),
            TLS => self.tls = Some(text(tag, value)?.into()),
            LOGIN => self.login = Some(text(tag, value)?.into()),
            RECEIVED_AT => self.received_at = Some(u64::from_le_bytes(exactly(tag, value)?)),
            OCTETS => self.octets = Some(u64::from_le_bytes(exactly(tag, value)?)),
            EXTENTS => self.extents = Some(decode_extents(value)?),
            tag if directions::is_known(tag) => {
                directions::take(self.directions.get_or_insert_default(), tag, value)?;
            }
            tag => wishes::take(&mut self.wishes, tag, value)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Message, RecordError> {
        if self.recipients.is_empty() {
            return Err(RecordError::Field(RECIPIENT));
        }
        let origin = Origin {
            client: self.client,
            helo: self.helo,
            listener: self.listener,
            connector: self.connector,
            tls: self.tls,
            login: self.login,
        };
        let envelope = Envelope {
            sender: self.sender.map_or(ReversePath::Null, ReversePath::Address),
            recipients: self.recipients,
            body_type: self.body_type,
            needs_smtputf8: self.needs_smtputf8,
            wishes: self.wishes,
            origin,
            directions: self.directions,
        };
        Ok(Message {
            envelope: Arc::new(envelope),
            received_at: Timestamp::from_millis(
                self.received_at.ok_or(RecordError::Field(RECEIVED_AT))?,
            ),
            octets: self.octets.ok_or(RecordError::Field(OCTETS))?,
            place: self.extents.map_or(Place::Inline, Place::Extents),
        })
    }
}

fn address(tag: u16, value: &[u8]) -> Result<Address, RecordError> {
    Address::parse(text(tag, value)?).map_err(|_| RecordError::Field(tag))
}

fn recipient(value: &[u8]) -> Result<Recipient, RecordError> {
    let wrong = || RecordError::Field(RECIPIENT);
    let (address, _) = recipient_text(value)?;
    let address = Address::parse(address).map_err(|_| wrong())?;
    let mut recipient = Recipient::from(address);
    for field in Fields::nested(value) {
        match field? {
            (RECIPIENT_NOTIFY, value) => {
                let [bits] = exactly(RECIPIENT, value)?;
                recipient.notify = Some(Notify::from_bits(bits).ok_or_else(wrong)?);
            }
            (RECIPIENT_ORIGINAL, value) => {
                let text = text(RECIPIENT, value)?;
                recipient.original = Some(OriginalRecipient::parse(text).ok_or_else(wrong)?);
            }
            (RECIPIENT_VIA, value) => recipient.via = Some(text(RECIPIENT, value)?.into()),
            // The others were looked at for the address.
            _ => {}
        }
    }
    Ok(recipient)
}

/// The address of a recipient, and the connector that was chosen for it.
fn recipient_text(value: &[u8]) -> Result<(&str, Option<&str>), RecordError> {
    let (mut found, mut via) = (None, None);
    for field in Fields::nested(value) {
        match field? {
            (RECIPIENT_ADDRESS, value) => found = Some(text(RECIPIENT, value)?),
            (RECIPIENT_VIA, value) => via = Some(text(RECIPIENT, value)?),
            (RECIPIENT_NOTIFY | RECIPIENT_ORIGINAL, _) => {}
            (tag, _) => unknown(tag)?,
        }
    }
    let address = found.ok_or(RecordError::Field(RECIPIENT))?;
    Ok((address, via))
}

fn encode_extents(extents: &[Extent]) -> Vec<u8> {
    let mut out = Vec::with_capacity(extents.len() * EXTENT_OCTETS);
    for extent in extents {
        out.extend_from_slice(&extent.segment.to_le_bytes());
        out.extend_from_slice(&extent.offset.to_le_bytes());
        out.extend_from_slice(&extent.octets.to_le_bytes());
        out.extend_from_slice(&extent.crc.to_le_bytes());
    }
    out
}

fn decode_extents(value: &[u8]) -> Result<Arc<[Extent]>, RecordError> {
    let (chunks, rest) = value.as_chunks::<EXTENT_OCTETS>();
    if !rest.is_empty() {
        return Err(RecordError::Field(EXTENTS));
    }
    let one = |chunk: &[u8; EXTENT_OCTETS]| {
        let wide =
            |at: usize| chunk.get(at..).and_then(crate::record::array).map(u64::from_le_bytes);
        let narrow =
            |at: usize| chunk.get(at..).and_then(crate::record::array).map(u32::from_le_bytes);
        Some(Extent { segment: wide(0)?, offset: wide(8)?, octets: narrow(16)?, crc: narrow(20)? })
    };
    chunks.iter().map(|chunk| one(chunk).ok_or(RecordError::Field(EXTENTS))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = Message> {
        let local = "[a-z]{1,8}";
        let address = (local, "[a-z]{1,8}\\.example")
            .prop_map(|(local, domain)| Address::parse(&format!("{local}@{domain}")).unwrap());
        let notify = prop::option::of((0..8_u8).prop_map(|bits| Notify::from_bits(bits).unwrap()));
        let original = prop::option::of("[ -~]{1,20}")
            .prop_map(|it| it.map(|address| OriginalRecipient::new("rfc822", &address).unwrap()));
        let via = prop::option::of("[a-z]{1,8}".prop_map(Into::into));
        let recipient = (address.clone(), notify, original, via).prop_map(
            |(address, notify, original, via)| Recipient { address, notify, original, via },
        );
        let extent = any::<(u64, u64, u32, u32)>()
            .prop_map(|(segment, offset, octets, crc)| Extent { segment, offset, octets, crc });
        let place = prop_oneof![
            Just(Place::Inline),
            prop::collection::vec(extent, 0..4).prop_map(|it| Place::Extents(it.into())),
        ];
        let origin = (any::<Option<IpAddr>>(), "\\PC{0,9}", "[a-z]{0,9}", any::<Option<bool>>());
        (
            prop::option::of(address.clone()),
            prop::collection::vec(recipient, 1..5),
            origin,
            any::<(u8, bool, u64, u64)>(),
            (place, wishes::tests::wishes(), directions::tests::directions()),
        )
            .prop_map(|(sender, recipients, (client, helo, name, tls), facts, rest)| {
                let (place, wishes, directions) = rest;
                let envelope = Envelope {
                    sender: sender.map_or(ReversePath::Null, ReversePath::Address),
                    recipients,
                    body_type: match facts.0 % 3 {
                        0 => BodyType::SevenBit,
                        1 => BodyType::EightBitMime,
                        _ => BodyType::BinaryMime,
                    },
                    needs_smtputf8: facts.1,
                    wishes,
                    origin: Origin {
                        client,
                        helo: helo.into(),
                        listener: name.clone().into(),
                        connector: name.into(),
                        tls: tls.map(|it| it.to_string().into()),
                        login: tls.map(|it| format!("{it}@login.example").into()),
                    },
                    directions,
                };
                Message {
                    envelope: Arc::new(envelope),
                    received_at: Timestamp::from_millis(facts.2),
                    octets: facts.3,
                    place,
                }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(message in message(), random: u128) {
            let id = MessageId::from_bytes(random.to_be_bytes());
            let record = message.encode(id);
            prop_assert_eq!(Message::decode(&record, id), Ok(message.clone()));
            let Message { envelope, received_at, octets, place } = message;
            let mut recipients = Vec::new();
            let view = View::read(&record, id, &mut recipients);
            let times = Times::from(&envelope.wishes);
            prop_assert_eq!(view, Ok(View { received_at, octets, times, place }));
            let want = envelope.recipients.iter().map(|it| (it.address.as_str(), it.via.as_deref()));
            let want: Vec<_> = want.collect();
            prop_assert_eq!(recipients, want);
        }

        #[test]
        fn damage_is_noticed(message in message(), at: prop::sample::Index, bit in 0..8_u8) {
            let id = MessageId::new(1, 1);
            let mut record = message.encode(id);
            let at = at.index(record.len());
            record[at] ^= 1_u8 << bit;
            prop_assert!(Message::decode(&record, id).is_err());
            prop_assert!(View::read(&record, id, &mut Vec::new()).is_err());
            record[at] ^= 1_u8 << bit;
            prop_assert!(Message::decode(&record[..at], id).is_err());
            prop_assert!(View::read(&record[..at], id, &mut Vec::new()).is_err());
        }

        #[test]
        fn any_octets_are_read_without_harm(octets: Vec<u8>) {
            let id = MessageId::new(1, 1);
            prop_assert!(Message::decode(&octets, id).is_err());
            prop_assert!(View::read(&octets, id, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn a_later_field_is_passed_over_unless_it_is_critical() {
        let id = MessageId::new(1, 1);
        let build = |tag: u16| {
            let mut nested = Vec::new();
            put_field(&mut nested, RECIPIENT_ADDRESS, b"b@c.example");
            put_field(&mut nested, 77, b"NOTIFY=NEVER");
            let mut out = Encoder::new(Kind::Envelope, &id.to_bytes());
            out.field(RECIPIENT, &nested);
            out.field(tag, b"later");
            out.field(RECEIVED_AT, &5_u64.to_le_bytes());
            out.field(OCTETS, &6_u64.to_le_bytes());
            out.finish()
        };
        let view = |record: &[u8]| View::read(record, id, &mut Vec::new());
        let message = Message::decode(&build(500), id).unwrap();
        assert_eq!(message.octets, 6);
        // So is a record that was written before there were wishes.
        assert_eq!(message.envelope.wishes, Wishes::default());
        let recipient = Recipient::from(Address::parse("b@c.example").unwrap());
        assert_eq!(message.envelope.recipients, [recipient]);
        assert_eq!(view(&build(500)).unwrap().octets, 6);
        assert_eq!(Message::decode(&build(0x8001), id), Err(RecordError::Critical(0x8001)));
        assert_eq!(view(&build(0x8001)), Err(RecordError::Critical(0x8001)));
    }
}
