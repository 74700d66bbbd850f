//! The service: takes attempts, runs a bounded number of them at a time, sends their ends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use auth::ReturnPaths;
use channel::{Receiver, Sender};
use filters::Filters;
use futures_util::FutureExt;
use mail::{Attempt, AttemptEnd, Outcome};
use policy::Live;
use resolver::{Dice, Resolver};
use spool::Spool;
use telemetry::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use units::Clock;

use crate::application::Applications;
use crate::attempt::{self, Finished, end_of};
use crate::config::Config;
use crate::connection::Connection;
use crate::handshakes::Handshakes;
use crate::login::Logins;
use crate::means::Means;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::rests::Rests;
use crate::seven_bit::Room;
use crate::shared::Shared;
use crate::signing::{Desk, Signing};
use crate::words::{OUR_SIDE, later};

/// How often idle connections are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long a host whose TLS failed is not asked for TLS where clear text will do: each question costs a connection.
const TLS_REST: Duration = Duration::from_mins(10);
/// Connections that are closed politely at the same time; further ones are just closed.
const GOODBYES_MAX: usize = 256;

/// What the service is made of.
#[derive(Debug)]
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// What EHLO says, and who we are in an MX list.
    pub hostname: Box<str>,
    /// What time it is.
    pub clock: Clock,
    /// Decides the order among equals.
    pub seed: u64,
    /// Where the metrics are.
    pub registry: Arc<Registry>,
    /// Where the messages are.
    pub spool: Spool,
    /// Which way they go.
    pub policy: Live,
    /// Who the hosts are.
    pub resolver: Resolver,
    /// How TLS is started.
    pub handshakes: Handshakes,
    /// How to log in to smart hosts.
    pub logins: Logins,
    /// Who takes messages without a mail server.
    pub applications: Applications,
    /// What makes return paths.
    pub return_paths: ReturnPaths,
    /// Who is asked before a message leaves.
    pub filters: Arc<Filters>,
    /// Who signs what leaves, if anybody does.
    pub signing: Option<Signing>,
    /// What to try.
    pub attempts: Receiver<Attempt>,
    /// What became of it.
    pub ends: Sender<AttemptEnd>,
}

/// Delivers until `stop` says true or no attempts come any more; then transactions under way are finished, what has
/// not begun is left to the next start, and idle connections are closed.
///
/// The caller bounds the stop: dropped earlier, transactions under way are cut, and their messages stay in the spool.
pub async fn run(parts: Parts, stop: watch::Receiver<bool>) {
    let Parts { mut attempts, ends, config, registry, policy, .. } = parts;
    let metrics = Metrics::register(&registry, policy.load().router.connectors());
    let transactions_max = usize::try_from(config.transactions_max).unwrap_or(usize::MAX).max(1);
    let idle_max = usize::try_from(config.idle_connections_max).unwrap_or(usize::MAX);
    let shared = Arc::new(Shared {
        means: Means {
            hostname: parts.hostname,
            clock: parts.clock.clone(),
            dice: Dice::new(parts.seed),
            resolver: parts.resolver,
            handshakes: parts.handshakes,
            logins: parts.logins,
            without_tls: Rests::new(TLS_REST),
        },
        clock: parts.clock,
        spool: parts.spool,
        return_paths: parts.return_paths,
        applications: parts.applications,
        pool: Pool::new(idle_max),
        rests: Rests::new(config.host_rest.as_duration()),
        policy,
        metrics,
        config,
        conversions: Room::default(),
        desk: Desk::new(parts.signing),
        filters: parts.filters,
        shown: filters::shown_room(),
        stopping: stop,
    });
    let (mut tasks, mut goodbyes) = (JoinSet::new(), JoinSet::new());
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            biased;
            () = shared.stop() => break,
            // `try_one` catches panics, so that each attempt has an end.
            Some(_) = tasks.join_next() => {}
            Some(_) = goodbyes.join_next() => {}
            _ = sweep.tick() => {
                let stale = shared.pool.sweep(&shared.policy.load(), shared.clock.now());
                say_goodbye(&mut goodbyes, stale);
            }
            attempt = attempts.recv(), if tasks.len() < transactions_max => match attempt {
                Ok(attempt) => {
                    tasks.spawn(try_one(Arc::clone(&shared), attempt, ends.clone()));
                }
                Err(channel::Closed) => break,
            },
        }
    }
    tracing::info!(transactions = tasks.len(), "delivery stops");
    while tasks.join_next().await.is_some() {}
    say_goodbye(&mut goodbyes, shared.pool.drain());
    while goodbyes.join_next().await.is_some() {}
}

fn say_goodbye(goodbyes: &mut JoinSet<()>, connections: Vec<Connection>) {
    let room = GOODBYES_MAX.saturating_sub(goodbyes.len());
    for connection in connections.into_iter().take(room) {
        goodbyes.spawn(connection.quit());
    }
}

async fn try_one(shared: Arc<Shared>, attempt: Attempt, ends: Sender<AttemptEnd>) {
    let trying = attempt::run(&shared, attempt.clone(), &ends);
    let trying = AssertUnwindSafe(trying).catch_unwind();
    let finished = trying.await.unwrap_or_else(|_| {
        shared.metrics.panicked();
        tracing::error!(message = %attempt.id, destination = %attempt.destination, "attempt panicked");
        let reply = later(OUR_SIDE, "internal error");
        let end = end_of(attempt, Outcome::Hindered { reply });
        Finished { end: Some(end), connection: None }
    });
    if let Some(end) = finished.end {
        // Without a queue the message waits for the scan at the next start.
        drop(ends.send(end).await);
    }
    if let Some(connection) = finished.connection {
        Box::pin(connection.quit()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_octets<Parts, Try: Future>(_: impl Fn(Parts) -> Try) -> usize {
        size_of::<Try>()
    }

    /// Thousands may be under way, and each is moved to where it runs: what is rare and large must be boxed.
    #[test]
    fn an_attempt_is_small() {
        let octets = future_octets(|(shared, attempt, ends)| try_one(shared, attempt, ends));
        assert!(octets <= 3328, "{octets} octets");
    }
}
