//! Enhanced status codes.

use std::fmt;
use std::str::FromStr;

/// An enhanced status code such as `4.3.1`: class, subject, detail.
///
/// The class is 2, 4 or 5; subject and detail are at most three digits. RFC 3463 §2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnhancedStatus {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedStatus {
    /// What filters say of a message that does not go on now. What the relay and a host cannot agree on has other details of
    /// this subject (RFC 3463 §3.8).
    pub const FILTERED: Self = Self::new(4, 7, 1);

    /// Makes a code from parts that are known to be in range.
    ///
    /// # Panics
    /// When a part is out of range; in a constant this fails the build.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        assert!(matches!(class, 2 | 4 | 5) && subject < 1000 && detail < 1000);
        Self { class, subject, detail }
    }

    /// 2 (done), 4 (try again) or 5 (never).
    pub const fn class(self) -> u8 {
        self.class
    }

    /// What it is about (RFC 3463 §3.1).
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// Whether a later try may end otherwise.
    pub const fn is_transient(self) -> bool {
        self.class == 4
    }
}

impl FromStr for EnhancedStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.as_bytes().split(|byte| *byte == b'.');
        let mut number = |digits_max: usize| -> Result<u16, ()> {
            let part = parts.next().filter(|it| (1..=digits_max).contains(&it.len())).ok_or(())?;
            let with = |number: u16, byte: &u8| {
                byte.is_ascii_digit().then(|| number * 10 + u16::from(byte - b'0'))
            };
            part.iter().try_fold(0, with).ok_or(())
        };
        let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
        match (parts.next(), u8::try_from(class)) {
            (None, Ok(class @ (2 | 4 | 5))) => Ok(Self { class, subject, detail }),
            _ => Err(()),
        }
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl fmt::Debug for EnhancedStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_codes_parse() {
        for good in ["2.0.0", "4.3.1", "5.7.30", "5.999.999"] {
            assert_eq!(good.parse::<EnhancedStatus>().unwrap().to_string(), good);
        }
        for bad in ["", "2", "2.0", "3.0.0", "5.1.1.1", "5.1000.0", "5..1", "5.+1.1", "25.1.1"] {
            assert!(bad.parse::<EnhancedStatus>().is_err(), "{bad}");
        }
    }
}
