//! What has come by one inbound connector with limits, and whether more may.

use std::time::Duration;

use mail::{EnhancedStatus, Reply, Timestamp};
use policy::config::{InboundConnector, InboundRates};
use spool::Tally;

use crate::metrics::Limit;
use crate::rates::{Bucket, KINDS, Kind, seconds};

/// When there may be room again once what is under way has ended.
const SOON: Duration = Duration::from_secs(10);
/// What the key of a count begins with; those of outbound connectors are their names, which have no `/`.
pub(crate) const KEY: &str = "inbound/";

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) wall: Timestamp,
    /// In nanoseconds since the start; from 1 on, since 0 is what never was.
    pub(crate) nanos: u64,
}

/// What is counted by the day.
#[derive(Clone, Copy, Debug, Default)]
struct Daily {
    taken: u64,
    /// Of messages whose end has not come.
    under_way: u64,
}

/// What has come by one connector.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    /// In days since 1970.
    pub(crate) day: u64,
    messages: Daily,
    recipients: Daily,
    /// Connections that have begun a message.
    pub(crate) connections: u64,
    /// When each bucket is full again; in nanoseconds since the start.
    full_at: [u64; KINDS],
    /// The rates that these are of.
    rates: InboundRates,
}

impl Quota {
    /// Goes on from a count that was written down.
    pub(crate) fn restore(&mut self, kind: &str, tally: &Tally) {
        // Both counts are written in one write, so they are of the same day, unless one is not limited any more.
        if tally.day > self.day {
            *self = Self { day: tally.day, ..Self::default() };
        }
        if tally.day == self.day {
            match kind {
                "messages" => self.messages.taken = tally.count,
                "recipients" => self.recipients.taken = tally.count,
                _ => {}
            }
        }
    }

    /// Begins anew with each day, and with other rates.
    pub(crate) fn roll(&mut self, limits: &InboundConnector, now: Now) {
        if self.rates != limits.rates {
            (self.rates, self.full_at) = (limits.rates, [0; KINDS]);
        }
        let today = now.wall.day();
        if self.day != today {
            self.day = today;
            self.messages.taken = 0;
            self.recipients.taken = 0;
        }
    }

    /// One more message, or why not; after [`Self::roll`].
    pub(crate) fn take_message(
        &mut self,
        limits: &InboundConnector,
        now: Now,
    ) -> Result<(), (Limit, Reply)> {
        self.has_day(Kind::Messages, limits, now)?;
        self.has_rate(Kind::Octets, now)?;
        self.has_rate(Kind::Messages, now)?;
        self.count(Kind::Messages, (1, now.nanos));
        self.messages.under_way += 1;
        Ok(())
    }

    /// One more recipient, or why not; after [`Self::roll`].
    pub(crate) fn take_recipient(
        &mut self,
        limits: &InboundConnector,
        now: Now,
    ) -> Result<(), (Limit, Reply)> {
        self.has_day(Kind::Recipients, limits, now)?;
        self.has_rate(Kind::Recipients, now)?;
        self.count(Kind::Recipients, (1, now.nanos));
        self.recipients.under_way += 1;
        Ok(())
    }

    /// A message or a recipient was refused by another limit. What is under way ends with [`Self::end`].
    pub(crate) fn give_back(&mut self, kind: Kind) {
        if let Some((bucket, full_at)) =
            bucket(kind, &self.rates).zip(self.full_at.get_mut(kind.place()))
        {
            *full_at = full_at.saturating_sub(bucket.time(1));
        }
    }

    /// So many are under way no more.
    pub(crate) fn end(&mut self, messages: u64, recipients: u64) {
        self.messages.under_way = self.messages.under_way.saturating_sub(messages);
        self.recipients.under_way = self.recipients.under_way.saturating_sub(recipients);
    }

