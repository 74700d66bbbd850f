//! So much in a span of time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::byte_size::ByteSize;
use crate::span::Span;
use crate::written;

/// So many, or so many octets, in a span of time: `100/1m`, `500MiB/1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate<T = u64> {
    amount: T,
    window: Span,
}

/// The text is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate: write an amount, `/` and a time, such as \"{example}\"", example = .1)]
pub struct RateError(String, &'static str);

/// What a rate counts.
pub trait Amount: Copy + FromStr + fmt::Display {
    /// A rate that may serve as an example.
    const EXAMPLE: &'static str;
    /// What may stand behind a number to make it a rate.
    const UNIT: &'static str;

    /// How many it is.
    fn units(self) -> u64;
}

impl Amount for u64 {
    const EXAMPLE: &'static str = "100/1m";
    const UNIT: &'static str = "/1m";

    fn units(self) -> u64 {
        self
    }
}

impl Amount for ByteSize {
    const EXAMPLE: &'static str = "500MiB/1h";
    const UNIT: &'static str = "MiB/1m";

    fn units(self) -> u64 {
        self.as_octets()
    }
}

impl<T: Amount> Rate<T> {
    /// A rate of `amount` in each `window`; none if either is nothing.
    pub fn new(amount: T, window: Span) -> Option<Self> {
        (amount.units() > 0 && !window.as_duration().is_zero()).then_some(Self { amount, window })
    }

    /// How many or how many octets; never 0.
    pub fn units(self) -> u64 {
        self.amount.units()
    }

    /// In which time; never 0.
    pub const fn window(self) -> Span {
        self.window
    }
}

impl<T: Amount> FromStr for Rate<T> {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(amount, window)| amount.parse().ok().zip(window.parse().ok()));
        let rate = parts.and_then(|(amount, window)| Self::new(amount, window));
        rate.ok_or_else(|| RateError(text.to_owned(), T::EXAMPLE))
    }
}

impl<T: Amount> fmt::Display for Rate<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.amount, self.window)
    }
}

impl<T: Amount> Serialize for Rate<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de, T: Amount> Deserialize<'de> for Rate<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        written::read(from, "a rate", T::UNIT)
    }
}

impl<T: Amount> schemars::JsonSchema for Rate<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+ ?([KMGT]i)?B?/[0-9a-z]+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_print_as_written() {
        let rate: Rate = "100/1m".parse().unwrap();
        assert_eq!((rate.units(), rate.window()), (100, Span::minutes(1)));
        assert_eq!(rate.to_string(), "100/1m");
        let rate: Rate<ByteSize> = "500MiB/1h30m".parse().unwrap();
        assert_eq!((rate.units(), rate.to_string()), (500 << 20, "500MiB/1h30m".to_owned()));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "100", "100/", "/1m", "0/1m", "1/0s", "-1/1m", "1/1", "1/m", "1MiB/1m"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
        assert!("100/1m".parse::<Rate<ByteSize>>().is_err());
        let words = "x".parse::<Rate>().unwrap_err().to_string();
        assert!(words.ends_with("such as \"100/1m\""), "{words}");
    }
}
