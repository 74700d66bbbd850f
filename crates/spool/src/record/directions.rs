//! The fields of a message's record that say what the relay decided about it.

use mail::header::{Edit, FieldName, FieldValue, Place, Which};
use mail::{Address, Directions};

use crate::record::{CRITICAL, Encoder, Fields, RecordError, exactly, put_field, text, unknown};

const CLASS: u16 = 21;
// 22 was the From of the header; nobody read it.
/// A relay that does not know of it would send what should not be sent so.
const EDIT: u16 = CRITICAL + 23;
const CERTIFIED: u16 = 24;
const HELD: u16 = 25;
const RULE: u16 = 26;
const SENDER: u16 = CRITICAL + 27;
/// Inside an edit.
const EDIT_KIND: u16 = 1;
const EDIT_NAME: u16 = 2;
const EDIT_VALUE: u16 = 3;

/// Appends a field for each direction.
pub(crate) fn encode(directions: &Directions, out: &mut Encoder) {
    if let Some(class) = &directions.class {
        out.field(CLASS, class.as_bytes());
    }
    if let Some(sender) = &directions.sender {
        out.field(SENDER, sender.as_str().as_bytes());
    }
    for edit in &directions.edits {
        out.field(EDIT, &encode_edit(edit));
    }
    if directions.is_certified {
        out.field(CERTIFIED, &[]);
    }
    if let Some(held) = &directions.held {
        out.field(HELD, held.as_bytes());
    }
    for rule in &directions.rules {
        out.field(RULE, rule.as_bytes());
    }
}

/// Whether a field of this tag is a direction.
pub(crate) const fn is_known(tag: u16) -> bool {
    matches!(tag, CLASS | EDIT | SENDER | CERTIFIED..=RULE)
}

/// Reads a field that is a direction.
pub(crate) fn take(directions: &mut Directions, tag: u16, value: &[u8]) -> Result<(), RecordError> {
    match tag {
        CLASS => directions.class = Some(text(tag, value)?.into()),
        SENDER => directions.sender = Some(address(tag, value)?),
        EDIT => directions.edits.push(decode_edit(value)?),
        CERTIFIED => directions.is_certified = true,
        HELD => directions.held = Some(text(tag, value)?.into()),
        RULE => directions.rules.push(text(tag, value)?.into()),
        tag => unknown(tag)?,
    }
    Ok(())
}

fn address(tag: u16, value: &[u8]) -> Result<Address, RecordError> {
    Address::parse(text(tag, value)?).map_err(|_| RecordError::Field(tag))
}

fn encode_edit(edit: &Edit) -> Vec<u8> {
    let of = |which| match which {
        Which::All => (0, 0),
        Which::FromTop(number) => (1, number),
        Which::FromBottom(number) => (2, number),
    };
    let ((kind, number), name, value) = match edit {
        Edit::Add { name, value, at } => {
            let kind = match *at {
                Place::Top => (0, 0),
                Place::Bottom => (1, 0),
                Place::Behind(count) => (2, count),
            };
            (kind, name, Some(value))
        }
        Edit::Set { name, which, value } => {
            let (kind, number) = of(*which);
            ((kind + 3, number), name, Some(value))
        }
        Edit::Remove { name, which } => {
            let (kind, number) = of(*which);
            ((kind + 6, number), name, None)
        }
    };
    let mut out = Vec::with_capacity(64);
    let [a, b, c, d] = number.to_le_bytes();
    put_field(&mut out, EDIT_KIND, &[kind, a, b, c, d]);
    put_field(&mut out, EDIT_NAME, name.as_str().as_bytes());
    if let Some(value) = value {
        put_field(&mut out, EDIT_VALUE, value.as_bytes());
    }
    out
}

