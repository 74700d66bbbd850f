//! Signed texts in local parts: letters and digits of one case, so that hosts which change the case do no harm.

use std::fmt;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

/// Digits of RFC 4648 §6, in lower case.
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const SECRET_OCTETS_MIN: usize = 16;

/// What tokens are signed with: the first secret signs, all of them verify, so that one can be replaced.
#[derive(Clone)]
pub(crate) struct Secrets(Vec<Key>);

impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} secrets", self.0.len())
    }
}

/// The secrets cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret for signed addresses is missing or shorter than 16 octets; make one with `openssl rand -base64 32`"
)]
pub struct SecretError;

impl Secrets {
    /// Takes secrets, at least one, each of 16 octets or more.
    pub(crate) fn new<S: AsRef<[u8]>>(secrets: &[S]) -> Result<Self, SecretError> {
        let is_short = |secret: &S| secret.as_ref().len() < SECRET_OCTETS_MIN;
        if secrets.is_empty() || secrets.iter().any(is_short) {
            return Err(SecretError);
        }
        Ok(Self(secrets.iter().map(|secret| Key::new(HMAC_SHA256, secret.as_ref())).collect()))
    }

    /// A mark of `octets` on `text`, for the purpose `of`.
    pub(crate) fn mark(&self, of: &str, text: &[u8], octets: usize) -> Vec<u8> {
        self.0.first().map(|key| mark(key, of, text, octets)).unwrap_or_default()
    }

    /// Whether `found` is a mark of one of the secrets on `text`.
    pub(crate) fn is_mark(&self, of: &str, text: &[u8], found: &[u8]) -> bool {
        let is_equal = |key: &Key| {
            let want = mark(key, of, text, found.len());
            aws_lc_rs::constant_time::verify_slices_are_equal(&want, found).is_ok()
        };
        !found.is_empty() && self.0.iter().any(is_equal)
    }
}

fn mark(key: &Key, of: &str, text: &[u8], octets: usize) -> Vec<u8> {
    let whole = sign(key, &[of.as_bytes(), b":", text].concat());
    whole.as_ref().iter().copied().take(octets).collect()
}

/// Octets as letters and digits, without padding.
pub(crate) fn base32(octets: &[u8]) -> String {
    let (mut text, mut bits, mut held) = (String::new(), 0_u32, 0_u32);
    for octet in octets {
        held = (held << 8) | u32::from(*octet);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(digit(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(digit(held << (5 - bits)));
    }
    text
}

/// One digit for the lowest five bits.
pub(crate) fn digit(value: u32) -> char {
    DIGITS.get((value & 31) as usize).map_or('a', |digit| char::from(*digit))
}

/// The value of a digit of either case.
pub(crate) fn digit_value(digit: u8) -> Option<u32> {
    let digit = digit.to_ascii_lowercase();
    DIGITS.iter().zip(0..).find(|(known, _)| **known == digit).map(|(_, value)| value)
}

/// What [`base32`] was given; none if `text` is nothing of the kind.
pub(crate) fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut octets, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for byte in text.bytes() {
        held = (held << 5) | digit_value(byte)?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            octets.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    // Left-over bits are zero, so that one value has one text.
    (held == 0 && bits < 5).then_some(octets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_have_a_length() {
        assert_eq!(Secrets::new::<&[u8]>(&[]).unwrap_err(), SecretError);
        assert_eq!(Secrets::new(&[b"short"]).unwrap_err(), SecretError);
        let secrets = Secrets::new(&[b"0123456789abcdef"]).unwrap();
        assert_eq!(format!("{secrets:?}"), "1 secrets");
        assert!(!secrets.is_mark("a", b"text", b""));
    }

    #[test]
    fn a_secret_can_be_replaced() {
        let old = Secrets::new(&[b"0123456789abcdef"]).unwrap();
        let both = Secrets::new(&[b"fedcba9876543210", b"0123456789abcdef"]).unwrap();
        let mark = old.mark("a", b"text", 8);
        assert!(both.is_mark("a", b"text", &mark));
        assert!(!both.is_mark("b", b"text", &mark) && !both.is_mark("a", b"texts", &mark));
        assert!(!old.is_mark("a", b"text", &both.mark("a", b"text", 8)));
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = base32(&octets);
            prop_assert_eq!(from_base32(&text), Some(octets.clone()));
            prop_assert_eq!(from_base32(&text.to_uppercase()), Some(octets));
        }

        #[test]
        fn one_value_has_one_text(text in "[a-z2-7]{0,12}") {
            if let Some(octets) = from_base32(&text) {
                prop_assert_eq!(base32(&octets), text);
            }
        }
    }
}