    /// A message with so many recipients is about to be written; what is to be written with it. After [`Self::roll`].
    pub(crate) fn taken(&mut self, limits: &InboundConnector, recipients: u64) -> Vec<Tally> {
        self.messages.taken += 1;
        self.recipients.taken += recipients;
        let tally = |kind: &str, count| Tally {
            name: format!("{KEY}{}/{kind}", limits.name).into(),
            day: self.day,
            count,
        };
        let messages = limits.daily_messages_max.map(|_| tally("messages", self.messages.taken));
        let recipients =
            limits.daily_recipients_max.map(|_| tally("recipients", self.recipients.taken));
        messages.into_iter().chain(recipients).collect()
    }

    /// A message that was counted on `day` could not be written.
    pub(crate) fn not_taken(&mut self, day: u64, recipients: u64) {
        if self.day == day {
            self.messages.taken = self.messages.taken.saturating_sub(1);
            self.recipients.taken = self.recipients.taken.saturating_sub(recipients);
        }
    }

    /// Octets have come; after [`Self::roll`].
    pub(crate) fn took_octets(&mut self, octets: u64, now: Now) {
        self.count(Kind::Octets, (octets, now.nanos));
    }

    /// Messages and recipients of today; after [`Self::roll`].
    pub(crate) const fn today(&self) -> (u64, u64) {
        (self.messages.taken, self.recipients.taken)
    }

    /// Until when no more is taken, if a limit of the day is reached; after [`Self::roll`].
    pub(crate) fn full_until(&self, limits: &InboundConnector) -> Option<Timestamp> {
        let is_full =
            |daily: Daily, max: Option<u32>| max.is_some_and(|max| daily.taken >= max.into());
        let is_full = is_full(self.messages, limits.daily_messages_max)
            || is_full(self.recipients, limits.daily_recipients_max);
        is_full.then(|| self.tomorrow())
    }

    fn tomorrow(&self) -> Timestamp {
        Timestamp::of_day(self.day.saturating_add(1))
    }

    fn has_day(
        &self,
        kind: Kind,
        limits: &InboundConnector,
        now: Now,
    ) -> Result<(), (Limit, Reply)> {
        let (daily, max) = match kind {
            Kind::Recipients => (self.recipients, limits.daily_recipients_max),
            _ => (self.messages, limits.daily_messages_max),
        };
        let Some(max) = max.map(u64::from) else { return Ok(()) };
        if daily.taken.saturating_add(daily.under_way) < max {
            return Ok(());
        }
        // What is under way may fail, and then there is room again.
        let (wait, when) = if daily.taken < max {
            (SOON, "")
        } else {
            (self.tomorrow().since(now.wall), " at 00:00 UTC,")
        };
        let (name, seconds) = (kind.name(), seconds(wait));
        let words = format!(
            "Too many {name} for your connector, {max} a day at most, come back{when} in {seconds} seconds"
        );
        Err((Limit::ConnectorDay, refused(words)))
    }

    fn has_rate(&self, kind: Kind, now: Now) -> Result<(), (Limit, Reply)> {
        let Some(bucket) = bucket(kind, &self.rates) else { return Ok(()) };
        let full_at = self.full_at.get(kind.place()).copied().unwrap_or_default();
        let Some(wait) = bucket.wait(full_at, now.nanos, 1) else { return Ok(()) };
        let (name, rate, seconds) = (kind.name(), &bucket.words, seconds(wait));
        let words = format!(
            "Too many {name} for your connector, {rate} at most, come back in {seconds} seconds"
        );
        Err((Limit::ConnectorRate, refused(words)))
    }

    fn count(&mut self, kind: Kind, (amount, nanos): (u64, u64)) {
        if let Some((bucket, full_at)) =
            bucket(kind, &self.rates).zip(self.full_at.get_mut(kind.place()))
        {
            *full_at = (*full_at).max(nanos).saturating_add(bucket.time(amount));
        }
    }
}

/// A limit for now: the client comes again.
fn refused(words: String) -> Reply {
    Reply::new(452, Some(EnhancedStatus::new(4, 7, 1)), words)
}

fn bucket(kind: Kind, rates: &InboundRates) -> Option<Bucket> {
    match kind {
        Kind::Messages => rates.messages.map(Bucket::new),
        Kind::Recipients => rates.recipients.map(Bucket::new),
        Kind::Octets => rates.octets.map(Bucket::new),
        Kind::Connections => None,
    }
}
