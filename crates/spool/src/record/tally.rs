//! How many of something were counted on a day.

use crate::record::{Encoder, Kind, RecordError, exactly, open, unknown};
use crate::state::Tally;

const DAY: u16 = 1;
const COUNT: u16 = 2;

/// The record; its key is the name.
pub(crate) fn encode(tally: &Tally) -> Vec<u8> {
    let mut out = Encoder::new(Kind::Tally, tally.name.as_bytes());
    out.field(DAY, &tally.day.to_le_bytes());
    out.field(COUNT, &tally.count.to_le_bytes());
    out.finish()
}

/// What stands under `key`.
pub(crate) fn decode(record: &[u8], key: &[u8]) -> Result<Tally, RecordError> {
    let name = String::from_utf8_lossy(key).into();
    let mut tally = Tally { name, day: 0, count: 0 };
    for field in open(record, Kind::Tally, key)? {
        match field? {
            (DAY, value) => tally.day = u64::from_le_bytes(exactly(DAY, value)?),
            (COUNT, value) => tally.count = u64::from_le_bytes(exactly(COUNT, value)?),
            (tag, _) => unknown(tag)?,
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_comes_back_as_it_was() {
        let tally = Tally { name: "next-hop".into(), day: 20_779, count: 7 };
        let record = encode(&tally);
        assert_eq!(decode(&record, b"next-hop"), Ok(tally));
        assert!(decode(&record, b"other").is_err());
    }
}
