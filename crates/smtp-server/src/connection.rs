//! One connection: moves octets between the client, its session and the spool.
//!
//! The session says what to do next; this loop does it. Nothing is read while a step is under way, so a client
//! can be no faster than the spool, and what it pipelines waits in the system's buffers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use channel::TrySendError;
use mail::{Accepted, Envelope, Timestamp, Wishes};
use sasl::server::Exchange;
use smtp_session::server::{self, Reason, Session, Step};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

use crate::client::{Client, Plain, Told};
use crate::config::ListenerTls;
use crate::decided::Decided;
use crate::end::End;
use crate::filtered::Filtered;
use crate::handshake::handshake;
use crate::instead::{self, Instead};
use crate::quotas::Held;
use crate::reception::Reception;
use crate::slot::Slot;
use crate::stream::{Expected, Stream};
use crate::transaction::Transaction;

/// One client's connection.
pub(crate) struct Connection {
    pub(crate) reception: Arc<Reception>,
    pub(crate) client: Client,
    pub(crate) session: Session,
    pub(crate) transaction: Transaction,
    pub(crate) stream: Stream,
    /// Who else is asked about the client and its mail, if somebody is.
    pub(crate) filters: Option<Box<Filtered>>,
    /// A login under way.
    pub(crate) exchange: Option<Box<Exchange>>,
    /// Stored and answered for, but the queue had no room yet. Nothing is read until it has.
    unqueued: Option<Accepted>,
    /// Its share of what a connector with limits may take.
    pub(crate) held: Option<Box<Held>>,
    pub(crate) slot: Slot,
}

impl Connection {
    /// A connection that was just accepted; it holds its `slot` to its end.
    pub(crate) fn new(
        reception: Arc<Reception>,
        socket: TcpStream,
        client: Client,
        slot: Slot,
    ) -> Self {
        let now = reception.clock.now();
        Self {
            session: reception.session(&client, now),
            transaction: Transaction::new(now),
            stream: Stream::new(socket),
            filters: None,
            exchange: None,
            unqueued: None,
            held: None,
            reception,
            client,
            slot,
        }
    }

    /// Talks with the client until either side ends it. A message goes on to its end after `stop` is dropped.
    ///
    /// There may be ten thousand that wait for a command, so what is awaited on the way is boxed where it is large:
    /// a future has room for all that it might ever wait for.
    #[expect(clippy::manual_async_fn, reason = "an async function would hold the connection twice")]
    pub(crate) fn run(
        mut self,
        mut stop: oneshot::Receiver<()>,
    ) -> impl Future<Output = ()> + Send {
        async move {
            let end = match self.serve(&mut stop).await {
                Ok(reason) => End::Closed(reason),
                Err(end) => end,
            };
            self.abandon();
            self.queue().await;
            self.judge(&end);
            if let End::Closed(reason) = end {
                Box::pin(self.stream.close(linger_wait_max(reason))).await;
            }
            tracing::debug!(
                session = %self.client.session,
                listener = %self.reception.config.name,
                client = %self.client.address,
                end = %end,
                "connection ended"
            );
        }
    }

    async fn serve(&mut self, stop: &mut oneshot::Receiver<()>) -> Result<Reason, End> {
        let mut told = Told::Welcome;
        if self.reception.config.is_proxy(self.client.address.ip()) {
            told = Box::pin(self.unwrap_proxied(stop)).await?;
        }
        if told == Told::Welcome && self.is_screened() {
            Box::pin(self.screen(stop)).await?;
        }
        if self.reception.config.tls == ListenerTls::Implicit {
            Box::pin(self.shake_hands(stop)).await?;
            self.session = self.reception.session(&self.client, self.now());
        }
        self.offer_logins();
        if told == Told::Welcome
            && let Some(filters) = self.filtered()
            && let Err(reply) = Box::pin(self.ask_about_client(filters)).await
        {
            self.not_greeted(&reply);
        }
        self.talk(stop).await
    }