fn decode_edit(octets: &[u8]) -> Result<Edit, RecordError> {
    let wrong = || RecordError::Field(EDIT);
    let (mut kind, mut name, mut value) = (None, None, None);
    for field in Fields::nested(octets) {
        match field? {
            (EDIT_KIND, octets) => kind = Some(exactly::<5>(EDIT, octets)?),
            (EDIT_NAME, octets) => {
                name = Some(FieldName::parse(text(EDIT, octets)?).map_err(|_| wrong())?);
            }
            (EDIT_VALUE, octets) => {
                value = Some(FieldValue::parse(octets).map_err(|_| wrong())?);
            }
            (tag, _) => unknown(tag)?,
        }
    }
    let [kind, number @ ..] = kind.ok_or_else(wrong)?;
    let (name, number) = (name.ok_or_else(wrong)?, u32::from_le_bytes(number));
    let which = |kind| match kind {
        0 => Which::All,
        1 => Which::FromTop(number),
        _ => Which::FromBottom(number),
    };
    let needed = |value: Option<FieldValue>| value.ok_or_else(wrong);
    Ok(match (kind, value) {
        (0..=2, given) => {
            let at = match kind {
                0 => Place::Top,
                1 => Place::Bottom,
                _ => Place::Behind(number),
            };
            Edit::Add { name, value: needed(given)?, at }
        }
        (3..=5, given) => Edit::Set { name, which: which(kind - 3), value: needed(given)? },
        (6..=8, None) => Edit::Remove { name, which: which(kind - 6) },
        _ => return Err(wrong()),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edit() -> impl Strategy<Value = Edit> {
        let number = any::<u32>();
        let which = prop_oneof![
            Just(Which::All),
            number.prop_map(Which::FromTop),
            number.prop_map(Which::FromBottom),
        ];
        let at =
            prop_oneof![Just(Place::Top), Just(Place::Bottom), number.prop_map(Place::Behind),];
        let name = "X-[A-Za-z]{1,9}".prop_map(|name| FieldName::parse(&name).unwrap());
        let value = "[ -~\u{e9}]{0,99}";
        let value = value.prop_map(|value| FieldValue::parse(value.as_bytes()).unwrap());
        prop_oneof![
            (name.clone(), value.clone(), at).prop_map(|(name, value, at)| Edit::Add {
                name,
                value,
                at
            }),
            (name.clone(), value, which.clone()).prop_map(|(name, value, which)| Edit::Set {
                name,
                which,
                value
            }),
            (name, which).prop_map(|(name, which)| Edit::Remove { name, which }),
        ]
    }

    pub(crate) fn directions() -> impl Strategy<Value = Option<Box<Directions>>> {
        let word = || prop::option::of("[a-z]{1,9}".prop_map(Box::from));
        let address = || prop::option::of(Just(Address::parse("a@b.example").unwrap()));
        let rules = prop::collection::vec("[a-z]{1,9}".prop_map(Box::from), 0..3);
        let edits = prop::collection::vec(edit(), 0..4);
        (word(), address(), edits, any::<bool>(), word(), rules).prop_map(
            |(class, sender, edits, is_certified, held, rules)| {
                let all = Directions { class, sender, edits, is_certified, held, rules };
                Some(Box::new(all)).filter(|all| !all.is_empty())
            },
        )
    }

    #[test]
    fn edits_that_cannot_be_are_noticed() {
        let add = Edit::Add {
            name: FieldName::parse("X-A").unwrap(),
            value: FieldValue::parse(b"b").unwrap(),
            at: Place::Top,
        };
        let octets = encode_edit(&add);
        assert_eq!(decode_edit(&octets), Ok(add));
        let with_kind = |kind| {
            let mut octets = octets.clone();
            octets[6] = kind;
            decode_edit(&octets)
        };
        assert!(matches!(with_kind(4), Ok(Edit::Set { which: Which::FromTop(0), .. })));
        assert_eq!(with_kind(6), Err(RecordError::Field(EDIT)));
        assert_eq!(with_kind(9), Err(RecordError::Field(EDIT)));
        assert_eq!(decode_edit(&octets[..11]), Err(RecordError::Field(EDIT)));
    }
}
