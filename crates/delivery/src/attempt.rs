//! One attempt: a message, a destination, an outcome per recipient.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use channel::Sender;
use mail::{Attempt, AttemptEnd, Fate, Outcome, Peer, RecipientOutcome, Reply, Timestamp};
use policy::Policy;
use policy::config::{OutboundConnector, Protocol};
use smtp_session::client::{After, Answer, Outgoing, Timeouts, Transaction};
use spool::{LoadError, ReadError, Stored};

use crate::asking::{self, Asked};
use crate::body::Body;
use crate::connection::Connection;
use crate::dial::{Dial, NoConnection, stopping};
use crate::drive::{Driven, drive};
use crate::metrics::ConnectorMetrics;
use crate::prepared::Prepared;
use crate::return_path;
use crate::seven_bit::{self, Unfit};
use crate::shared::Shared;
use crate::words::{BAD_CONNECTION, NO_ROUTE, OUR_SIDE, in_our_words, in_words, later, with_host};

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
    AttemptEnd { attempt, outcome, is_further: false, connect_wait: wait, transmit_wait: wait }
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
        while let Some(batch) = self.batches.pop_front() {
            if !self.outcomes.is_empty() {
                // Boxed: it is rare, and each attempt would hold room for it.
                Box::pin(self.tell_taken()).await;
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
    /// or waits is told at the end, in one report.
    async fn tell_taken(&mut self) {
        let is_taken = |outcome: &mut RecipientOutcome| outcome.fate == Fate::Delivered;
        let taken: Vec<_> = self.outcomes.extract_if(.., is_taken).collect();
        if !taken.is_empty() {
            let envelope = Arc::clone(&self.message.stored.envelope);
            let end = self.end(Outcome::Taken { outcomes: taken, envelope });
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

    /// Sends one transaction and sorts its answers.
    async fn send(
        &mut self,
        mut connection: Connection,
        batch: Vec<usize>,
    ) -> Result<(), ReadError> {
        if let Err(error) = self.message.ready_head().await {
            self.batches.push_front(batch);
            return Err(error);
        }
        let mut outgoing = self.outgoing(&batch);
        let (extensions, desk) = (connection.extensions, &self.shared.desk);
        let ready = if seven_bit::is_needed(extensions, &outgoing) || desk.is_open() {
            let means = (&self.shared.conversions, desk);
            // Boxed with all that it needs: it is rare, and each attempt would hold room for it.
            match Box::pin(self.message.body(&mut outgoing, extensions, means)).await {
                Ok(ready) => ready,
                Err(error) => {
                    self.batches.push_front(batch);
                    return Err(error);
                }
            }
        } else {
            Ok(Body::Stored(self.message.leaving().pieces()))
        };
        let mut body = match ready {
            Ok(ready) => ready,
            Err(Unfit::Never(reply)) => {
                // Another host of the destination may offer 8BITMIME.
                self.batches.push_front(batch);
                self.unfit = Some(Box::new((with_host(&reply, &connection.peer), connection)));
                return Ok(());
            }
            Err(Unfit::Hindered) => {
                let reply = later(OUR_SIDE, "the content could not be converted to 7 bits now");
                self.answer(&batch, Fate::Deferred, &reply, None);
                self.connection = Some(connection);
                return Ok(());
            }
        };
        self.unfit = None;
        let is_reused = connection.is_reused();
        if is_reused {
            self.metrics.reused();
        }
        connection.used();
        let transaction = self.begin(&connection, outgoing);
        let end = match self.transact(&mut connection, transaction, &mut body).await {
            Driven::Ended(end) => end,
            Driven::Unreadable(error) => {
                self.batches.push_front(batch);
                return Err(error);
            }
            Driven::Stuck => {
                let reply =
                    later(BAD_CONNECTION, format!("{} lost the connection", connection.peer));
                self.answer(&batch, Fate::Deferred, &reply, None);
                return Ok(());
            }
        };
        if end.was_dead_before_first_reply {
            if let Some(answer) = end.recipients.first().filter(|_| !is_reused) {
                self.dial.failed(&connection, &in_our_words(answer, &connection.peer));
            }
            // Not a try: the next connection takes over at once. Idle ones are few and hosts are counted, so this ends.
            self.batches.push_front(batch);
            return Ok(());
        }
        self.was_answered = true;
        let is_lost = end.connection == After::Close && !end.was_content_sent;
        self.sort(&batch, end.recipients, &end.retry_rest, (is_lost, &connection));
        if end.connection == After::Reuse {
            // This host works: should its connection reach its limits, it is the first to be dialled again.
            self.dial =
                Dial::new(self.shared, &self.attempt.destination, self.connector, self.metrics);
            self.connection = Some(connection);
        }
        Ok(())
    }

    /// Begins a transaction.
    fn begin(&self, connection: &Connection, outgoing: Outgoing) -> Box<Transaction> {
        let begin = match self.connector.protocol {
            Protocol::Smtp => Transaction::new,
            Protocol::Lmtp => Transaction::lmtp,
        };
        let start = self.shared.clock.now();
        Box::new(begin(outgoing, connection.extensions, timeouts(self.connector), start))
    }

    /// Runs a transaction to its end.
    async fn transact(
        &mut self,
        connection: &mut Connection,
        mut transaction: Box<Transaction>,
        body: &mut Body,
    ) -> Driven {
        let start = self.shared.clock.now();
        let driven = drive(connection, &mut transaction, body, &self.shared.clock).await;
        self.transmit_wait += self.since(start);
        driven
    }

    /// Notes what each recipient got; those that another connection or transaction may still serve go back in line.
    fn sort(
        &mut self,
        batch: &[usize],
        answers: Vec<Answer>,
        retry_rest: &[usize],
        (is_lost, connection): (bool, &Connection),
    ) {
        let peer = &connection.peer;
        let (mut too_many, mut lost) = (Vec::new(), Vec::new());
        for (at, (place, answer)) in batch.iter().zip(answers).enumerate() {
            let is_gone = is_lost
                && answer.fate == Fate::Deferred
                && (!answer.is_remote || answer.reply.code() == 421);
            if retry_rest.contains(&at) {
                too_many.push(*place);
            } else if is_gone {
                lost.push((*place, in_our_words(&answer, peer)));
            } else {
                let reply = in_words(&answer, peer);
                let who = answer.is_remote.then(|| Arc::clone(peer));
                self.note(*place, answer.fate, &reply, who);
            }
        }
        if let Some((_, reply)) = lost.first() {
            // Another host may take them now (RFC 5321 §4.5.4.1); if none is left, this is what they are told.
            self.dial.failed(connection, reply);
            self.batches.push_front(lost.into_iter().map(|(place, _)| place).collect());
        }
        if !too_many.is_empty() {
            self.batches.push_front(too_many);
        }
    }

    fn outgoing(&self, batch: &[usize]) -> Outgoing {
        let stored = &self.message.stored;
        let envelope = &stored.envelope;
        let now = Timestamp::from_millis(self.shared.clock.unix_millis());
        let way = (self.connector, &self.shared.return_paths);
        Outgoing {
            sender: return_path::of((self.attempt.id, stored), batch, way, now),
            recipients: batch
                .iter()
                .filter_map(|place| envelope.recipients.get(*place).cloned())
                .collect(),
            octets: self.message.leaving().octets(),
            body_type: envelope.body_type,
            needs_smtputf8: envelope.needs_smtputf8,
            wishes: Box::new(envelope.wishes.clone()),
            now,
        }
    }

    fn give_up(&mut self, error: NoConnection) -> Finished {
        let has_nothing = self.outcomes.is_empty() && !self.was_answered && self.unfit.is_none();
        let unfit = self.unfit.take().map(|unfit| {
            let (reply, connection) = *unfit;
            // It is as good as new for other messages.
            self.connection = Some(connection);
            reply
        });
        match (error, unfit) {
            (NoConnection::Unreachable(reply, peer), _) if has_nothing => {
                return self.finish(Outcome::Unreachable { reply, peer });
            }
            (NoConnection::NoneLeft, None) if has_nothing => {
                return self.finish(Outcome::Unreachable { reply: none_left(), peer: None });
            }
            (NoConnection::Unreachable(reply, _), _) => {
                self.answer_rest(Fate::Deferred, &reply, None);
            }
            (NoConnection::NoneLeft, None) => self.answer_rest(Fate::Deferred, &none_left(), None),
            // There is none, or none of them can have the content.
            (NoConnection::Never(reply), _) | (NoConnection::NoneLeft, Some(reply)) => {
                self.answer_rest(Fate::Failed, &reply, None);
            }
            (NoConnection::Stopping, _) if has_nothing => {
                return Finished { end: None, connection: self.connection.take() };
            }
            (NoConnection::Stopping, _) => self.answer_rest(Fate::Deferred, &stopping(), None),
        }
        self.finish_answered()
    }

    fn answer_rest(&mut self, fate: Fate, reply: &Reply, peer: Option<&Arc<Peer>>) {
        for batch in std::mem::take(&mut self.batches) {
            self.answer(&batch, fate, reply, peer);
        }
    }

    fn answer(&mut self, batch: &[usize], fate: Fate, reply: &Reply, peer: Option<&Arc<Peer>>) {
        for place in batch {
            self.note(*place, fate, reply, peer.cloned());
        }
    }

    fn note(&mut self, place: usize, fate: Fate, reply: &Reply, peer: Option<Arc<Peer>>) {
        let recipient = self.message.stored.envelope.recipients.get(place);
        // The queue logs the outcome; this is for who looks closer.
        tracing::debug!(
            message = %self.attempt.id,
            recipient = recipient.map(|it| it.address.as_str()).unwrap_or_default(),
            destination = %self.attempt.destination,
            host = peer.as_deref().map(tracing::field::display),
            tls = peer.as_deref().and_then(|peer| peer.tls.as_deref()),
            %reply,
            status = %fate,
            "recipient tried"
        );
        let recipient = u32::try_from(place).unwrap_or(u32::MAX);
        self.outcomes.push(RecipientOutcome { recipient, fate, reply: reply.clone(), peer });
    }

    fn finish_answered(&mut self) -> Finished {
        let outcomes = std::mem::take(&mut self.outcomes);
        self.finish(Outcome::Answered(outcomes))
    }

    /// Keeps the connection for the next message, before the queue learns that its slot is free.
    fn finish(&mut self, outcome: Outcome) -> Finished {
        let now = self.shared.clock.now();
        let connection = self.connection.take().and_then(|connection| {
            let may_stay =
                connection.may_go_on(&self.connector.limits, now) && !self.shared.is_stopping();
            if may_stay {
                self.shared.pool.put(&self.attempt.destination, connection, now)
            } else {
                Some(connection)
            }
        });
        Finished { end: Some(self.end(outcome)), connection }
    }

    fn end(&self, outcome: Outcome) -> AttemptEnd {
        AttemptEnd {
            attempt: self.attempt.clone(),
            outcome,
            is_further: self.is_further,
            connect_wait: self.connect_wait,
            transmit_wait: self.transmit_wait,
        }
    }
}

/// No host was found to try.
fn none_left() -> Reply {
    later(NO_ROUTE, "no host is left to try")
}

pub(crate) fn timeouts(connector: &OutboundConnector) -> Timeouts {
    let timeouts = &connector.timeouts;
    Timeouts {
        mail: timeouts.mail.as_duration(),
        rcpt: timeouts.rcpt.as_duration(),
        data: timeouts.data.as_duration(),
        block: timeouts.block.as_duration(),
        dot: timeouts.dot.as_duration(),
    }
}