    async fn talk(&mut self, stop: &mut oneshot::Receiver<()>) -> Result<Reason, End> {
        let alarm = sleep_until(self.session.deadline().into());
        tokio::pin!(alarm);
        let mut is_stopping = stop.is_terminated();
        if is_stopping {
            self.session.shut_down(self.now());
        }
        loop {
            while let Some(step) = self.session.next_step() {
                match step {
                    Step::Send(replies) => {
                        if !is_stopping && let Some(pause) = self.pause_before(&replies) {
                            tokio::select! {
                                biased;
                                _ = &mut *stop => {
                                    is_stopping = true;
                                    self.session.shut_down(self.now());
                                }
                                () = pause => {}
                            }
                        }
                        self.send(replies).await?;
                    }
                    Step::Ask(question) => {
                        let verdict = self.verdict(question).await;
                        self.session.decide(verdict, self.now());
                    }
                    Step::Login(said) => Box::pin(self.log_in(said)).await,
                    Step::ForgetLogin => self.forget_login(),
                    Step::Body(chunk) => Box::pin(self.store(chunk)).await,
                    Step::Commit(transaction) => Box::pin(self.commit(*transaction)).await,
                    Step::Abandon => self.abandon(),
                    Step::StartTls => {
                        Box::pin(self.shake_hands(stop)).await?;
                        self.session.retell(self.reception.settings_for(&self.client));
                        self.session.tls_started(self.now());
                        self.offer_logins();
                    }
                    Step::Close(reason) => return Ok(reason),
                }
            }
            if self.session.transaction().is_none() {
                // RSET and EHLO end one without content too.
                self.nothing_taken();
            }
            self.queue().await;
            // The alarm is set anew only when it rings or comes too late, not at each command.
            let deadline = tokio::time::Instant::from_std(self.session.deadline());
            if alarm.is_elapsed() || deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            let expected = self.expected();
            tokio::select! {
                biased;
                _ = &mut *stop, if !is_stopping => {
                    is_stopping = true;
                    self.session.shut_down(self.now());
                }
                read = self.stream.read(expected), if self.session.wants_input() => match read {
                    Ok(octets) if octets.is_empty() => self.session.input_ended(self.now()),
                    Ok(octets) => self.receive(octets),
                    Err(error) => return Err(error.into()),
                },
                () = alarm.as_mut() => self.session.expire(self.now()),
            }
        }
    }

    fn now(&self) -> Instant {
        self.reception.clock.now()
    }

    fn expected(&self) -> Expected {
        if self.transaction.takes_content() { Expected::Content } else { Expected::Commands }
    }

    /// Hands octets to the session. A client that drips without end never lets the alarm ring, so the session's
    /// time is looked at here too.
    fn receive(&mut self, octets: Bytes) {
        let now = self.now();
        let is_late = self.session.deadline() <= now;
        self.session.receive(octets, now);
        if is_late {
            self.session.expire(now);
        }
    }

    async fn send(&mut self, replies: Bytes) -> Result<(), End> {
        let wait_max = self.reception.config.write_wait_max.as_duration();
        match Box::pin(timeout(wait_max, self.stream.write(&replies))).await {
            Ok(written) => written.map_err(End::Lost),
            Err(_) => Err(End::NotReading),
        }
    }

    async fn store(&mut self, chunk: Bytes) {
        let wait_max = self.reception.config.store_wait_max.as_duration();
        if let Err(reply) = self.transaction.write(chunk, wait_max).await {
            self.refused(&reply);
            self.session.not_stored(reply, self.now());
        }
    }

    /// Puts the message on the device; a 250 follows only from [`Session::stored`].
    async fn commit(&mut self, mut received: server::Transaction) {
        let now = self.now();
        let mut transaction = std::mem::replace(&mut self.transaction, Transaction::new(now));
        let begun_at = transaction.begun_at;
        let id = transaction.id();
        let (instead, spf) =
            transaction.found.take().map(|it| (it.instead, it.spf)).unwrap_or_default();
        let recipients_given = u64::try_from(received.recipients.len()).unwrap_or(u64::MAX);
        let is_certified = instead::readdress(&mut received.recipients, &instead);
        let seen = transaction.take_seen();
        let asked = self.decide_now(&mut received, (seen, spf), transaction.generation()).await;
        let Decided { recipients, mut directions } = match asked {
            Ok(Some(decided)) => decided,
            Ok(None) => {
                drop(transaction);
                self.nothing_taken();
                return self.discard(id, &received);
            }
            Err(reply) => {
                drop(transaction);
                self.nothing_taken();
                self.refused(&reply);
                return self.session.not_stored(reply, self.now());
            }
        };
        if is_certified {
            directions.get_or_insert_default().is_certified = true;
        }
        let (helo, mut wishes) = (received.helo, received.wishes);
        if directions.as_ref().is_some_and(|it| it.held.is_some()) {
            wishes.hold_until = Some(Timestamp::BY_HAND);
        }
        let envelope = Envelope {
            sender: received.sender,
            recipients,
            body_type: received.body_type,
            needs_smtputf8: received.needs_smtputf8,
            wishes: Wishes { submitter: self.submitter(wishes.submitter.take()), ..wishes },
            origin: self.client.origin(&self.reception.config.name, helo),
            directions,
        };
        self.queue().await;
        let tallies = self.tallies(recipients_given);
        match transaction.commit(envelope, tallies).await {
            Ok(accepted) => self.stored(accepted, begun_at, &instead),
            Err(reply) => {
                if let Some(held) = &mut self.held {
                    held.not_taken();
                }
                self.refused(&reply);
                self.session.not_stored(reply, self.now());
            }
        }
    }

