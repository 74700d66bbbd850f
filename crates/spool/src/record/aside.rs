//! A record that could not be read, kept for a person to look at.

use mail::Timestamp;

use crate::record::{Encoder, Kind, RecordError, exactly, open, text, unknown};

const REASON: u16 = 1;
const AT: u16 = 2;
const RAW: u16 = 3;

/// What was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aside {
    /// Why, in words.
    pub(crate) reason: Box<str>,
    /// When.
    pub(crate) at: Timestamp,
    /// The value as it stood; empty if the database could not read it.
    pub(crate) raw: Vec<u8>,
}

impl Aside {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut out = Encoder::new(Kind::Aside, key);
        out.field(REASON, self.reason.as_bytes());
        out.field(AT, &self.at.as_millis().to_le_bytes());
        out.field(RAW, &self.raw);
        out.finish()
    }

    pub(crate) fn decode(record: &[u8], key: &[u8]) -> Result<Self, RecordError> {
        let mut aside =
            Self { reason: Box::default(), at: Timestamp::from_millis(0), raw: Vec::new() };
        for field in open(record, Kind::Aside, key)? {
            match field? {
                (REASON, value) => aside.reason = text(REASON, value)?.into(),
                (AT, value) => {
                    aside.at = Timestamp::from_millis(u64::from_le_bytes(exactly(AT, value)?));
                }
                (RAW, value) => aside.raw = value.to_vec(),
                (tag, _) => unknown(tag)?,
            }
        }
        Ok(aside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_can_be_looked_at() {
        let aside = Aside {
            reason: "the checksum does not match".into(),
            at: Timestamp::from_millis(9),
            raw: vec![0, 255, 7],
        };
        assert_eq!(Aside::decode(&aside.encode(b"e-key"), b"e-key"), Ok(aside));
    }
}
