//! What follows for each recipient from the end of an attempt; pure.

mod owed;

use std::sync::Arc;
use std::time::Duration;

use dsn::{Action, Event, Notice};
use mail::{
    Address, ByMode, DeliverBy, EnhancedStatus, Envelope, Fate, Notify, Peer, Recipient,
    RecipientOutcome, Reply, Timestamp,
};
use spool::RecipientState;

use crate::shared::word;
use crate::terms::{Moments, Word};

/// What is known of the recipients of a message at one destination.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Each has its own outcome.
    Each(Vec<RecipientOutcome>),
    /// All of them wait for the same reason; if no reply is given, the last one written counts.
    All { reply: Option<Reply>, peer: Option<Arc<Peer>> },
    /// A filter has all of them forgotten.
    Discarded,
}

/// The end of an attempt, as far as a plan needs it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) answer: Answer,
    /// Whether an operator took it out.
    pub(crate) is_cancelled: bool,
    /// Whether there was a try; else its time has come at a destination that cannot be reached.
    pub(crate) is_tried: bool,
    /// Tries so far.
    pub(crate) tries: u16,
    /// When those that wait are tried next, if there was a try.
    pub(crate) next_try_at: Timestamp,
    pub(crate) now: Timestamp,
    /// How much older the message seems than it is, since the clock was set meanwhile.
    pub(crate) grace: Duration,
}

/// What is written about a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) envelope: &'a Envelope,
    pub(crate) states: &'a [RecipientState],
    pub(crate) moments: Moments,
}

/// What a recipient's line in the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Delivered,
    Deferred,
    Failed,
    Expired,
    Cancelled,
    Discarded,
}

impl Status {
    pub(crate) const ALL: [Self; 6] = [
        Self::Delivered,
        Self::Deferred,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Discarded,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
        }
    }
}

/// What becomes of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its place in the envelope.
    pub(crate) recipient: u32,
    pub(crate) address: Address,
    pub(crate) status: Status,
    pub(crate) reply: Reply,
    /// Whether somebody said the reply; else it only says that nobody did.
    pub(crate) is_answered: bool,
    pub(crate) peer: Option<Arc<Peer>>,
}

impl Step {
    /// What the log says of the reply.
    pub(crate) fn words(&self) -> String {
        match self.status {
            Status::Cancelled if !self.is_answered => CANCELLED.to_owned(),
            Status::Discarded => DISCARDED.to_owned(),
            _ => self.reply.to_string(),
        }
    }
}

/// What becomes of a message at one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What became of a try, by recipient.
    pub(crate) steps: Vec<Step>,
    /// What the sender is told.
    pub(crate) notices: Vec<Notice>,
    /// Recipients of whom the sender is told later.
    pub(crate) owed: usize,
    /// Recipients of whose failure the sender does not want to hear.
    pub(crate) unwanted: usize,
    pub(crate) changes: Vec<(u32, RecipientState)>,
    /// Until when recipients wait on at this destination before something besides a try is due; none if no
    /// recipient waits there.
    pub(crate) waits_until: Option<Timestamp>,
    /// Whether no recipient waits anywhere.
    pub(crate) is_finished: bool,
}

const UNANSWERED: EnhancedStatus = EnhancedStatus::new(4, 0, 0);
const EXPIRED: EnhancedStatus = EnhancedStatus::new(4, 4, 7);
const OVERDUE: EnhancedStatus = EnhancedStatus::new(5, 4, 7);
const CANCELLED: &str = "cancelled by an operator";
const DISCARDED: &str = "discarded by a filter";
/// Subjects of enhanced statuses (RFC 3463 §3.4 and §3.8).
const SYSTEM: u16 = 3;
const SECURITY: u16 = 7;

impl Plan {
    /// Plans for the recipients that wait and of which `is_ours` says that they go to the
    /// destination, and tells what the sender is owed of all others.
    pub(crate) fn new(
        known: Known<'_>,
        facts: &Facts,
        is_ours: impl Fn(u32, &Recipient) -> bool,
    ) -> Self {
        let mut plan = Self::empty();
        let Known { envelope, states, .. } = known;
        let outcomes = facts.answer.by_place(states.len());
        let places = (0_u32..).zip(envelope.recipients.iter().zip(states)).zip(outcomes);
        for ((place, (recipient, state)), outcome) in places {
            let RecipientState::Waiting { tries, next_try_at, ref last, is_told } = *state else {
                plan.tell_owed(place, recipient, state);
                continue;
            };
            // What was tried here was ours then, wherever it would go by now.
            if outcome.is_some() || is_ours(place, recipient) {
                let waiting = Waiting { tries, next_try_at, last: last.as_deref(), is_told };
                plan.take((place, recipient, waiting), outcome, known, facts);
            } else {
                plan.is_finished = false;
            }
        }
        plan.is_finished &= plan.waits_until.is_none();
        plan
    }

