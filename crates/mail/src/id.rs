//! Message ids.

use std::fmt;
use std::str::FromStr;

/// A message's key in the spool and its name in logs, headers and commands.
///
/// 48 bits of Unix milliseconds, then 80 bits that differ, so ids sort by age. Written as 26
/// letters and digits (Crockford's base 32, lower case), which is also the `id` in `Received`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(u128);

/// Digits in Crockford's order: no `i`, `l`, `o`, `u`.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_OCTETS: usize = 26;
const RANDOM_BITS: u32 = 80;

/// The text is not a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message id has 26 letters and digits, such as 06fz3k8q4r5s6t7v8w9x0y1z2a")]
pub struct IdError;

impl MessageId {
    /// The id for a message received `unix_millis` after 1970; only 80 bits of `random` count.
    pub const fn new(unix_millis: u64, random: u128) -> Self {
        let time = (unix_millis as u128) << RANDOM_BITS;
        Self(time | (random & ((1 << RANDOM_BITS) - 1)))
    }

    /// The id whose key is `bytes`.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The key: 16 octets that sort as the ids do.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// When the id was made, in milliseconds since 1970.
    pub const fn unix_millis(self) -> u64 {
        (self.0 >> RANDOM_BITS) as u64
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; TEXT_OCTETS];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            *place = DIGITS.get((rest & 31) as usize).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        out.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let first_is_small =
            text.as_bytes().first().is_some_and(|byte| (b'0'..=b'7').contains(byte));
        if text.len() != TEXT_OCTETS || !first_is_small {
            return Err(IdError);
        }
        text.bytes().try_fold(Self(0), |id, byte| {
            let byte = byte.to_ascii_lowercase();
            let digit = DIGITS.iter().position(|digit| *digit == byte).ok_or(IdError)?;
            Ok(Self((id.0 << 5) | digit as u128))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_key_come_back() {
        for id in
            [MessageId(0), MessageId(u128::MAX), MessageId::new(1_795_286_760_007, 0x00ab_cdef)]
        {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
            assert_eq!(MessageId::from_bytes(id.to_bytes()), id);
        }
        assert_eq!(MessageId::new(77, u128::MAX).unix_millis(), 77);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "0",
            "8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "uuuuuuuuuuuuuuuuuuuuuuuuuu",
            "../../../../../../../../etc",
        ] {
            assert_eq!(bad.parse::<MessageId>(), Err(IdError), "{bad}");
        }
    }
}
