//! One attempt: a message, a destination, an outcome per recipient.

mod application;
mod outcome;
pub(crate) mod transaction;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use channel::Sender;
use mail::{Attempt, AttemptEnd, Envelope, Fate, Outcome, RecipientOutcome, Reply};
use policy::Policy;
use policy::config::OutboundConnector;
use spool::{LoadError, ReadError, Stored};

use crate::asking::{self, Asked};
use crate::connection::Connection;
use crate::dial::{Dial, NoConnection};
use crate::metrics::ConnectorMetrics;
use crate::prepared::Prepared;
use crate::return_path;
use crate::shared::Shared;
use crate::words::{NO_ROUTE, OUR_SIDE, later};

/// What an attempt leaves behind.
pub(crate) struct Finished {
    /// What the queue is told; nothing if the relay stopped before anything was tried, so that the message waits for
    /// the scan at the next start as if it had not been handed out.
    pub(crate) end: Option<AttemptEnd>,
    /// A connection that is to be left in good order.
    pub(crate) connection: Option<Connection>,
}

/// Tries to deliver.
pub(crate) async fn run(shared: &Shared, attempt: Attempt, ends: &Sender<AttemptEnd>) -> Finished {
    let unreachable = |reply| Outcome::Unreachable { reply, peer: None };
    let name = attempt.destination.connector();
    let policy = shared.policy.hold();
    if policy.ways() != attempt.ways {
        return Finished { end: Some(end_of(attempt, Outcome::Elsewhere)), connection: None };
    }
    let connector = policy.router.connector(name).map(|one| (one, shared.metrics.of(one)));
    let stored = shared.spool.load(attempt.id).await;
    let outcome = match (stored, connector) {
        (Ok(stored), Some((connector, metrics))) => {
            let destination = attempt.destination.clone();
            let dial = Dial::new(shared, &destination, connector, &metrics);
            let at = (shared, &*policy, ends);
            let mut sending = Sending::new(at, &attempt, stored, (connector, &metrics), dial);
            // Asked after the recipients were told apart: another attempt may have told them apart otherwise.
            if sending.batches.is_empty() || policy.ways() != attempt.ways {
                Outcome::Elsewhere
            } else {
                return sending.run().await;
            }
        }
        (Ok(_), None) => {
            unreachable(later(NO_ROUTE, format!("no outbound connector is called {name}")))
        }
        (Err(LoadError::Missing(_) | LoadError::Corrupt(_)), _) => Outcome::Missing,
        (Err(error), _) => Outcome::Hindered { reply: later(OUR_SIDE, error.to_string()) },
    };
    Finished { end: Some(end_of(attempt, outcome)), connection: None }
}

/// The end of an attempt on which no time was spent.
pub(crate) const fn end_of(attempt: Attempt, outcome: Outcome) -> AttemptEnd {
    let wait = Duration::ZERO;
    AttemptEnd {
        attempt,
        outcome,
        held: None,
        is_further: false,
        connect_wait: wait,
        transmit_wait: wait,
    }
}

struct Sending<'a> {
    shared: &'a Shared,
    /// Who is told of outcomes before the end.
    ends: &'a Sender<AttemptEnd>,
    /// The generation of the policy that it goes by.
    generation: u64,
    attempt: &'a Attempt,
    message: Prepared<'a>,
    connector: &'a OutboundConnector,
    metrics: &'a Arc<ConnectorMetrics>,
    dial: Dial<'a>,
    connection: Option<Connection>,
    /// Transactions to come: each the places in the envelope of its recipients.
    batches: VecDeque<Vec<usize>>,
    /// What the queue has not been told.
    outcomes: Vec<RecipientOutcome>,
    /// The queue was told of recipients that were taken.
    is_further: bool,
    /// A host that cannot have the content, and why: it fails if none of the others can.
    unfit: Option<Box<(Reply, Connection)>>,
    /// Some host took part in a transaction, so the destination itself need not rest.
    was_answered: bool,
    connect_wait: Duration,
    transmit_wait: Duration,
}

