//! Signed return paths (VERP): from a bounce's address to the message and the recipient it is about.

use mail::{MessageId, Timestamp};
use std::time::Duration;

use crate::token::{Secrets, base32, from_base32};

const MARK_OCTETS: usize = 8;
const PURPOSE: &str = "verp";

/// Makes and reads the local parts of return paths.
#[derive(Clone, Debug)]
pub struct Verp {
    secrets: Secrets,
    prefix: String,
    age_max: Duration,
}

/// What a return path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// The message.
    pub message: MessageId,
    /// Which of its recipients.
    pub recipient: u32,
}

/// Why an address stands for no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is some other address.
    #[error("the address is no signed return path")]
    NotOurs,
    /// It looks like one, but nobody here made it.
    #[error("the signed return path is forged")]
    Forged,
    /// It was made too long ago.
    #[error("the signed return path is too old")]
    Expired,
}

impl Verp {
    /// Sets up return paths that begin with `prefix` and `-`, such as `b-…`, and are good for `age_max`.
    pub fn new(secrets: Secrets, prefix: &str, age_max: Duration) -> Self {
        Self { secrets, prefix: prefix.to_ascii_lowercase(), age_max }
    }

    /// The local part for a recipient of a message: the prefix, `-` and 45 letters and digits.
    pub fn local_part(&self, of: Returned) -> String {
        let payload = [&of.message.to_bytes()[..], &of.recipient.to_be_bytes()].concat();
        let mark = self.secrets.mark(PURPOSE, &payload, MARK_OCTETS);
        format!("{}-{}", self.prefix, base32(&[payload, mark].concat()))
    }

    /// What a local part stands for, whatever case its letters came back in.
    pub fn read(&self, local_part: &str, now: Timestamp) -> Result<Returned, TokenError> {
        let head = local_part.get(..self.prefix.len()).ok_or(TokenError::NotOurs)?;
        let tail = local_part.get(self.prefix.len()..).and_then(|tail| tail.strip_prefix('-'));
        let text = tail.filter(|_| head.eq_ignore_ascii_case(&self.prefix));
        let octets = text.and_then(from_base32).ok_or(TokenError::NotOurs)?;
        let (payload, mark) =
            octets.split_last_chunk::<MARK_OCTETS>().ok_or(TokenError::NotOurs)?;
        let (message, recipient) = payload.split_first_chunk::<16>().ok_or(TokenError::NotOurs)?;
        let recipient = recipient.try_into().map_err(|_| TokenError::NotOurs)?;
        if !self.secrets.is_mark(PURPOSE, payload, mark) {
            return Err(TokenError::Forged);
        }
        let message = MessageId::from_bytes(*message);
        if now.since(Timestamp::from_millis(message.unix_millis())) > self.age_max {
            return Err(TokenError::Expired);
        }
        Ok(Returned { message, recipient: u32::from_be_bytes(recipient) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounce_finds_its_message() {
        let verp = |secret: &[u8; 16]| {
            Verp::new(Secrets::new(&[secret]).unwrap(), "b", Duration::from_hours(24))
        };
        let ours = verp(b"0123456789abcdef");
        let of = Returned { message: MessageId::new(1000, 77), recipient: 3 };
        let text = ours.local_part(of);
        assert_eq!(text.len(), 2 + 45, "{text}");
        let now = Timestamp::from_millis(2000);
        assert_eq!(ours.read(&text, now), Ok(of));
        assert_eq!(ours.read(&text.to_uppercase(), now), Ok(of));
        let late = Timestamp::from_millis(2000 + 24 * 3_600_000);
        assert_eq!(ours.read(&text, late), Err(TokenError::Expired));
        assert_eq!(verp(b"fedcba9876543210").read(&text, now), Err(TokenError::Forged));
        let flipped = text.replacen("b-a", "b-b", 1);
        assert_eq!(ours.read(&flipped, now), Err(TokenError::Forged));
        for other in ["", "b", "b-", "postmaster", "b-hello", "c-aaaa", "\u{e9}-x", "b\u{e9}"] {
            assert_eq!(ours.read(other, now), Err(TokenError::NotOurs), "{other}");
        }
    }
}
