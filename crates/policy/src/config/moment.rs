//! Moments as an operator writes them.

use std::fmt;

use mail::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A day such as `2027-01-31`, which begins at 00:00 UTC, or a moment such as `2027-01-31T18:00:00+01:00` (RFC 3339 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Timestamp);

impl Moment {
    /// Reads a day or a moment; none for other texts.
    pub fn parse(text: &str) -> Option<Self> {
        Timestamp::from_rfc3339(text)
            .or_else(|| Timestamp::from_rfc3339(&format!("{text}T00:00:00Z")))
            .map(Self)
    }

    /// The moment as a value.
    pub const fn at(self) -> Timestamp {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.rfc3339())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "`{text}` is no moment: write a day such as \"2027-01-31\" or \"2027-01-31T18:00:00Z\""
            ))
        })
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_utc() {
        for (text, want) in [
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("2027-01-31T18:00:00+01:00", "2027-01-31T17:00:00Z"),
        ] {
            assert_eq!(Moment::parse(text).unwrap().to_string(), want);
        }
        for bad in ["", "2027-13-01", "tomorrow", "2027-01-31T18:00"] {
            assert_eq!(Moment::parse(bad), None, "{bad}");
        }
    }
}