    /// The message is on the device: says so to the client, and hands it to the queue.
    fn stored(&mut self, accepted: Accepted, begun_at: Instant, instead: &[Instead]) {
        let now = self.now();
        self.session.stored(&accepted, now);
        self.reception.metrics.accepted(accepted.octets, now.duration_since(begun_at));
        self.took(accepted.octets, now);
        self.log_accepted(&accepted);
        for one in instead {
            one.tell(accepted.id);
        }
        // If the queue is gone the relay is stopping: the scan at the next start finds the message.
        if let Err(TrySendError::Full(accepted)) = self.reception.accepted.try_send(accepted) {
            self.unqueued = Some(accepted);
        }
    }

    /// Waits until the queue has room for the message that it had no room for.
    async fn queue(&mut self) {
        if let Some(accepted) = self.unqueued.take() {
            Box::pin(self.reception.accepted.send(accepted)).await.ok();
        }
    }

    /// Does the TLS handshake; by its certificate the client may turn out to be one that may relay.
    async fn shake_hands(&mut self, stop: &mut oneshot::Receiver<()>) -> Result<(), End> {
        let client = (&self.client, &mut self.stream);
        let (facts, certificate) = handshake(&self.reception, client, stop).await?;
        self.client.tls = Some(facts);
        // Behind XCLIENT the handshake is with the proxy, and the client is not who the proxy is.
        if certificate.is_some() && !self.client.is_told {
            self.client.certificate = certificate.map(Box::new);
            self.client.connector = self.reception.connector(&self.client);
        }
        Ok(())
    }

    fn log_accepted(&self, accepted: &Accepted) {
        let directions = accepted.envelope.directions.as_deref();
        tracing::info!(
            session = %self.client.session,
            message = %accepted.id,
            listener = %self.reception.config.name,
            connector = self.client.connector.as_deref(),
            client = %self.client.address,
            login = self.client.login(),
            helo = %Plain(&accepted.envelope.origin.helo),
            sender = %accepted.envelope.sender,
            recipients = accepted.envelope.recipients.len(),
            octets = accepted.octets,
            certified = directions.is_some_and(|it| it.is_certified).then_some(true),
            tls = self.client.tls.as_deref(),
            certificate = self.client.subject(),
            "message accepted"
        );
    }
}

/// How long a client may take to close after the last reply. One that did not ask for the end may be in the middle
/// of sending.
const fn linger_wait_max(reason: Reason) -> Duration {
    match reason {
        Reason::Quit | Reason::InputEnded => Duration::ZERO,
        // The relay's stop should not wait for the idle.
        Reason::ShutDown => Duration::from_millis(200),
        Reason::Idle
        | Reason::TooSlow
        | Reason::TotalTime
        | Reason::BadCommands
        | Reason::Transactions
        | Reason::ForeignProtocol
        | Reason::Refused => Duration::from_secs(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_octets<Parts, Run: Future>(_: impl Fn(Parts) -> Run) -> usize {
        size_of::<Run>()
    }

    /// All that a connection awaits lies in its task, whether or not it is awaited: what is large must be boxed.
    #[test]
    fn a_connection_that_waits_is_small() {
        let run = future_octets(|(connection, stop)| Connection::run(connection, stop));
        assert!(run <= 1280, "{run} octets");
    }
}