impl<'a> Sending<'a> {
    fn new(
        (shared, policy, ends): (&'a Shared, &'a Policy, &'a Sender<AttemptEnd>),
        attempt: &'a Attempt,
        stored: Stored,
        (connector, metrics): (&'a OutboundConnector, &'a Arc<ConnectorMetrics>),
        dial: Dial<'a>,
    ) -> Self {
        let is_ours = |place: &usize| {
            let waits =
                stored.recipients.get(*place).is_some_and(spool::RecipientState::is_waiting);
            let recipient = stored.envelope.recipients.get(*place);
            let route = recipient.map(|recipient| policy.router.route_of(recipient));
            waits && route.is_some_and(|route| route.as_ref() == Ok(&attempt.destination))
        };
        let places: Vec<_> = (0..stored.envelope.recipients.len()).filter(is_ours).collect();
        let recipients_max = return_path::recipients_max(connector);
        let batches = places.chunks(recipients_max).map(<[usize]>::to_vec).collect();
        Self {
            shared,
            ends,
            generation: policy.generation(),
            attempt,
            message: Prepared::new(stored),
            connector,
            metrics,
            dial,
            connection: None,
            batches,
            outcomes: Vec::with_capacity(places.len()),
            is_further: false,
            unfit: None,
            was_answered: false,
            connect_wait: Duration::ZERO,
            transmit_wait: Duration::ZERO,
        }
    }

    async fn run(&mut self) -> Finished {
        if let Some(octets_max) = self.shared.filters.delivery_octets_max(&self.connector.name) {
            // Boxed: it is rare, and each attempt would hold room for it.
            match Box::pin(self.ask_filters(octets_max)).await {
                Asked::Leaves => {}
                Asked::Stays(outcome) => return self.finish(outcome),
                Asked::Stopping => return Finished { end: None, connection: None },
            }
        }
        if self.connector.application.is_some() {
            // Boxed likewise.
            return Box::pin(self.hand_over()).await;
        }
        while let Some(batch) = self.batches.pop_front() {
            if !self.outcomes.is_empty() {
                // Boxed: it is rare, and each attempt would hold room for it.
                Box::pin(self.tell_taken(None)).await;
            }
            let connection = match self.connect().await {
                Ok(connection) => connection,
                Err(error) => {
                    self.batches.push_front(batch);
                    return self.give_up(error);
                }
            };
            if let Err(error) = self.send(connection, batch).await {
                let outcome = self.unreadable(&error);
                // What was answered before counts; the rest is found unreadable again by the next attempt.
                if self.outcomes.is_empty() && !self.is_further {
                    return self.finish(outcome);
                }
                self.answer_rest(Fate::Deferred, &later(OUR_SIDE, error.to_string()), None);
            }
        }
        self.finish_answered()
    }

    /// Asks filters, before a connection is taken that would wait meanwhile.
    async fn ask_filters(&mut self, octets_max: u64) -> Asked {
        let places: Vec<_> = self.batches.iter().flatten().copied().collect();
        let about = (places.as_slice(), octets_max);
        let asked = asking::ask(self.shared, self.attempt, &mut self.message, about).await;
        asked.unwrap_or_else(|error| Asked::Stays(self.unreadable(&error)))
    }

    fn unreadable(&self, error: &ReadError) -> Outcome {
        tracing::error!(message = %self.attempt.id, %error, "content unreadable");
        match error {
            ReadError::Device { .. } => {
                Outcome::Hindered { reply: later(OUR_SIDE, error.to_string()) }
            }
            _ => Outcome::Missing,
        }
    }

    /// Tells the queue whom hosts have taken, as the rest may take long and a crash would have them sent twice. What failed
    /// or waits is told at the end, in one report. `copy` is the envelope of a copy that is to be stored with it.
    async fn tell_taken(&mut self, copy: Option<Box<Envelope>>) {
        let is_taken = |outcome: &mut RecipientOutcome| outcome.fate == Fate::Delivered;
        let taken: Vec<_> = self.outcomes.extract_if(.., is_taken).collect();
        if !taken.is_empty() {
            let envelope = Arc::clone(&self.message.stored.envelope);
            let end = self.end(Outcome::Taken { outcomes: taken, envelope, copy });
            self.is_further = true;
            // Without a queue the message waits for the scan at the next start.
            drop(self.ends.send(end).await);
        }
    }

    /// The connection at hand, an idle one or a fresh one.
    async fn connect(&mut self) -> Result<Connection, NoConnection> {
        if self.shared.is_stopping() {
            return Err(NoConnection::Stopping);
        }
        let (limits, now) = (&self.connector.limits, self.shared.clock.now());
        if let Some(connection) = self.connection.take() {
            if connection.may_go_on(limits, now) {
                return Ok(connection);
            }
            Box::pin(connection.quit()).await;
        }
        let generation = self.generation;
        let is_usable = |connection: &mut Connection| {
            connection.is_of(generation) && !connection.is_stale(limits, now)
        };
        if let Some(connection) = self.shared.pool.take(&self.attempt.destination, is_usable) {
            return Ok(connection);
        }
        // Boxed: it is rare, and each attempt would hold room for it.
        let connection = Box::pin(self.dial.next()).await;
        self.connect_wait += self.since(now);
        connection.map(|connection| connection.under(generation))
    }

    fn since(&self, start: Instant) -> Duration {
        self.shared.clock.now().saturating_duration_since(start)
    }
}
