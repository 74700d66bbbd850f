//! A piece of content, in the database or in a segment file: a header that names its message, then
//! the octets.
//!
//! ```text
//! "CqX1" | message 16 | index u32 | octets u32 | CRC32C of the octets u32 | 0 u32 | CRC32C of the 36 octets before u32
//! ```
//! With the header a segment file can be checked, and content be rescued, without the database.

use mail::MessageId;

use crate::record::{RecordError, array};

/// Octets in front of the content.
pub(crate) const HEADER_OCTETS: usize = 40;
/// Most content in one extent.
pub(crate) const CONTENT_OCTETS_MAX: usize = 256 << 10;
const MAGIC: [u8; 4] = *b"CqX1";
const CRC_AT: usize = 36;

/// Where a piece of content stands in the segment files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The number of the segment file.
    pub(crate) segment: u64,
    /// Where its header begins.
    pub(crate) offset: u64,
    /// Octets of content behind the header.
    pub(crate) octets: u32,
    /// CRC32C of the content.
    pub(crate) crc: u32,
}

impl Extent {
    /// Octets it takes in the file, header included, before alignment.
    pub(crate) fn octets_framed(&self) -> u64 {
        u64::from(self.octets) + HEADER_OCTETS as u64
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: MessageId,
    pub(crate) index: u32,
    pub(crate) octets: u32,
    pub(crate) crc: u32,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_OCTETS] {
        let mut header = Vec::with_capacity(HEADER_OCTETS);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&self.id.to_bytes());
        for number in [self.index, self.octets, self.crc, 0] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&header);
        header.extend_from_slice(&crc.to_le_bytes());
        array(&header).unwrap_or([0; HEADER_OCTETS])
    }

    pub(crate) fn decode(frame: &[u8]) -> Result<Self, RecordError> {
        let header: [u8; HEADER_OCTETS] = array(frame).ok_or(RecordError::Short)?;
        let number = |at: usize| header.get(at..).and_then(array).map_or(0, u32::from_le_bytes);
        let is_sound = crc32c::crc32c(header.get(..CRC_AT).unwrap_or_default()) == number(CRC_AT);
        if !is_sound || !header.starts_with(&MAGIC) {
            return Err(RecordError::Checksum);
        }
        let id = header.get(4..).and_then(array).map(MessageId::from_bytes);
        let id = id.ok_or(RecordError::Short)?;
        Ok(Self { id, index: number(20), octets: number(24), crc: number(28) })
    }

    /// Checks a whole frame: that header and content are sound and belong to `id` at `index`.
    pub(crate) fn verify(frame: &[u8], id: MessageId, index: u32) -> Result<Self, RecordError> {
        let header = Self::decode(frame)?;
        if (header.id, header.index) != (id, index) {
            return Err(RecordError::Key);
        }
        let content = frame.get(HEADER_OCTETS..).unwrap_or_default();
        if content.len() as u64 != u64::from(header.octets) {
            return Err(RecordError::Short);
        }
        if crc32c::crc32c(content) != header.crc {
            return Err(RecordError::Checksum);
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (id, content) = (MessageId::new(7, 7), b"octets of content");
        let octets = u32::try_from(content.len()).unwrap();
        let header = Header { id, index: 3, octets, crc: crc32c::crc32c(content) };
        let frame = [&header.encode()[..], content].concat();
        assert_eq!(Header::verify(&frame, id, 3), Ok(header));
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::verify(&bad, id, 3).is_err(), "bit {bit}");
        }
        assert!(Header::verify(&frame, id, 2).is_err());
        assert!(Header::verify(&frame, MessageId::new(7, 8), 3).is_err());
        assert!(Header::verify(&frame[..frame.len() - 1], id, 3).is_err());
    }
}
