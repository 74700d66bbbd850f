//! Wall-clock time as a value.

use std::fmt;
use std::time::Duration;

/// A moment of wall-clock time, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `millis` milliseconds after 1970-01-01 UTC.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `wait` later, or the latest that can be written.
    #[must_use]
    pub fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The form of a `Date` or `Received` header, in UTC: `Sat, 21 Nov 2026 18:46:00 +0000`.
    ///
    /// RFC 5322 §3.3. A moment after the year 9999 reads as the last of that year.
    pub fn rfc5322(self) -> String {
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        printer.zoned_to_string(&self.jiff().to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default()
    }

    fn jiff(self) -> jiff::Timestamp {
        i64::try_from(self.0)
            .ok()
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
            .unwrap_or(jiff::Timestamp::MAX)
    }
}

impl fmt::Display for Timestamp {
    /// ISO 8601 in UTC with milliseconds: `2026-11-21T18:46:00.000Z`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.3}", self.jiff())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_utc() {
        let at = Timestamp::from_millis(1_795_286_760_007);
        assert_eq!(at.rfc5322(), "Sat, 21 Nov 2026 18:46:00 +0000");
        assert_eq!(at.to_string(), "2026-11-21T18:46:00.007Z");
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::from_millis(u64::MAX).plus(Duration::MAX).as_millis(), u64::MAX);
        assert_eq!(Timestamp::from_millis(1).since(Timestamp::from_millis(9)), Duration::ZERO);
        assert!(!Timestamp::from_millis(u64::MAX).rfc5322().is_empty());
    }
}
