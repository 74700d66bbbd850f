//! Where passwords are checked: few at a time, a bounded line before them, right ones remembered for a while.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::config::Passwords;
use crate::table::Table;

/// Too many passwords wait, or the wait was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords wait to be checked")]
pub(crate) struct Busy;

/// Checks passwords on threads of their own.
#[derive(Debug)]
pub(crate) struct Pool {
    /// One for each check that runs or waits.
    places: Arc<Semaphore>,
    /// One for each check that runs.
    turns: Arc<Semaphore>,
    wait_max: Duration,
}

impl Pool {
    pub(crate) fn new(config: &Passwords) -> Self {
        let (at_once, waiting) =
            (usize::from(config.checks_max.max(1)), usize::from(config.waiting_max));
        Self {
            places: Arc::new(Semaphore::new(at_once + waiting)),
            turns: Arc::new(Semaphore::new(at_once)),
            wait_max: config.wait_max.as_duration(),
        }
    }

    /// Does `check` when its turn comes. Once begun it keeps its turn to its end, even if nobody waits any more.
    pub(crate) async fn run(
        &self,
        check: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<bool, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let turn = tokio::time::timeout(self.wait_max, Arc::clone(&self.turns).acquire_owned());
        let turn = turn.await.map_err(|_| Busy)?.map_err(|_| Busy)?;
        let work = move || {
            let right = check();
            drop((turn, place));
            right
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }
}

/// Passwords that were right a moment ago, as keyed hashes of them, their account and its kept form.
pub(crate) struct Remembered {
    key: hmac::Key,
    until: Mutex<Table<[u8; 32], Instant>>,
    time: Duration,
}

impl fmt::Debug for Remembered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Remembered")
    }
}

/// What is remembered of a password.
#[derive(Clone, Copy)]
pub(crate) struct Mark([u8; 32]);

impl Remembered {
    /// `random` is the key of the hashes.
    pub(crate) fn new(config: &Passwords, random: [u8; 32]) -> Self {
        let max = usize::try_from(config.remembered_max).unwrap_or(usize::MAX);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &random),
            until: Mutex::new(Table::new(max)),
            time: config.remember.as_duration(),
        }
    }

    /// The kept form is part of it, so that a check that outlives a reload marks nothing that is looked for later.
    pub(crate) fn mark(&self, account: &str, kept: &str, password: &[u8]) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [account.as_bytes(), kept.as_bytes(), password] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut mark = [0; 32];
        mark.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        Mark(mark)
    }

    pub(crate) fn holds(&self, mark: Mark, now: Instant) -> bool {
        self.until.lock().get(&mark.0).is_some_and(|until| now < *until)
    }

    pub(crate) fn add(&self, mark: Mark, now: Instant) {
        if let Some(until) = now.checked_add(self.time).filter(|until| now < *until) {
            *self.until.lock().touch(mark.0, || until) = until;
        }
    }

    pub(crate) fn forget_all(&self) {
        self.until.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use units::{Clock, Span};

    use super::*;

    #[tokio::test]
    async fn the_line_is_bounded() {
        let config = Passwords {
            checks_max: 1,
            waiting_max: 1,
            wait_max: Span::hours(1),
            ..Passwords::default()
        };
        let pool = Arc::new(Pool::new(&config));
        let (release, held) = std::sync::mpsc::sync_channel::<()>(0);
        let first = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(move || held.recv().is_ok()).await }
        });
        while pool.turns.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(|| false).await }
        });
        while pool.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|| true).await, Err(Busy));
        release.send(()).unwrap();
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(true), Ok(false)));
        assert_eq!(pool.run(|| true).await, Ok(true));
    }

    #[tokio::test]
    async fn a_wait_that_is_too_long_ends() {
        let config = Passwords { checks_max: 1, wait_max: Span::millis(1), ..Passwords::default() };
        let pool = Pool::new(&config);
        let _turn = Arc::clone(&pool.turns).acquire_owned().await;
        assert_eq!(pool.run(|| true).await, Err(Busy));
    }

    #[test]
    fn right_passwords_are_remembered_for_a_while() {
        let clock = Clock::manual(0);
        let config =
            Passwords { remember: Span::minutes(1), remembered_max: 2, ..Passwords::default() };
        let remembered = Remembered::new(&config, [1; 32]);
        let mark = remembered.mark("alice", "$argon2id$1", b"pencil");
        assert!(!remembered.holds(mark, clock.now()));
        remembered.add(mark, clock.now());
        assert!(remembered.holds(mark, clock.now()));
        for other in [
            remembered.mark("alice", "$argon2id$1", b"pencils"),
            remembered.mark("alice", "$argon2id$2", b"pencil"),
            remembered.mark("alic", "e$argon2id$1", b"pencil"),
        ] {
            assert!(!remembered.holds(other, clock.now()));
        }
        clock.advance(Duration::from_mins(1));
        assert!(!remembered.holds(mark, clock.now()));
        remembered.add(mark, clock.now());
        remembered.forget_all();
        assert!(!remembered.holds(mark, clock.now()));
    }
}
