//! Spans of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::written;

/// A span of time such as `30s`, `5d` or `1h30m`: whole numbers with `ms`, `s`, `m`, `h`, `d`,
/// largest unit first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(Duration);

/// The text is not a span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a time span: write whole numbers with d, h, m, s or ms, such as \"30s\" or \"1h30m\""
)]
pub struct SpanError(String);

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Span {
    /// A span of `count` milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// A span of `count` seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// A span of `count` minutes.
    pub const fn minutes(count: u64) -> Self {
        Self(Duration::from_secs(count * 60))
    }

    /// A span of `count` hours.
    pub const fn hours(count: u64) -> Self {
        Self(Duration::from_secs(count * 3600))
    }

    /// The span as the standard library has it.
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let wrong = || SpanError(text.to_owned());
        let (mut rest, mut millis, mut units) = (text, 0_u64, UNITS.iter());
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (count, behind) = rest.split_at_checked(digits).ok_or_else(wrong)?;
            let letters = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, next) = behind.split_at_checked(letters).ok_or_else(wrong)?;
            let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let part = count.parse::<u64>().ok().and_then(|count| count.checked_mul(*factor));
            millis = part.and_then(|part| millis.checked_add(part)).ok_or_else(wrong)?;
            rest = next;
        }
        if text.is_empty() { Err(wrong()) } else { Ok(Self::millis(millis)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return out.write_str("0s");
        }
        for (name, factor) in UNITS {
            if millis >= factor {
                write!(out, "{}{name}", millis / factor)?;
                millis %= factor;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        written::read(from, "a time", "s")
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_print_as_written() {
        for (text, seconds) in
            [("0s", 0), ("30s", 30), ("1h30m", 5400), ("5d", 432_000), ("1d1h1m1s", 90_061)]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!((span, span.to_string()), (Span::seconds(seconds), text.to_owned()));
        }
        assert_eq!("250ms".parse(), Ok(Span::millis(250)));
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "1m30s");
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in
            ["", "5", "d", "5 d", "-5s", "1.5h", "1m1h", "5s5s", "5w", "99999999999999999999s", "é"]
        {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
