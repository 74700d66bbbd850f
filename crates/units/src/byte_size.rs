//! Sizes in octets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::written;

/// A size such as `25MiB`: a whole number and `B`, `KiB`, `MiB`, `GiB` or `TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

/// The text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size: write a whole number and B, KiB, MiB, GiB or TiB, such as \"25MiB\"")]
pub struct ByteSizeError(String);

const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl ByteSize {
    /// A size of `octets`.
    pub const fn octets(octets: u64) -> Self {
        Self(octets)
    }

    /// A size of `count` KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// A size of `count` MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The size in octets.
    pub const fn as_octets(self) -> u64 {
        self.0
    }

    /// The size as memory measures it; the largest there is, if it does not fit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let wrong = || ByteSizeError(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let count: u64 = count.parse().map_err(|_| wrong())?;
        let (_, shift) =
            UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(wrong)?;
        count.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    /// With the largest unit that divides it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |shift: &u32| self.0 != 0 && self.0.trailing_zeros() >= *shift;
        let (name, shift) = UNITS.iter().find(|(_, shift)| fits(shift)).unwrap_or(&("B", 0));
        write!(out, "{}{name}", self.0 >> shift)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        written::read(from, "a size", "MiB")
    }
}

impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_print_as_written() {
        for (text, octets) in
            [("0B", 0), ("1000B", 1000), ("64KiB", 65536), ("25MiB", 25 << 20), ("2TiB", 2 << 40)]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.as_octets(), size.to_string()), (octets, text.to_owned()));
        }
        assert_eq!("25 MiB".parse(), Ok(ByteSize::mib(25)));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "25",
            "MiB",
            "25MB",
            "-1B",
            "1.5GiB",
            "99999999999999999999B",
            "18446744073709551615KiB",
            "é",
        ] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }
}
