//! How much the spool holds, its limits, and the place a message takes before it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::Config;
use crate::error::{Full, FullCause};

/// Whether the spool takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ready,
    /// It does not; no attempt should be begun either, since its outcome could not be written down.
    Refusing {
        /// Why, in words.
        cause: Box<str>,
    },
}

/// How much the spool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Messages held or being received.
    pub messages: u64,
    /// Octets of their content.
    pub octets: u64,
    /// Free octets on the device.
    pub free_octets: u64,
    /// Records set aside as corrupt since the start.
    pub corrupt: u64,
    /// Settlements that wait in memory for the device.
    pub unsaved_settlements: u64,
}

/// The figures behind [`Counts`] and the limits.
#[derive(Debug)]
pub(crate) struct Accounts {
    messages: AtomicU64,
    octets: AtomicU64,
    /// As the device said last.
    free_octets: AtomicU64,
    /// Octets of open places, most of which the device does not know of yet.
    open_octets: AtomicU64,
    /// Octets kept since the device was asked last.
    kept_octets: AtomicU64,
    corrupt: AtomicU64,
    unsaved: AtomicU64,
    messages_max: u64,
    octets_max: u64,
    free_octets_min: u64,
    is_closing: AtomicBool,
    trouble: Mutex<Option<(FullCause, Box<str>)>>,
}

