//! The fields of a message's record that say what its sender asked for.

use mail::{Address, ByMode, DeliverBy, EnvelopeId, Priority, Ret, Submitter, Timestamp, Wishes};

use crate::record::{CRITICAL, Encoder, RecordError, exactly, text, unknown};
use crate::state::Times;

const RET: u16 = 13;
const ENVELOPE_ID: u16 = 14;
const DELIVER_BY: u16 = 15;
const HOLD_UNTIL: u16 = 16;
const PRIORITY: u16 = 17;
/// Empty if nobody is known.
const SUBMITTER: u16 = 18;
/// A relay that cannot keep the promise must not send the message.
const REQUIRES_TLS: u16 = CRITICAL + 19;

/// Appends a field for each wish.
pub(crate) fn encode(wishes: &Wishes, out: &mut Encoder) {
    if let Some(ret) = wishes.ret {
        out.field(RET, &[u8::from(ret == Ret::Headers)]);
    }
    if let Some(id) = &wishes.envelope_id {
        out.field(ENVELOPE_ID, id.as_str().as_bytes());
    }
    if let Some(by) = wishes.deliver_by {
        let mode = u8::from(by.mode == ByMode::Return) | (u8::from(by.is_traced) << 1);
        out.field(DELIVER_BY, &[&by.at.as_millis().to_le_bytes()[..], &[mode]].concat());
    }
    if let Some(at) = wishes.hold_until {
        out.field(HOLD_UNTIL, &at.as_millis().to_le_bytes());
    }
    if let Some(priority) = wishes.priority {
        out.field(PRIORITY, &priority.value().to_le_bytes());
    }
    if let Some(submitter) = &wishes.submitter {
        let text = match submitter {
            Submitter::Unknown => "",
            Submitter::Address(address) => address.as_str(),
        };
        out.field(SUBMITTER, text.as_bytes());
    }
    if wishes.requires_tls {
        out.field(REQUIRES_TLS, &[]);
    }
}

/// Whether a field of this tag is a wish.
pub(crate) const fn is_known(tag: u16) -> bool {
    matches!(tag, RET..=SUBMITTER | REQUIRES_TLS)
}

/// Reads a field that is a wish; one of another tag is passed over unless it must not be.
pub(crate) fn take(wishes: &mut Wishes, tag: u16, value: &[u8]) -> Result<(), RecordError> {
    let wrong = || RecordError::Field(tag);
    match tag {
        RET => {
            wishes.ret = Some(match exactly(tag, value)? {
                [0] => Ret::Full,
                [1] => Ret::Headers,
                [_] => return Err(wrong()),
            });
        }
        ENVELOPE_ID => {
            wishes.envelope_id = Some(EnvelopeId::parse(text(tag, value)?).ok_or_else(wrong)?);
        }
        DELIVER_BY => wishes.deliver_by = Some(deliver_by(value)?),
        HOLD_UNTIL => wishes.hold_until = Some(hold_until(value)?),
        PRIORITY => wishes.priority = Some(priority(value)?),
        SUBMITTER if value.is_empty() => wishes.submitter = Some(Submitter::Unknown),
        SUBMITTER => {
            let address = Address::parse(text(tag, value)?);
            wishes.submitter = Some(Submitter::Address(address.map_err(|_| wrong())?));
        }
        REQUIRES_TLS => wishes.requires_tls = true,
        tag => unknown(tag)?,
    }
    Ok(())
}

/// As [`take`] for the wishes that the scan at start needs; passes over the others.
pub(crate) fn take_times(times: &mut Times, tag: u16, value: &[u8]) -> Result<(), RecordError> {
    match tag {
        DELIVER_BY => times.deliver_by = Some(deliver_by(value)?),
        HOLD_UNTIL => times.hold_until = Some(hold_until(value)?),
        PRIORITY => times.priority = Some(priority(value)?),
        _ => {}
    }
    Ok(())
}

fn deliver_by(value: &[u8]) -> Result<DeliverBy, RecordError> {
    let [at @ .., mode] = exactly::<9>(DELIVER_BY, value)?;
    let is_returned = mode & 1 == 1;
    Ok(DeliverBy {
        at: Timestamp::from_millis(u64::from_le_bytes(at)),
        mode: if is_returned { ByMode::Return } else { ByMode::Notify },
        is_traced: mode & 2 == 2,
    })
}

fn hold_until(value: &[u8]) -> Result<Timestamp, RecordError> {
    exactly(HOLD_UNTIL, value).map(u64::from_le_bytes).map(Timestamp::from_millis)
}

fn priority(value: &[u8]) -> Result<Priority, RecordError> {
    let value = i8::from_le_bytes(exactly(PRIORITY, value)?);
    Priority::new(value).ok_or(RecordError::Field(PRIORITY))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn wishes() -> impl Strategy<Value = Wishes> {
        let moment = any::<u64>().prop_map(Timestamp::from_millis);
        let ret = prop_oneof![Just(Ret::Full), Just(Ret::Headers)];
        let id = "[ -~]{1,100}".prop_map(|text| EnvelopeId::parse(&text).unwrap());
        let mode = prop_oneof![Just(ByMode::Return), Just(ByMode::Notify)];
        let by = (moment.clone(), mode, any::<bool>())
            .prop_map(|(at, mode, is_traced)| DeliverBy { at, mode, is_traced });
        let priority = (-9..=9_i8).prop_map(|value| Priority::new(value).unwrap());
        let submitter = prop_oneof![
            Just(Submitter::Unknown),
            Just(Submitter::Address(Address::parse("a@b.example").unwrap())),
        ];
        (
            prop::option::of(ret),
            prop::option::of(id),
            prop::option::of(by),
            (prop::option::of(moment), prop::option::of(priority)),
            (any::<bool>(), prop::option::of(submitter)),
        )
            .prop_map(|(ret, envelope_id, deliver_by, (hold_until, priority), rest)| {
                Wishes {
                    ret,
                    envelope_id,
                    deliver_by,
                    hold_until,
                    priority,
                    requires_tls: rest.0,
                    submitter: rest.1,
                }
            })
    }

    #[test]
    fn values_that_no_wish_has_are_noticed() {
        for (tag, value) in [
            (RET, &[2][..]),
            (ENVELOPE_ID, b""),
            (ENVELOPE_ID, b"a\nb"),
            (DELIVER_BY, &[0; 8]),
            (HOLD_UNTIL, &[0; 4]),
            (PRIORITY, &[10]),
            (SUBMITTER, b"a"),
        ] {
            let taken = take(&mut Wishes::default(), tag, value);
            assert_eq!(taken, Err(RecordError::Field(tag)), "{tag}");
        }
    }
}