    const fn empty() -> Self {
        Self {
            steps: vec![],
            notices: vec![],
            owed: 0,
            unwanted: 0,
            changes: vec![],
            waits_until: None,
            is_finished: true,
        }
    }

    /// Plans for one recipient.
    fn take(
        &mut self,
        (place, recipient, waiting): (u32, &Recipient, Waiting<'_>),
        outcome: Option<&RecipientOutcome>,
        known: Known<'_>,
        facts: &Facts,
    ) {
        let is_told = waiting.is_told;
        let mut judged = facts.judge(outcome, waiting.last, known.moments);
        judged.is_told = is_told;
        let mut word = if is_told { Word::NotOwed } else { word(known.envelope, recipient) };
        let event = match judged.status {
            Status::Deferred if word == Word::Owed && known.moments.is_late(facts.now) => {
                (judged.is_told, word) = (true, Word::NotOwed);
                Some(known.moments.late_event())
            }
            status => event(status, recipient, judged.peer.as_deref(), (known.moments, facts.now)),
        };
        let is_failure = event.is_some_and(|event| event.action() == Action::Failed);
        let has_sender = known.envelope.sender.address().is_some();
        if is_failure && has_sender && !recipient.wants(Notify::FAILURE) {
            self.unwanted = self.unwanted.saturating_add(1);
        } else if let Some(event) = event.filter(|_| has_sender || is_failure) {
            // A failure that the null sender would hear of is noted too, so that it is counted (RFC 5321 §6.1).
            self.notices.push(Notice {
                recipient: recipient.address.clone(),
                original: recipient.original.clone(),
                event,
                reply: judged.told(outcome),
                peer: outcome.and_then(|it| it.peer.as_deref().cloned()),
                tries: facts.tries,
                last_try_at: facts.is_tried.then_some(facts.now),
            });
        }
        if judged.status == Status::Deferred {
            let next = known.moments.next(word);
            self.waits_until = Some(self.waits_until.map_or(next, |at| at.min(next)));
            if !facts.is_tried {
                // Nothing is new but that its sender may have been told.
                self.changes.extend(event.map(|_| (place, waiting.told())));
                return;
            }
        }
        self.changes.push((place, facts.written(&judged, known.moments)));
        let Judged { status, reply, said, peer, .. } = judged;
        let is_answered = said != Said::Never;
        let address = recipient.address.clone();
        self.steps.push(Step { recipient: place, address, status, reply, is_answered, peer });
    }

    /// Whether no recipient that waits goes this way, as after a change of the connectors.
    pub(crate) fn touches_nobody(&self) -> bool {
        self.steps.is_empty() && self.waits_until.is_none()
    }

    /// The worst that the sender is told, if anything.
    pub(crate) fn action(&self) -> Option<Action> {
        self.notices.iter().map(|it| it.event.action()).max()
    }
}

/// What is written about a recipient that waits.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    tries: u16,
    next_try_at: Timestamp,
    last: Option<&'a str>,
    is_told: bool,
}

impl Waiting<'_> {
    /// The same, once the sender has been told that it is late.
    fn told(self) -> RecipientState {
        let Self { tries, next_try_at, last, .. } = self;
        RecipientState::Waiting { tries, next_try_at, last: last.map(Box::from), is_told: true }
    }
}

/// What the sender is told of a recipient that does not wait any more.
fn event(
    status: Status,
    recipient: &Recipient,
    peer: Option<&Peer>,
    (moments, now): (Moments, Timestamp),
) -> Option<Event> {
    match status {
        Status::Failed => Some(Event::Refused),
        Status::Expired if moments.is_overdue(now) => Some(Event::Overdue),
        Status::Expired => Some(Event::Expired),
        Status::Delivered if is_told_of_success(recipient, peer, moments.deliver_by) => {
            let is_final = peer.is_some_and(|peer| peer.is_final);
            Some(if is_final { Event::Delivered } else { Event::Relayed })
        }
        Status::Delivered | Status::Deferred | Status::Cancelled | Status::Discarded => None,
    }
}

/// Whether the sender is told that a host took a recipient over: it wants to hear of success, or of each hop, or
/// that nobody looks at the time any more; and the host does not tell it (RFC 3461 §5.2.2, RFC 2852 §4).
fn is_told_of_success(recipient: &Recipient, peer: Option<&Peer>, by: Option<DeliverBy>) -> bool {
    let takes_over = peer.is_some_and(|peer| peer.offers_dsn);
    let keeps_time = peer.is_some_and(|peer| peer.offers_deliver_by || peer.is_final);
    let by = by.filter(|_| recipient.notify != Some(Notify::NEVER));
    (recipient.wants(Notify::SUCCESS) && !takes_over)
        || by.is_some_and(|by| by.is_traced || (by.mode == ByMode::Notify && !keeps_time))
}

