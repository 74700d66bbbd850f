//! What each reply means, by what it was due for.

use std::time::Instant;

use mail::Reply;

use super::{Answering, Envelope, Phase, Sender, Transaction};
use crate::client::answers::By;
use crate::client::chunks::Answered;
use crate::client::outgoing::After;
use crate::client::words::Loss;

impl Transaction {
    /// Takes one reply for what it was due for.
    pub(super) fn take(&mut self, reply: &Reply, now: Instant) {
        self.waiting_since = now;
        match self.phase {
            Phase::Over(_) => {}
            Phase::Reset if reply.is_success() => self.end(After::Reuse, reply),
            Phase::Reset => self.end(After::Close, reply),
            _ if reply.code() == 421 => self.give_up(reply),
            Phase::Envelope(envelope) => self.take_in_envelope(envelope, reply),
            Phase::Chunks(envelope, _) if envelope.answered <= self.places.len() => {
                self.take_in_flight(envelope, reply);
            }
            Phase::Chunks(_, ref chunks)
                if self.answering == Answering::EachRecipient && chunks.awaits_last() =>
            {
                self.take_for_one(reply);
            }
            Phase::Chunks(envelope, _) => self.take_for_chunk(envelope, reply),
            // An answer before the dot is a no, or none.
            Phase::Body(_) if matches!(reply.code() / 100, 4 | 5) => {
                self.give_up(reply);
            }
            Phase::Body(_) => self.lose(Loss::Malformed),
            Phase::Dot | Phase::LoneDot if reply.code() / 100 == 3 => self.lose(Loss::Malformed),
            Phase::Dot if self.answering == Answering::EachRecipient => self.take_for_one(reply),
            Phase::Dot => {
                self.answers.decide_rest(reply, By::NextHop);
                self.end(After::Reuse, reply);
            }
            Phase::LoneDot => self.end(After::Reuse, reply),
        }
    }

    fn take_in_envelope(&mut self, mut envelope: Envelope, reply: &Reply) {
        let is_data = envelope.answered > self.places.len();
        match reply.code() / 100 {
            3 if is_data && reply.code() == 354 => return self.begin_body(),
            3 => return self.lose(Loss::Malformed),
            // A yes to DATA is none: nothing was handed over.
            2 if is_data => return self.lose(Loss::Malformed),
            _ if is_data && envelope.sender == Sender::Refused => {}
            _ if is_data => self.answers.decide_rest(reply, By::NextHop),
            _ => self.note(&mut envelope, reply),
        }
        envelope.answered += 1;
        self.send_commands(envelope);
    }

    /// A reply to MAIL or RCPT while content goes out.
    fn take_in_flight(&mut self, mut envelope: Envelope, reply: &Reply) {
        if reply.code() / 100 == 3 {
            return self.lose(Loss::Malformed);
        }
        self.note(&mut envelope, reply);
        envelope.answered += 1;
        if let Phase::Chunks(known, _) = &mut self.phase {
            *known = envelope;
        }
    }

    /// Notes what a 2yz, 4yz or 5yz to MAIL or RCPT means.
    fn note(&mut self, envelope: &mut Envelope, reply: &Reply) {
        let answered = envelope.answered;
        match (envelope.sender, reply.is_success()) {
            (Sender::Refused, _) => {}
            (Sender::Open, true) if answered == 0 => {}
            (Sender::Open, true) => self.answers.take(),
            (Sender::Open, false) if answered == 0 => {
                envelope.sender = Sender::Refused;
                self.answers.decide_all(reply, By::NextHop);
            }
            (Sender::Open, false) => {
                if let Some(place) = self.places.get(answered - 1) {
                    self.answers.refuse(*place, reply.clone());
                }
            }
        }
    }

    /// A reply to BDAT.
    fn take_for_chunk(&mut self, envelope: Envelope, reply: &Reply) {
        let Phase::Chunks(_, chunks) = &mut self.phase else { return };
        let answered = chunks.answered();
        let is_in_vain = envelope.sender == Sender::Refused || self.answers.taken() == 0;
        match (reply.code() / 100, answered) {
            (4 | 5, Answered::Whole | Answered::AllSoFar) => {
                self.answers.decide_rest(reply, By::NextHop);
                // Where the next hop stands after a refused chunk is not defined (RFC 3030 §4.1).
                self.reset();
            }
            // More is on the way, so that the connection cannot be made use of.
            (4 | 5, Answered::Early | Answered::Chunk) => self.give_up(reply),
            (2, Answered::Whole) if is_in_vain => self.reset(),
            (2, Answered::Whole) => {
                self.answers.decide_rest(reply, By::NextHop);
                self.end(After::Reuse, reply);
            }
            (2, Answered::AllSoFar | Answered::Chunk) => self.send_chunks(),
            _ => self.lose(Loss::Malformed),
        }
    }

    /// The answer of one recipient to the content; they come in the order of those that were taken (RFC 2033 §4.2).
    fn take_for_one(&mut self, reply: &Reply) {
        if reply.code() / 100 == 3 {
            return self.lose(Loss::Malformed);
        }
        self.answers.decide_next(reply);
        if !self.answers.is_open() {
            self.end(After::Reuse, reply);
        }
    }
}
