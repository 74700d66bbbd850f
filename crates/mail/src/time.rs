//! Wall-clock time as a value.

use std::fmt;
use std::time::Duration;

/// A moment of wall-clock time, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(u64);

const DAY_MILLIS: u64 = 86_400_000;

/// 9999-01-01.
const LAST_YEAR_MILLIS: u64 = 253_370_764_800_000;

impl Timestamp {
    /// Until when is held what an operator must release: 9999-12-31, later than anybody may ask for.
    pub const BY_HAND: Self = Self(LAST_YEAR_MILLIS + 364 * DAY_MILLIS);

    /// Whether it stands for [`Self::BY_HAND`], also where that was counted by a clock that was set meanwhile.
    pub const fn is_by_hand(self) -> bool {
        self.0 >= LAST_YEAR_MILLIS
    }

    /// The moment `millis` milliseconds after 1970-01-01 UTC.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The day in UTC, counted from 1970-01-01.
    pub const fn day(self) -> u64 {
        self.0 / DAY_MILLIS
    }

    /// When such a [`day`](Self::day) begins.
    pub const fn of_day(day: u64) -> Self {
        Self(day.saturating_mul(DAY_MILLIS))
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

    /// To the second, in the form of RFC 3339 §5.6: `2026-11-21T18:46:00Z`.
    pub fn rfc3339(self) -> String {
        format!("{:.0}", self.jiff())
    }

    /// Reads a `date-time` of RFC 3339 §5.6, whatever its offset; none for other texts and for times before 1970.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        // More forms than this are read below.
        const FORM: &str = "dddd-dd-ddTdd:dd:dd";
        let fits = |(place, byte): (u8, u8)| match place {
            b'd' => byte.is_ascii_digit(),
            _ => place.eq_ignore_ascii_case(&byte),
        };
        let (head, tail) = text.split_at_checked(FORM.len())?;
        let (fraction, offset) = tail.split_at_checked(tail.find(['Z', 'z', '+', '-'])?)?;
        let digits = fraction.strip_prefix('.');
        let is_fraction = |text: &str| {
            (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_offset = match offset.as_bytes() {
            [b'Z' | b'z'] => true,
            [b'+' | b'-', hours @ .., b':', ten, one] => {
                hours.len() == 2 && hours.iter().chain([ten, one]).all(u8::is_ascii_digit)
            }
            _ => false,
        };
        let is_form = FORM.bytes().zip(head.bytes()).all(fits)
            && is_offset
            && (fraction.is_empty() || digits.is_some_and(is_fraction));
        let millis = is_form.then(|| text.parse::<jiff::Timestamp>().ok())??.as_millisecond();
        u64::try_from(millis).ok().map(Self)
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
    fn what_an_operator_must_release_waits_for_the_last_day() {
        // Spools hold it.
        assert_eq!(Timestamp::BY_HAND.as_millis(), 253_402_214_400_000);
        let year = Timestamp::from_rfc3339("9999-01-01T00:00:00Z").unwrap();
        assert!(Timestamp::BY_HAND.is_by_hand() && year.is_by_hand());
        assert!(!Timestamp::from_millis(year.as_millis() - 1).is_by_hand());
    }

    #[test]
    fn rfc_3339_is_read_and_nothing_else() {
        let at = Timestamp::from_millis(1_795_286_760_007);
        assert_eq!(at.rfc3339(), "2026-11-21T18:46:00Z");
        for (text, millis) in [
            ("2026-11-21T18:46:00Z", 1_795_286_760_000),
            ("2026-11-21t18:46:00.007z", 1_795_286_760_007),
            ("2026-11-21T20:16:00+01:30", 1_795_286_760_000),
            ("2026-11-21T18:46:00-00:00", 1_795_286_760_000),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(
                Timestamp::from_rfc3339(text).map(Timestamp::as_millis),
                Some(millis),
                "{text}"
            );
        }
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21T18:46:00",
            "2026-11-21 18:46:00Z",
            "2026-11-21T18:46Z",
            "2026-11-21T18:46:00.Z",
            "2026-11-21T18:46:00+01",
            "2026-11-21T18:46:00+0130",
            "2026-13-21T18:46:00Z",
            "2026-11-21T25:46:00Z",
            "2026-11-21T18:46:00Z[UTC]",
            "1969-12-31T23:59:59Z",
            "+02026-11-21T18:46:00Z",
            "2026-11-21T18:46:00\u{e9}Z",
        ] {
            assert_eq!(Timestamp::from_rfc3339(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::from_millis(u64::MAX).plus(Duration::MAX).as_millis(), u64::MAX);
        assert_eq!(Timestamp::from_millis(1).since(Timestamp::from_millis(9)), Duration::ZERO);
        assert!(!Timestamp::from_millis(u64::MAX).rfc5322().is_empty());
    }
}