impl Answer {
    /// The outcome of each recipient, by its place; a place named twice keeps what is said last.
    fn by_place(&self, len: usize) -> Vec<Option<&RecipientOutcome>> {
        let mut outcomes = vec![None; len];
        if let Self::Each(all) = self {
            for outcome in all {
                let place = usize::try_from(outcome.recipient).unwrap_or(usize::MAX);
                if let Some(slot) = outcomes.get_mut(place) {
                    *slot = Some(outcome);
                }
            }
        }
        outcomes
    }
}

/// When a reply was said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// At the end that is planned for.
    Now,
    /// At an earlier try; by whom is not known any more.
    Before,
    /// Never: it only says that nobody did.
    Never,
}

/// What an outcome means for a recipient.
struct Judged {
    status: Status,
    reply: Reply,
    said: Said,
    peer: Option<Arc<Peer>>,
    /// Whether the sender knows that it is late.
    is_told: bool,
}

impl Judged {
    /// The reply for the eyes of the sender: what the relay found of itself, or of its logins and certificates, is
    /// its operator's business.
    fn told(&self, outcome: Option<&RecipientOutcome>) -> Reply {
        let is_ours = self.said == Said::Now && outcome.is_none_or(|it| it.peer.is_none());
        let words = match self.reply.status().map(EnhancedStatus::subject) {
            Some(SYSTEM) => "the relay has a trouble of its own, which its operator can see",
            Some(SECURITY) if self.reply.status() != Some(EnhancedStatus::FILTERED) => {
                "the relay and the mail server cannot agree on TLS or a login"
            }
            _ => return self.reply.clone(),
        };
        if !is_ours || self.reply.is_permanent() {
            return self.reply.clone();
        }
        Reply::new(self.reply.code(), self.reply.status(), words)
    }
}

impl Facts {
    fn judge(
        &self,
        outcome: Option<&RecipientOutcome>,
        last: Option<&str>,
        moments: Moments,
    ) -> Judged {
        let (fate, reply, peer) = match (&self.answer, outcome) {
            (_, Some(it)) => (it.fate, Some(it.reply.clone()), it.peer.clone()),
            (Answer::All { reply, peer }, None) => (Fate::Deferred, reply.clone(), peer.clone()),
            (Answer::Each(_), None) => (Fate::Deferred, None, None),
            (Answer::Discarded, None) => (Fate::Failed, None, None),
        };
        let said = match (&reply, last) {
            (Some(_), _) => Said::Now,
            (None, Some(_)) => Said::Before,
            (None, None) => Said::Never,
        };
        let reply = reply.or_else(|| last.map(reply_from_words));
        let status = match fate {
            _ if matches!(self.answer, Answer::Discarded) => Status::Discarded,
            Fate::Delivered => Status::Delivered,
            Fate::Failed => Status::Failed,
            Fate::Deferred if self.is_cancelled => Status::Cancelled,
            Fate::Deferred if moments.ends_at <= self.now => Status::Expired,
            Fate::Deferred => Status::Deferred,
        };
        let reply = reply.unwrap_or_else(|| self.unanswered());
        Judged { status, reply, said, peer, is_told: false }
    }

    fn written(&self, judged: &Judged, moments: Moments) -> RecipientState {
        let reply = &judged.reply;
        let settled = |fate, reply: String| RecipientState::Settled {
            fate,
            at: self.now,
            reply: reply.into_boxed_str(),
            owed: None,
        };
        match judged.status {
            Status::Delivered => settled(Fate::Delivered, reply.to_string()),
            Status::Failed => settled(Fate::Failed, reply.to_string()),
            Status::Expired => {
                let why = if moments.is_overdue(self.now) {
                    format!("{OVERDUE} not delivered by the time its sender set")
                } else {
                    format!("{EXPIRED} too old")
                };
                settled(Fate::Failed, format!("{why}; the last reply was: {reply}"))
            }
            Status::Cancelled => settled(Fate::Failed, CANCELLED.to_owned()),
            Status::Discarded => settled(Fate::Failed, DISCARDED.to_owned()),
            Status::Deferred => RecipientState::Waiting {
                tries: self.tries,
                next_try_at: self.next_try_at,
                last: Some(reply.to_string().into_boxed_str()),
                is_told: judged.is_told,
            },
        }
    }

    fn unanswered(&self) -> Reply {
        let words = match self.tries {
            0 => "it was not tried yet",
            _ => "no answer was had for this recipient",
        };
        Reply::new(451, Some(UNANSWERED), words)
    }
}

/// A reply from the words in which the spool keeps it: `451 4.7.1 come back later`.
fn reply_from_words(words: &str) -> Reply {
    let (code, rest) = words.split_once(' ').unwrap_or((words, ""));
    let code = code.parse().ok().filter(|code| (200..600).contains(code));
    let Some(code) = code else { return Reply::new(451, Some(UNANSWERED), words) };
    let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
    match first.parse() {
        Ok(status) => Reply::new(code, Some(status), text),
        Err(()) => Reply::new(code, None, rest),
    }
}

#[cfg(test)]
mod tests;
