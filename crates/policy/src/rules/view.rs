//! A message as rules see it: each part is read once, when the first rule asks for it.

use std::sync::OnceLock;

use mail::Timestamp;
use mail::header::{Field, Header};

use crate::config::{SenderAddressLocation, Weekday};
use crate::rules::bits::Bits;
use crate::rules::canonical::Canonical;
use crate::rules::facts::Facts;
use crate::rules::header::{self, Mailbox, decoded};
use crate::rules::words::{Needle, Scanner};

/// The facts of one message and what was read of them so far.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) facts: &'a Facts<'a>,
    scanners: &'a [Scanner],
    sender: Canonical,
    fields: OnceLock<Vec<Field<'a>>>,
    from: OnceLock<Vec<Mailbox>>,
    recipients: OnceLock<Vec<Canonical>>,
    hits: Vec<OnceLock<Bits>>,
}

impl<'a> View<'a> {
    /// Begins with nothing read.
    pub(crate) fn new(facts: &'a Facts<'a>, scanners: &'a [Scanner]) -> Self {
        Self {
            facts,
            scanners,
            sender: facts.sender.address().map_or_else(Canonical::null, Canonical::of),
            fields: OnceLock::new(),
            from: OnceLock::new(),
            recipients: OnceLock::new(),
            hits: scanners.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// The fields of the header.
    pub(crate) fn fields(&self) -> &[Field<'a>] {
        self.fields.get_or_init(|| Header::read(self.facts.header).fields)
    }

    /// The mailboxes of `From`.
    pub(crate) fn from(&self) -> &[Mailbox] {
        self.from.get_or_init(|| header::from(self.fields()))
    }

    /// The sender of the envelope.
    pub(crate) const fn sender(&self) -> &Canonical {
        &self.sender
    }

    /// The senders that a rule looks at.
    pub(crate) fn senders(
        &self,
        location: SenderAddressLocation,
    ) -> impl Iterator<Item = &Canonical> {
        let envelope = (location != SenderAddressLocation::Header).then_some(&self.sender);
        let from: &[Mailbox] =
            if location == SenderAddressLocation::Envelope { &[] } else { self.from() };
        envelope.into_iter().chain(from.iter().map(|mailbox| &mailbox.canonical))
    }

    /// The recipients, in their order.
    pub(crate) fn recipients(&self) -> &[Canonical] {
        let canonical = || self.facts.recipients.iter().map(|it| Canonical::of(&it.address));
        self.recipients.get_or_init(|| canonical().collect())
    }

    /// What of a scanner's needles is in the header.
    pub(crate) fn hits(&self, scanner: usize) -> Option<&Bits> {
        let (hits, scanner) = (self.hits.get(scanner)?, self.scanners.get(scanner)?);
        Some(hits.get_or_init(|| scanner.hits(self.fields())))
    }

    /// Whether a word or a pattern is in the header.
    pub(crate) fn has(&self, needle: Needle) -> bool {
        self.hits(needle.scanner).is_some_and(|hits| hits.has(needle.number))
    }

    /// The subject, decoded; that of the first field.
    pub(crate) fn subject(&self) -> String {
        let field = self.fields().iter().find(|field| field.is("subject"));
        field.map(|field| decoded(field).into_owned()).unwrap_or_default()
    }
}

/// The day of the week and the minute of the day, in UTC.
pub(crate) fn time_of_week(now: Timestamp) -> (Weekday, u16) {
    const MINUTES_PER_DAY: u64 = 24 * 60;
    /// 1970-01-01 was the Thursday of a week that begins with Monday.
    const FIRST_DAY: u64 = 3;
    let minutes = now.as_millis() / 60_000;
    let day = minutes / MINUTES_PER_DAY + FIRST_DAY;
    let day = usize::try_from(day % 7).ok().and_then(|day| Weekday::ALL.get(day));
    let minute = u16::try_from(minutes % MINUTES_PER_DAY).unwrap_or_default();
    (day.copied().unwrap_or(Weekday::Mon), minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_week_are_right() {
        for (text, want) in [
            ("2026-11-21T18:46:59Z", (Weekday::Sat, 18 * 60 + 46)),
            ("1970-01-01T00:00:00Z", (Weekday::Thu, 0)),
            ("2027-02-01T23:59:00Z", (Weekday::Mon, 1439)),
        ] {
            assert_eq!(time_of_week(Timestamp::from_rfc3339(text).unwrap()), want, "{text}");
        }
    }
}
