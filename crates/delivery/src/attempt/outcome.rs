//! What becomes of an attempt: the outcome of each recipient, and the end.

use std::sync::Arc;

use mail::{AttemptEnd, Fate, Outcome, Peer, RecipientOutcome, Reply};

use super::{Finished, Sending};
use crate::dial::{NoConnection, stopping};
use crate::words::{NO_ROUTE, later};

impl Sending<'_> {
    pub(super) fn give_up(&mut self, error: NoConnection) -> Finished {
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

    pub(super) fn answer_rest(&mut self, fate: Fate, reply: &Reply, peer: Option<&Arc<Peer>>) {
        for batch in std::mem::take(&mut self.batches) {
            self.answer(&batch, fate, reply, peer);
        }
    }

    pub(super) fn answer(
        &mut self,
        batch: &[usize],
        fate: Fate,
        reply: &Reply,
        peer: Option<&Arc<Peer>>,
    ) {
        for place in batch {
            self.note(*place, fate, reply, peer.cloned());
        }
    }

    pub(super) fn note(
        &mut self,
        place: usize,
        fate: Fate,
        reply: &Reply,
        peer: Option<Arc<Peer>>,
    ) {
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

    pub(super) fn finish_answered(&mut self) -> Finished {
        let outcomes = std::mem::take(&mut self.outcomes);
        self.finish(Outcome::Answered(outcomes))
    }

    /// Keeps the connection for the next message, before the queue learns that its slot is free.
    pub(super) fn finish(&mut self, outcome: Outcome) -> Finished {
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

    /// The places of those for whom there is no outcome, in order.
    fn places_left(&self) -> Box<[u32]> {
        let place = |place: &usize| u32::try_from(*place).unwrap_or(u32::MAX);
        let mut places: Box<[u32]> = self.batches.iter().flatten().map(place).collect();
        places.sort_unstable();
        places
    }

    pub(super) fn end(&self, outcome: Outcome) -> AttemptEnd {
        AttemptEnd {
            attempt: self.attempt.clone(),
            held: names_nobody(&outcome).then(|| self.places_left()),
            outcome,
            is_further: self.is_further,
            connect_wait: self.connect_wait,
            transmit_wait: self.transmit_wait,
        }
    }
}

/// Whether an outcome speaks of all whom the attempt still held, without naming them.
const fn names_nobody(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Discarded | Outcome::Unreachable { .. } | Outcome::Hindered { .. } => true,
        Outcome::Answered(_)
        | Outcome::Taken { .. }
        | Outcome::Decided(_)
        | Outcome::Elsewhere
        | Outcome::Missing => false,
    }
}

/// No host was found to try.
fn none_left() -> Reply {
    later(NO_ROUTE, "no host is left to try")
}
