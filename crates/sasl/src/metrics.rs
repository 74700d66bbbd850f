//! Metrics of logins.

use std::fmt;
use std::sync::Arc;

use policy::config::Mechanism;
use telemetry::{Counter, Registry};
use units::Clock;

use crate::attempts::{Attempts, Banned};

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody is logged in.
    Succeeded,
    /// The account or what proves it is wrong.
    Wrong,
    /// A ban keeps the client or the account out.
    Banned,
    /// Too many logins at the moment.
    Busy,
    /// What would show it could not be asked.
    Unavailable,
    /// The mechanism is unknown, not offered, or needs TLS.
    NotOffered,
    /// What came does not follow the mechanism.
    Malformed,
    /// The client cancelled.
    Cancelled,
}

impl Ending {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Succeeded, "succeeded"),
        (Self::Wrong, "wrong"),
        (Self::Banned, "banned"),
        (Self::Busy, "busy"),
        (Self::Unavailable, "unavailable"),
        (Self::NotOffered, "not_offered"),
        (Self::Malformed, "malformed"),
        (Self::Cancelled, "cancelled"),
    ];
}

/// How a password was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Done,
    Remembered,
    TurnedAway,
}

/// Handles of this crate's metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    logins: Vec<(Option<Mechanism>, Ending, Counter)>,
    bans_of_accounts: Counter,
    bans_of_clients: Counter,
    checks_done: Counter,
    checks_remembered: Counter,
    checks_turned_away: Counter,
    keys_fetched: Counter,
    keys_failed: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let mechanisms = Mechanism::ALL.into_iter().map(Some).chain([None]);
        let logins = mechanisms.flat_map(|mechanism| {
            Ending::ALL.map(|(ending, result)| {
                let name = mechanism.map_or("unknown", Mechanism::name);
                let labels = [("mechanism", name), ("result", result)];
                (
                    mechanism,
                    ending,
                    registry.counter(
                        "logins_total",
                        "Logins of clients that ended, by mechanism and result.",
                        &labels,
                    ),
                )
            })
        });
        let bans = |whom| {
            registry.counter(
                "login_bans_total",
                "Bans that began after failed logins, by whom they hit.",
                &[("of", whom)],
            )
        };
        let checks = |result| {
            let help = "Passwords of PLAIN and LOGIN, by whether they were checked, remembered from a check before, or turned away because too many waited.";
            registry.counter("password_checks_total", help, &[("result", result)])
        };
        let keys = |result| {
            let help = "Times the keys of the identity provider were read or fetched, by result.";
            registry.counter("token_keys_fetches_total", help, &[("result", result)])
        };
        Self {
            logins: logins.collect(),
            bans_of_accounts: bans("account"),
            bans_of_clients: bans("client"),
            checks_done: checks("checked"),
            checks_remembered: checks("remembered"),
            checks_turned_away: checks("turned_away"),
            keys_fetched: keys("done"),
            keys_failed: keys("failed"),
        }
    }

    /// Shows how many bans hold.
    pub(crate) fn watch(registry: &Registry, attempts: &Arc<Attempts>, clock: &Clock) {
        let (attempts, clock) = (Arc::clone(attempts), clock.clone());
        let read = move || {
            let bans = attempts.bans(clock.now()).len();
            f64::from(u32::try_from(bans).unwrap_or(u32::MAX))
        };
        registry.reading(
            "login_bans",
            "Accounts and clients that are banned after failed logins.",
            &[],
            read,
        );
    }

    pub(crate) fn login_ended(&self, mechanism: Option<Mechanism>, ending: Ending) {
        let mut logins = self.logins.iter();
        if let Some((_, _, counter)) = logins.find(|(of, by, _)| *of == mechanism && *by == ending)
        {
            counter.increment(1);
        }
    }

    pub(crate) fn banned(&self, whom: &Banned) {
        match whom {
            Banned::Account(_) => self.bans_of_accounts.increment(1),
            Banned::Client(_) => self.bans_of_clients.increment(1),
        }
    }

    pub(crate) fn password_checked(&self, how: Check) {
        match how {
            Check::Done => self.checks_done.increment(1),
            Check::Remembered => self.checks_remembered.increment(1),
            Check::TurnedAway => self.checks_turned_away.increment(1),
        }
    }

    pub(crate) fn keys_fetched<T, E>(&self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.keys_fetched.increment(1),
            Err(_) => self.keys_failed.increment(1),
        }
    }
}
