//! The answers as they come in, one for each recipient.

use mail::{EnhancedStatus, Fate, Reply};

use crate::client::outgoing::{After, Answer, End};

/// Who said a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    NextHop,
    Us,
}

/// What is decided of each recipient. Decided once, an answer stays.
#[derive(Debug)]
pub(super) struct Answers {
    by_recipient: Vec<Option<Answer>>,
    retry_rest: Vec<usize>,
    taken: usize,
}

/// What RCPT's refusal says where there are too many recipients.
const TOO_MANY: [EnhancedStatus; 2] = [EnhancedStatus::new(4, 5, 3), EnhancedStatus::new(5, 5, 3)];

impl Answers {
    pub(super) fn new(recipients: usize) -> Self {
        Self { by_recipient: vec![None; recipients], retry_rest: Vec::new(), taken: 0 }
    }

    /// Recipients that RCPT was answered with yes.
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    /// RCPT was answered with yes; the fate is open.
    pub(super) const fn take(&mut self) {
        self.taken = self.taken.saturating_add(1);
    }

    /// RCPT was answered with no.
    ///
    /// 452 behind recipients that were taken means too many, and so does 552, which RFC 821 had for it
    /// (RFC 5321 §4.5.3.1.10), unless the enhanced status says something else. A 552 is never final here.
    pub(super) fn refuse(&mut self, recipient: usize, reply: Reply) {
        let says_too_many = reply.status().is_none_or(|status| TOO_MANY.contains(&status));
        if matches!(reply.code(), 452 | 552) && says_too_many && self.taken > 0 {
            self.retry_rest.push(recipient);
        }
        let fate = if reply.code() == 552 { Fate::Deferred } else { fate(&reply) };
        if let Some(answer @ None) = self.by_recipient.get_mut(recipient) {
            *answer = Some(Answer { fate, reply, is_remote: true });
        }
    }

    /// `reply` decides all that is open; what is no yes or no for ever is deferred.
    pub(super) fn decide_rest(&mut self, reply: &Reply, by: By) {
        let is_remote = by == By::NextHop;
        for answer in self.by_recipient.iter_mut().filter(|answer| answer.is_none()) {
            *answer = Some(Answer { fate: fate(reply), reply: reply.clone(), is_remote });
        }
    }

    /// The end: what is open by now was never answered.
    pub(super) fn end(self, connection: After, unanswered: &Reply) -> End {
        let deferred =
            || Answer { fate: Fate::Deferred, reply: unanswered.clone(), is_remote: false };
        let recipients: Vec<Answer> =
            self.by_recipient.into_iter().map(|answer| answer.unwrap_or_else(deferred)).collect();
        // Where nobody got the message, sending it on at once would go the same way.
        let is_delivered = recipients.iter().any(|answer| answer.fate == Fate::Delivered);
        let retry_rest = if is_delivered { self.retry_rest } else { Vec::new() };
        End { recipients, connection, retry_rest, was_dead_before_first_reply: false }
    }
}

/// A 421 closes, but says nothing for ever; a 3yz is no answer.
fn fate(reply: &Reply) -> Fate {
    if reply.is_success() {
        Fate::Delivered
    } else if reply.is_permanent() {
        Fate::Failed
    } else {
        Fate::Deferred
    }
}
