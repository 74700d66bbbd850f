//! The answers as they come in, one for each recipient.

use std::mem;

use mail::{EnhancedStatus, Fate, Reply};

use crate::client::outgoing::{After, Answer, End};
use crate::client::words;

/// Who said a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    NextHop,
    Us,
}

/// What is decided of each recipient. Decided once, an answer stays.
#[derive(Debug)]
pub(super) struct Answers {
    by_recipient: Vec<Slot>,
    retry_rest: Vec<usize>,
    taken: usize,
}

#[derive(Clone, Debug)]
enum Slot {
    /// RCPT names it, or will.
    Open,
    /// It is one too many for this transaction.
    LeftOut,
    Decided(Answer),
}

/// What RCPT's refusal says where there are too many recipients.
const TOO_MANY: [EnhancedStatus; 2] = [EnhancedStatus::new(4, 5, 3), EnhancedStatus::new(5, 5, 3)];

impl Answers {
    pub(super) fn new(recipients: usize) -> Self {
        Self { by_recipient: vec![Slot::Open; recipients], retry_rest: Vec::new(), taken: 0 }
    }

    /// Recipients that RCPT was answered with yes.
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    /// RCPT was answered with yes; the fate is open.
    pub(super) const fn take(&mut self) {
        self.taken = self.taken.saturating_add(1);
    }

    /// The recipient is for another transaction.
    pub(super) fn leave_out(&mut self, recipient: usize) {
        if let Some(slot) = self.by_recipient.get_mut(recipient) {
            *slot = Slot::LeftOut;
        }
    }

    /// Decides of one recipient in our own words.
    pub(super) fn decide(&mut self, recipient: usize, reply: Reply) {
        let fate = fate(&reply);
        if let Some(slot) = self.by_recipient.get_mut(recipient) {
            slot.decide(Answer { fate, reply, is_remote: false });
        }
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
        if let Some(slot) = self.by_recipient.get_mut(recipient) {
            slot.decide(Answer { fate, reply, is_remote: true });
        }
    }

    /// `reply` decides all that is open; what is no yes or no for ever is deferred.
    pub(super) fn decide_rest(&mut self, reply: &Reply, by: By) {
        for slot in &mut self.by_recipient {
            if let Slot::Open = slot {
                slot.decide(answer(reply, by));
            }
        }
    }

    /// `reply` decides the first recipient that is open.
    pub(super) fn decide_next(&mut self, reply: &Reply) {
        let open = self.by_recipient.iter_mut().find(|slot| matches!(slot, Slot::Open));
        if let Some(slot) = open {
            slot.decide(answer(reply, By::NextHop));
        }
    }

    /// Whether a recipient that RCPT named is open.
    pub(super) fn is_open(&self) -> bool {
        self.by_recipient.iter().any(|slot| matches!(slot, Slot::Open))
    }

    /// `reply`, a no, is for those too that are for another transaction.
    pub(super) fn decide_all(&mut self, reply: &Reply, by: By) {
        self.by_recipient.iter_mut().for_each(|slot| slot.decide(answer(reply, by)));
    }

    /// The end: what is open by now was never answered.
    pub(super) fn end(mut self, connection: After, unanswered: &Reply) -> End {
        // Where nobody got the message, sending it on at once to those that were too many would go the same way.
        let is_delivered = self.by_recipient.iter().any(Slot::is_delivered);
        let mut retry_rest =
            if is_delivered { mem::take(&mut self.retry_rest) } else { Vec::new() };
        let mut recipients = Vec::with_capacity(self.by_recipient.len());
        for (place, slot) in self.by_recipient.into_iter().enumerate() {
            recipients.push(match slot {
                Slot::Decided(answer) => answer,
                Slot::LeftOut if connection == After::Reuse => {
                    retry_rest.push(place);
                    answer(&words::left_out(), By::Us)
                }
                Slot::Open | Slot::LeftOut => {
                    Answer { fate: Fate::Deferred, reply: unanswered.clone(), is_remote: false }
                }
            });
        }
        retry_rest.sort_unstable();
        End {
            recipients,
            connection,
            retry_rest,
            was_dead_before_first_reply: false,
            was_content_sent: false,
        }
    }
}

impl Slot {
    fn decide(&mut self, answer: Answer) {
        if !matches!(self, Self::Decided(_)) {
            *self = Self::Decided(answer);
        }
    }

    fn is_delivered(&self) -> bool {
        matches!(self, Self::Decided(answer) if answer.fate == Fate::Delivered)
    }
}

fn answer(reply: &Reply, by: By) -> Answer {
    Answer { fate: fate(reply), reply: reply.clone(), is_remote: by == By::NextHop }
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