impl Accounts {
    pub(crate) const fn new(config: &Config, free_octets: u64) -> Self {
        Self {
            messages: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            free_octets: AtomicU64::new(free_octets),
            open_octets: AtomicU64::new(0),
            kept_octets: AtomicU64::new(0),
            corrupt: AtomicU64::new(0),
            unsaved: AtomicU64::new(0),
            messages_max: config.messages_max,
            octets_max: config.octets_max.as_octets(),
            free_octets_min: config.free_octets_min.as_octets(),
            is_closing: AtomicBool::new(false),
            trouble: Mutex::new(None),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            messages: self.messages.load(Ordering::Relaxed),
            octets: self.octets.load(Ordering::Relaxed),
            free_octets: self.free_octets.load(Ordering::Relaxed),
            corrupt: self.corrupt.load(Ordering::Relaxed),
            unsaved_settlements: self.unsaved.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn health(&self) -> Health {
        let cause = match &*self.trouble.lock() {
            Some((_, words)) => words.clone(),
            None if self.is_closing.load(Ordering::Relaxed) => {
                FullCause::Closing.to_string().into()
            }
            None => return Health::Ready,
        };
        Health::Refusing { cause }
    }

    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Says that the database takes no writes, or that it does again.
    pub(crate) fn set_trouble(&self, trouble: Option<(FullCause, Box<str>)>) {
        *self.trouble.lock() = trouble;
    }

    /// Why nothing can be written at present, if so.
    pub(crate) fn trouble(&self) -> Option<FullCause> {
        self.trouble.lock().as_ref().map(|(cause, _)| cause.clone())
    }

    pub(crate) fn set_free_octets(&self, octets: u64) {
        self.kept_octets.store(0, Ordering::Relaxed);
        self.free_octets.store(octets, Ordering::Relaxed);
    }

    pub(crate) fn set_unsaved(&self, count: usize) {
        self.unsaved.store(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn corrupt_found(&self) {
        self.corrupt.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a message that was already there.
    pub(crate) fn found(&self, octets: u64) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    /// Counts messages as gone.
    pub(crate) fn give_back(&self, messages: u64, octets: u64) {
        lessen(&self.messages, messages);
        lessen(&self.octets, octets);
    }

    fn take_octets(&self, octets: u64) -> Result<(), FullCause> {
        let max = self.octets_max;
        // The device is asked once in a while only; what was promised since counts as used.
        let unseen =
            self.open_octets.load(Ordering::Relaxed) + self.kept_octets.load(Ordering::Relaxed);
        let free = self.free_octets.load(Ordering::Relaxed).saturating_sub(unseen);
        if free.saturating_sub(octets) < self.free_octets_min {
            return Err(FullCause::Device);
        }
        let more = |now: u64| now.checked_add(octets).filter(|sum| *sum <= max);
        let taken = self.octets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map_err(|_| FullCause::Octets { max })?;
        self.open_octets.fetch_add(octets, Ordering::Relaxed);
        Ok(())
    }

    fn take_message(&self) -> Result<(), FullCause> {
        let max = self.messages_max;
        let more = |now: u64| Some(now + 1).filter(|sum| *sum <= max);
        let taken = self.messages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(drop).map_err(|_| FullCause::Messages { max })
    }
}

/// Room for one message, taken before its content comes; given back when dropped.
#[derive(Debug)]
#[must_use = "dropped, the room is given back"]
pub struct Place {
    accounts: Arc<Accounts>,
    octets: u64,
    is_forced: bool,
}

impl Place {
    /// Takes a place, or says which limit stands in the way.
    pub(crate) fn take(accounts: &Arc<Accounts>, octets_declared: u64) -> Result<Self, Full> {
        if accounts.is_closing.load(Ordering::Relaxed) {
            return Err(FullCause::Closing.into());
        }
        if let Some(cause) = accounts.trouble() {
            return Err(cause.into());
        }
        accounts.take_message()?;
        // From here on dropping it gives the message's count back.
        let mut place = Self { accounts: Arc::clone(accounts), octets: 0, is_forced: false };
        place.grow_to(octets_declared)?;
        Ok(place)
    }

    /// Takes a place for what the relay itself writes, limits or not: a report frees more than it takes.
    pub(crate) fn force(accounts: &Arc<Accounts>) -> Self {
        accounts.found(0);
        Self { accounts: Arc::clone(accounts), octets: 0, is_forced: true }
    }

    /// Makes sure that there is room for `octets` in all.
    pub(crate) fn grow_to(&mut self, octets: u64) -> Result<(), Full> {
        let more = octets.saturating_sub(self.octets);
        if self.is_forced {
            self.accounts.octets.fetch_add(more, Ordering::Relaxed);
            self.accounts.open_octets.fetch_add(more, Ordering::Relaxed);
        } else if more > 0 || octets == 0 {
            self.accounts.take_octets(more)?;
        }
        self.octets += more;
        Ok(())
    }

    /// The message is stored: the place stays taken, for the octets it really has.
    pub(crate) fn keep(mut self, octets: u64) {
        self.accounts.give_back(0, self.octets.saturating_sub(octets));
        self.accounts.kept_octets.fetch_add(octets, Ordering::Relaxed);
        lessen(&self.accounts.open_octets, self.octets);
        self.octets = 0;
        self.accounts.messages.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.accounts.give_back(1, self.octets);
        lessen(&self.accounts.open_octets, self.octets);
    }
}

fn lessen(count: &AtomicU64, by: u64) {
    let order = Ordering::Relaxed;
    // Never fails: the closure always gives a value.
    let _before = count.fetch_update(order, order, |now| Some(now.saturating_sub(by))).is_ok();
}

#[cfg(test)]
mod tests {
    use units::ByteSize;

    use super::*;

    fn accounts() -> Arc<Accounts> {
        let config = Config {
            messages_max: 2,
            octets_max: ByteSize::octets(100),
            free_octets_min: ByteSize::octets(1000),
            ..Config::default()
        };
        Arc::new(Accounts::new(&config, 5000))
    }

    fn held(accounts: &Accounts) -> (u64, u64) {
        (accounts.counts().messages, accounts.counts().octets)
    }

    #[test]
    fn each_limit_is_named() {
        let accounts = accounts();
        let one = Place::take(&accounts, 60).unwrap();
        let full = Place::take(&accounts, 41).unwrap_err();
        assert_eq!(full.cause, FullCause::Octets { max: 100 });
        assert_eq!(full.reply().code(), 452);
        let two = Place::take(&accounts, 40).unwrap();
        assert_eq!(Place::take(&accounts, 0).unwrap_err().cause, FullCause::Messages { max: 2 });
        assert_eq!(held(&accounts), (2, 100));
        drop((one, two));
        assert_eq!(held(&accounts), (0, 0));
        accounts.set_free_octets(999);
        assert_eq!(Place::take(&accounts, 0).unwrap_err().cause, FullCause::Device);
        accounts.set_free_octets(1000);
        drop(Place::take(&accounts, 0).unwrap());
        accounts.set_trouble(Some((FullCause::Engine, "words".into())));
        assert_eq!(Place::take(&accounts, 0).unwrap_err().cause, FullCause::Engine);
        assert_eq!(accounts.health(), Health::Refusing { cause: "words".into() });
        assert_eq!(held(&accounts), (0, 0));
    }

    /// A burst between two looks at the device does not use up the reserve.
    #[test]
    fn what_was_taken_since_the_last_look_is_not_free() {
        let config = Config { free_octets_min: ByteSize::octets(1000), ..Config::default() };
        let accounts = Arc::new(Accounts::new(&config, 1100));
        let open = Place::take(&accounts, 60).unwrap();
        assert_eq!(Place::take(&accounts, 41).unwrap_err().cause, FullCause::Device);
        open.keep(50);
        assert_eq!(Place::take(&accounts, 51).unwrap_err().cause, FullCause::Device);
        drop(Place::take(&accounts, 50).unwrap());
        drop(Place::take(&accounts, 50).unwrap());
        accounts.set_free_octets(1050);
        drop(Place::take(&accounts, 50).unwrap());
    }

    #[test]
    fn a_kept_place_counts_what_came() {
        let accounts = accounts();
        let mut place = Place::take(&accounts, 10).unwrap();
        place.grow_to(30).unwrap();
        assert!(place.grow_to(101).is_err());
        place.keep(25);
        assert_eq!(held(&accounts), (1, 25));
        accounts.give_back(1, 25);
        assert_eq!(held(&accounts), (0, 0));
    }
}
