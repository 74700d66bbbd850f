//! The greylist: strangers wait before their first message to somebody is taken, as whoever queues mail does anyway.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use mail::{Address, ReversePath, network_of};
use parking_lot::Mutex;

use crate::config::Greylist as Config;
use crate::table::{Remembered, Table};

/// The size of a client's network: its next try may come from a neighbour.
const PREFIXES: (u8, u8) = (24, 64);
const KEY_OCTETS: usize = 32;

/// What the greylist says to a recipient of a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Known, or not asked.
    Known,
    /// From now on known: it waited long enough.
    Passed,
    /// It is to come again after so many seconds.
    Wait(u64),
}

/// What is remembered of a client's network, sender and recipient; in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// When it came first; 0 once it has passed.
    pub(super) first: u32,
    /// When it is forgotten.
    pub(super) until: u32,
}

impl Remembered for Seen {
    fn is_void_at(&self) -> u64 {
        self.until.into()
    }
}

/// Who has come before, of one listener. Sixteen octets each; nothing of it can be read back.
#[derive(Debug)]
pub(crate) struct Greylist {
    wait: u32,
    retry_max: u32,
    keep: u32,
    key: hmac::Key,
    pub(super) secret: [u8; KEY_OCTETS],
    pub(super) table: Mutex<Table<Seen>>,
}

impl Greylist {
    /// Knows nobody. Prints are made with `secret`, so that nobody can choose whose place to take.
    pub(crate) fn new(config: &Config, secret: [u8; KEY_OCTETS]) -> Self {
        Self {
            wait: seconds(config.wait.as_duration()),
            retry_max: seconds(config.retry_max.as_duration()),
            keep: seconds(config.keep.as_duration()),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            secret,
            table: Mutex::new(Table::new(config.remembered_max)),
        }
    }

    /// What becomes of a recipient of a stranger at `now`, in seconds since 1970.
    pub(crate) fn look(
        &self,
        client: IpAddr,
        (sender, recipient): (&ReversePath, &Address),
        now: u64,
    ) -> Word {
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        let print = self.print(client, sender, recipient);
        self.table.lock().change_print(print, now.into(), |seen| {
            let is_new = seen.until <= now;
            let due = seen.first.saturating_add(self.wait);
            if !is_new && seen.first == 0 {
                seen.until = now.saturating_add(self.keep);
                Word::Known
            } else if !is_new && due <= now {
                *seen = Seen { first: 0, until: now.saturating_add(self.keep) };
                Word::Passed
            } else if is_new {
                *seen = Seen { first: now.max(1), until: now.saturating_add(self.retry_max) };
                Word::Wait(self.wait.into())
            } else {
                Word::Wait(due.saturating_sub(now).into())
            }
        })
    }

    /// Domains have no case, and neither have local parts with those who would have them differ.
    fn print(&self, client: IpAddr, sender: &ReversePath, recipient: &Address) -> u64 {
        let network = network_of(client, PREFIXES);
        let text = format!("{network}\n{sender}\n{recipient}").to_lowercase();
        let tag = hmac::sign(&self.key, text.as_bytes());
        tag.as_ref().first_chunk().map_or(1, |octets| u64::from_le_bytes(*octets).max(1))
    }
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use units::Span;

    use super::*;

    const START: u64 = 1_800_000_000;

    fn greylist() -> Greylist {
        let config = Config { wait: Span::minutes(5), ..Config::default() };
        Greylist::new(&config, [7; 32])
    }

    fn look(greylist: &Greylist, client: &str, (from, to): (&str, &str), now: u64) -> Word {
        let sender = Address::parse(from).map_or(ReversePath::Null, ReversePath::Address);
        greylist.look(client.parse().unwrap(), (&sender, &Address::parse(to).unwrap()), START + now)
    }

    #[test]
    fn who_comes_again_after_the_wait_is_known_from_then_on() {
        let greylist = greylist();
        let pair = ("a@a.example", "b@b.example");
        let look = |client: &str, now| look(&greylist, client, pair, now);
        assert_eq!(look("192.0.2.1", 0), Word::Wait(300));
        assert_eq!(look("192.0.2.1", 100), Word::Wait(200));
        // A neighbour speaks for it, and who is elsewhere does not.
        assert_eq!(look("192.0.2.99", 299), Word::Wait(1));
        assert_eq!(look("192.0.3.1", 299), Word::Wait(300));
        assert_eq!(look("192.0.2.2", 300), Word::Passed);
        assert_eq!(look("192.0.2.1", 301), Word::Known);
        // Each message renews it.
        let day = 86_400;
        assert_eq!(look("192.0.2.1", 35 * day), Word::Known);
        assert_eq!(look("192.0.2.1", 70 * day), Word::Known);
        assert_eq!(look("192.0.2.1", 107 * day), Word::Wait(300));
    }

    #[test]
    fn sender_and_recipient_are_part_of_it_and_case_is_not() {
        let greylist = greylist();
        let client = "2001:db8::1";
        assert_eq!(look(&greylist, client, ("", "b@b.example"), 0), Word::Wait(300));
        assert_eq!(look(&greylist, client, ("a@a.example", "b@b.example"), 300), Word::Wait(300));
        assert_eq!(look(&greylist, client, ("", "c@b.example"), 300), Word::Wait(300));
        assert_eq!(look(&greylist, "2001:db8::2", ("", "B@B.Example"), 300), Word::Passed);
    }

    /// One that comes too late begins anew.
    #[test]
    fn who_does_not_come_again_is_forgotten() {
        let greylist = greylist();
        let pair = ("a@a.example", "b@b.example");
        assert_eq!(look(&greylist, "192.0.2.1", pair, 0), Word::Wait(300));
        assert_eq!(look(&greylist, "192.0.2.1", pair, 2 * 86_400), Word::Wait(300));
    }
}
