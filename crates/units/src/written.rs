//! Quantities as they stand in settings: texts, in quotes.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// Reads a quantity. A number alone lacks its unit and is refused in words that show one: `what` says what it should be,
/// such as "a size", and `unit` is one that may stand behind the number.
pub(crate) fn read<'de, T, D>(
    from: D,
    what: &'static str,
    unit: &'static str,
) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    // Of `deserialize_str` JSON would make its own complaint.
    from.deserialize_any(Written { what, unit, of: PhantomData })
}

struct Written<T> {
    what: &'static str,
    unit: &'static str,
    of: PhantomData<T>,
}

impl<T> Written<T> {
    fn bare<E: Error>(&self, number: impl fmt::Display) -> E {
        let Self { what, unit, .. } = self;
        E::custom(format_args!(
            "{number} lacks its unit: write {what} in quotes, such as \"{number}{unit}\""
        ))
    }
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} in quotes, such as \"10{}\"", self.what, self.unit)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Err(self.bare(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Err(self.bare(number))
    }
}

#[cfg(test)]
mod tests {
    use crate::{ByteSize, Rate, Span};

    #[track_caller]
    fn check<T: serde::de::DeserializeOwned>(json: &str, want: &str) {
        let said = serde_json::from_str::<T>(json).err().map(|error| error.to_string());
        let said = said.unwrap_or_default();
        assert!(said.starts_with(want), "{said}");
    }

    #[test]
    fn what_lacks_its_unit_is_shown_with_one() {
        check::<ByteSize>("64", "64 lacks its unit: write a size in quotes, such as \"64MiB\"");
        check::<Span>("5", "5 lacks its unit: write a time in quotes, such as \"5s\"");
        check::<Rate>("9", "9 lacks its unit: write a rate in quotes, such as \"9/1m\"");
        check::<Rate<ByteSize>>(
            "9",
            "9 lacks its unit: write a rate in quotes, such as \"9MiB/1m\"",
        );
        check::<Span>(
            "true",
            "invalid type: boolean `true`, expected a time in quotes, such as \"10s\"",
        );
        check::<ByteSize>("\"x\"", "`x` is not a size");
    }
}
