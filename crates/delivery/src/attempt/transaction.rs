//! One transaction of an attempt: its content is made ready, it is driven, its answers are sorted.

use std::sync::Arc;

use mail::{Fate, Timestamp};
use policy::config::{OutboundConnector, Protocol};
use smtp_session::client::{After, Answer, Outgoing, Timeouts, Transaction};
use spool::ReadError;

use super::Sending;
use crate::body::Body;
use crate::connection::Connection;
use crate::dial::Dial;
use crate::drive::{Driven, drive};
use crate::return_path;
use crate::seven_bit::{self, Unfit};
use crate::words::{BAD_CONNECTION, OUR_SIDE, in_our_words, in_words, later, with_host};

impl Sending<'_> {
    /// Sends one transaction and sorts its answers.
    pub(super) async fn send(
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

    fn outgoing(&self, batch: &[usize]) -> Outgoing {
        let envelope = &self.message.stored.envelope;
        let now = Timestamp::from_millis(self.shared.clock.unix_millis());
        let way = (self.connector, &self.shared.return_paths);
        let mailed = (self.attempt.id, &envelope.sender, envelope.directions.as_deref());
        Outgoing {
            sender: return_path::of(mailed, batch, way, now),
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
