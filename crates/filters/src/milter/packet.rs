//! Packets: four octets of length, one that says what it is, and what belongs to it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::AskError;

/// No packet that a milter sends is larger.
pub(crate) const PACKET_OCTETS_MAX: usize = 256 << 10;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) kind: u8,
    pub(crate) content: Bytes,
}

/// Octets that came, until they are packets.
#[derive(Debug, Default)]
pub(crate) struct Inbox(BytesMut);

impl Inbox {
    /// Where the next octets go; holds at most one packet and what came with its end.
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// The next packet, if all of it is there. After an error the connection is of no use.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, AskError> {
        let Some(length) = self.0.first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if !(1..=PACKET_OCTETS_MAX).contains(&length) {
            return Err(AskError::protocol(format!("a packet of {length} octets")));
        }
        if self.0.len() < length + 4 {
            return Ok(None);
        }
        self.0.advance(4);
        let mut content = self.0.split_to(length).freeze();
        let kind = content.get_u8();
        if self.0.is_empty() {
            // Nothing that was large is kept while nothing is said.
            self.0 = BytesMut::new();
        }
        Ok(Some(Packet { kind, content }))
    }
}

/// Writes a packet.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.put_u32(u32::try_from(content.len() + 1).unwrap_or(u32::MAX));
    out.put_u8(kind);
    out.put_slice(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Packet>, String> {
        let (mut inbox, mut packets) = (Inbox::default(), Vec::new());
        for piece in pieces {
            inbox.buffer().extend_from_slice(piece);
            while let Some(packet) = inbox.next().map_err(|error| error.to_string())? {
                packets.push(packet);
            }
        }
        Ok(packets)
    }

    #[test]
    fn lengths_are_bounded() {
        for bad in [[0, 0, 0, 0], [0, 4, 0, 1], [255; 4]] {
            assert!(read(&[&bad]).is_err(), "{bad:?}");
        }
        assert_eq!(read(&[&[0, 4, 0, 0, b'c']]), Ok(vec![]));
        assert_eq!(read(&[&[0, 0, 0, 1, b'c']]).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            packets in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..6),
            cut in 0_usize..99
        ) {
            let mut bytes = Vec::new();
            for (kind, content) in &packets {
                write(&mut bytes, *kind, content);
            }
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let found = read(&[&bytes]).unwrap();
            prop_assert_eq!(read(&[head, tail]).unwrap(), found.clone());
            prop_assert_eq!(read(&single).unwrap(), found.clone());
            let found: Vec<_> = found.into_iter().map(|it| (it.kind, it.content.to_vec())).collect();
            prop_assert_eq!(found, packets);
        }

        #[test]
        fn anything_cut_anywhere_gives_the_same(bytes in prop::collection::vec(0_u8..6, 0..60), cut in 0_usize..60) {
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(read(&[head, tail]), read(&[&bytes]));
        }
    }
}
