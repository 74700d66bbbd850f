//! The outer form of every record in the database: version, kind, checksum, tagged fields.
//!
//! ```text
//! version u8 | kind u8 | 0 u16 | CRC32C of all other octets u32 | fields
//! field: tag u16 | octets u32 | value            (all numbers little-endian)
//! ```
//! A reader passes over tags it does not know, so a later version may add fields; a field that must
//! not be passed over has a tag of [`CRITICAL`] or above.

pub(crate) mod aside;
pub(crate) mod directions;
pub(crate) mod envelope;
pub(crate) mod extent;
pub(crate) mod progress;
pub(crate) mod tally;
pub(crate) mod wishes;

const VERSION: u8 = 1;
const HEADER_OCTETS: usize = 8;
const CRC_AT: usize = 4;
/// From here on a reader that does not know the tag must not use the record.
pub(crate) const CRITICAL: u16 = 0x8000;
/// In every record: the key it was written under, so that a value under a wrong key is noticed.
const TAG_KEY: u16 = 0;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Envelope = 1,
    Progress = 2,
    Aside = 3,
    Tally = 4,
}

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("the record is cut short")]
    Short,
    #[error("the checksum does not match")]
    Checksum,
    #[error("the record has version {0}, this relay knows 1")]
    Version(u8),
    #[error("the record is of another kind")]
    Kind,
    #[error("the record was written under another key")]
    Key,
    #[error("field {0} is not known and may not be passed over")]
    Critical(u16),
    #[error("field {0} is missing or malformed")]
    Field(u16),
    #[error("the database cannot read it: {0}")]
    Engine(Box<str>),
}

/// Writes one record.
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn new(kind: Kind, key: &[u8]) -> Self {
        let mut octets = Vec::with_capacity(256);
        octets.extend_from_slice(&[VERSION, kind as u8, 0, 0, 0, 0, 0, 0]);
        let mut encoder = Self(octets);
        encoder.field(TAG_KEY, key);
        encoder
    }

    pub(crate) fn field(&mut self, tag: u16, value: &[u8]) {
        put_field(&mut self.0, tag, value);
    }

    /// Appends octets that may be no fields.
    pub(crate) fn raw(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let crc = checksum(&self.0);
        if let Some(place) = self.0.get_mut(CRC_AT..HEADER_OCTETS) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        self.0
    }
}

/// Appends a field; a value of 4 GiB or more cannot occur, and would be cut.
pub(crate) fn put_field(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let octets = u32::try_from(value.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&tag.to_le_bytes());
    out.extend_from_slice(&octets.to_le_bytes());
    out.extend_from_slice(value);
}

/// The checksum over all but its own place.
fn checksum(record: &[u8]) -> u32 {
    let head = record.get(..CRC_AT).unwrap_or_default();
    let body = record.get(HEADER_OCTETS..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(head), body)
}

/// Checks the outer form and gives the fields.
pub(crate) fn open<'a>(
    record: &'a [u8],
    kind: Kind,
    key: &[u8],
) -> Result<Fields<'a>, RecordError> {
    let header: [u8; HEADER_OCTETS] = array(record).ok_or(RecordError::Short)?;
    let [version, found, _, _, crc @ ..] = header;
    if checksum(record) != u32::from_le_bytes(crc) {
        return Err(RecordError::Checksum);
    }
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    if found != kind as u8 {
        return Err(RecordError::Kind);
    }
    let mut fields = Fields(record.get(HEADER_OCTETS..).unwrap_or_default());
    match fields.next().transpose()? {
        Some((TAG_KEY, value)) if value == key => Ok(fields),
        _ => Err(RecordError::Key),
    }
}

/// The fields of a record, in the order written.
#[derive(Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Fields inside a field.
    pub(crate) const fn nested(value: &'a [u8]) -> Self {
        Self(value)
    }

    fn split(&mut self) -> Option<(u16, &'a [u8])> {
        let tag = u16::from_le_bytes(array(self.0)?);
        let octets = u32::from_le_bytes(array(self.0.get(2..)?)?);
        let rest = self.0.get(6..)?;
        let (value, rest) = rest.split_at_checked(usize::try_from(octets).ok()?)?;
        self.0 = rest;
        Some((tag, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u16, &'a [u8]), RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.split();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(RecordError::Short))
    }
}

/// The first `N` octets.
pub(crate) fn array<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    octets.first_chunk::<N>().copied()
}

/// A field that holds exactly a number of `N` octets.
pub(crate) fn exactly<const N: usize>(tag: u16, value: &[u8]) -> Result<[u8; N], RecordError> {
    value.try_into().map_err(|_| RecordError::Field(tag))
}

/// A field that holds text.
pub(crate) fn text(tag: u16, value: &[u8]) -> Result<&str, RecordError> {
    std::str::from_utf8(value).map_err(|_| RecordError::Field(tag))
}

/// What to do with a tag that is not known here.
pub(crate) const fn unknown(tag: u16) -> Result<(), RecordError> {
    if tag >= CRITICAL { Err(RecordError::Critical(tag)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_is_told_apart_from_damage() {
        let mut record = Encoder::new(Kind::Envelope, b"key").finish();
        record[0] = 9;
        assert_eq!(open(&record, Kind::Envelope, b"key").err(), Some(RecordError::Checksum));
        let crc = checksum(&record);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(open(&record, Kind::Envelope, b"key").err(), Some(RecordError::Version(9)));
    }

    #[test]
    fn key_and_kind_must_fit() {
        let record = Encoder::new(Kind::Envelope, b"key").finish();
        assert!(open(&record, Kind::Envelope, b"key").is_ok());
        assert_eq!(open(&record, Kind::Envelope, b"kez").err(), Some(RecordError::Key));
        assert_eq!(open(&record, Kind::Progress, b"key").err(), Some(RecordError::Kind));
    }
}
