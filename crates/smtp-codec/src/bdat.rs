//! The payload of BDAT.

use bytes::Bytes;

/// Counts out the octets of one chunk; there is no stuffing (RFC 3030 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BdatDecoder {
    octets_left: u64,
}

impl BdatDecoder {
    /// A decoder for the chunk behind a `BDAT octets` line.
    pub const fn new(octets: u64) -> Self {
        Self { octets_left: octets }
    }

    /// Takes what `input` holds of the chunk; none if `input` is empty or the chunk is whole.
    pub fn decode(&mut self, input: &mut Bytes) -> Option<Bytes> {
        let octets = usize::try_from(self.octets_left).unwrap_or(usize::MAX).min(input.len());
        self.octets_left =
            self.octets_left.saturating_sub(u64::try_from(octets).unwrap_or(u64::MAX));
        (octets > 0).then(|| input.split_to(octets))
    }

    /// Whether the chunk is whole.
    pub const fn is_whole(self) -> bool {
        self.octets_left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_counted_not_read() {
        let mut decoder = BdatDecoder::new(7);
        let mut input = Bytes::from_static(b"\r\n.\r");
        assert_eq!(decoder.decode(&mut input).unwrap(), "\r\n.\r");
        assert_eq!(decoder.decode(&mut input), None);
        assert!(!decoder.is_whole());
        input = Bytes::from_static(b"\nabNOOP");
        assert_eq!(decoder.decode(&mut input).unwrap(), "\nab");
        assert!(decoder.is_whole());
        assert_eq!(decoder.decode(&mut input), None);
        assert_eq!(input, "NOOP");
    }

    #[test]
    fn an_empty_chunk_is_whole_at_once() {
        let mut decoder = BdatDecoder::new(0);
        assert!(decoder.is_whole());
        assert_eq!(decoder.decode(&mut Bytes::from_static(b"x")), None);
    }
}
