//! How a transaction ends.

use std::mem;

use mail::{Fate, Reply};

use super::{Envelope, Phase, Transaction};
use crate::client::answers::{Answers, By};
use crate::client::outgoing::{After, Answer, Step};
use crate::client::words::{self, Loss};

impl Transaction {
    /// No usable reply comes any more.
    pub(super) fn lose(&mut self, loss: Loss) {
        let recipients = self.places.len();
        let to = match &self.phase {
            Phase::Over(_) => return,
            Phase::Envelope(envelope) | Phase::Chunks(envelope, _) if envelope.answered == 0 => {
                "MAIL"
            }
            Phase::Envelope(envelope) | Phase::Chunks(envelope, _)
                if envelope.answered <= recipients =>
            {
                "RCPT"
            }
            Phase::Envelope(_) => "DATA",
            Phase::Dot | Phase::LoneDot => "the final dot",
            Phase::Chunks(_, chunks) if chunks.is_given_out() => "the last chunk",
            Phase::Body(_) | Phase::Chunks(..) => "the content",
            Phase::Reset => "RSET",
        };
        let was_dead = loss == Loss::Closed && self.is_before_first_reply();
        self.finish(&words::loss(loss, to), By::Us, was_dead.into());
    }

    /// The next hop ends it all.
    pub(super) fn give_up(&mut self, reply: &Reply) {
        if let Phase::Chunks(envelope, _) = &self.phase
            && envelope.answered <= self.places.len()
        {
            // It has not looked at the content.
            self.is_content_sent = false;
        }
        let first =
            if reply.code() == 421 { self.is_before_first_reply().into() } else { First::Came };
        self.finish(reply, By::NextHop, first);
    }

    const fn is_before_first_reply(&self) -> bool {
        matches!(
            self.phase,
            Phase::Envelope(Envelope { answered: 0, .. })
                | Phase::Chunks(Envelope { answered: 0, .. }, _)
        )
    }

    fn finish(&mut self, reply: &Reply, by: By, first: First) {
        self.answers.decide_rest(reply, by);
        self.sends.clear();
        self.tail.clear();
        self.end(After::Close, reply);
        if let Phase::Over(Some(Step::Done(end))) = &mut self.phase {
            end.was_dead_before_first_reply = first == First::Missing;
        }
    }

    pub(super) fn end(&mut self, connection: After, unanswered: &Reply) {
        let answers = mem::replace(&mut self.answers, Answers::new(0));
        let mut end = answers.end(connection, unanswered);
        end.was_content_sent = self.is_content_sent;
        self.phase = Phase::Over(Some(Step::Done(end)));
    }

    /// An end that came before all was sent leaves the two sides out of step, and is no yes to a message that the next
    /// hop does not have.
    pub(super) fn cut_short(&mut self) {
        let Phase::Over(Some(Step::Done(end))) = &mut self.phase else { return };
        self.sends.clear();
        self.tail.clear();
        end.connection = After::Close;
        end.retry_rest.clear();
        let is_delivered = |answer: &&mut Answer| answer.fate == Fate::Delivered;
        for answer in end.recipients.iter_mut().filter(is_delivered) {
            let reply = words::loss(Loss::Malformed, "the final dot");
            *answer = Answer { fate: Fate::Deferred, reply, is_remote: false };
        }
    }

    /// More came than was asked for, or the connection went: it is good for nothing more.
    pub(super) fn distrust(&mut self) {
        if let Phase::Over(Some(Step::Done(end))) = &mut self.phase {
            end.connection = After::Close;
        }
    }
}

/// Whether the first reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Came,
    Missing,
}

impl From<bool> for First {
    fn from(is_missing: bool) -> Self {
        if is_missing { Self::Missing } else { Self::Came }
    }
}
