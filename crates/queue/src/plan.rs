//! What follows for each recipient from the end of an attempt; pure.

use std::sync::Arc;

use dsn::Cause;
use mail::{Address, EnhancedStatus, Envelope, Fate, Peer, RecipientOutcome, Reply, Timestamp};
use schedule::After;
use spool::RecipientState;

/// What is known of the recipients of a message at one destination.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Each has its own outcome.
    Each(Vec<RecipientOutcome>),
    /// All of them wait for the same reason; if no reply is given, the last one written counts.
    All { reply: Option<Reply>, peer: Option<Arc<Peer>> },
}

/// The end of an attempt, as far as a plan needs it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) answer: Answer,
    /// What becomes of recipients that still wait.
    pub(crate) after: After,
    /// Tries so far.
    pub(crate) tries: u16,
    /// When those that wait are tried next.
    pub(crate) next_try_at: Timestamp,
    pub(crate) now: Timestamp,
}

/// What a recipient's line in the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Delivered,
    Deferred,
    Failed,
    Expired,
    Cancelled,
}

impl Status {
    pub(crate) const ALL: [Self; 5] =
        [Self::Delivered, Self::Deferred, Self::Failed, Self::Expired, Self::Cancelled];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the sender is told, and why.
    pub(crate) const fn cause(self) -> Option<Cause> {
        match self {
            Self::Failed => Some(Cause::Refused),
            Self::Expired => Some(Cause::Expired),
            Self::Delivered | Self::Deferred | Self::Cancelled => None,
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
            _ => self.reply.to_string(),
        }
    }
}

/// What becomes of a message at one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) changes: Vec<(u32, RecipientState)>,
    /// Whether some recipient still waits at this destination.
    pub(crate) keeps: bool,
    /// Whether no recipient waits anywhere.
    pub(crate) is_finished: bool,
}

const UNANSWERED: EnhancedStatus = EnhancedStatus::new(4, 0, 0);
const EXPIRED: EnhancedStatus = EnhancedStatus::new(4, 4, 7);
const CANCELLED: &str = "cancelled by an operator";

impl Plan {
    /// Plans for the recipients that wait and of which `is_ours` says that they go to the
    /// destination.
    pub(crate) fn new(
        envelope: &Envelope,
        states: &[RecipientState],
        facts: &Facts,
        is_ours: impl Fn(&Address) -> bool,
    ) -> Self {
        let mut plan = Self { steps: vec![], changes: vec![], keeps: false, is_finished: true };
        let outcomes = facts.answer.by_place(states.len());
        let places = (0_u32..).zip(envelope.recipients.iter().zip(states)).zip(outcomes);
        for ((place, (recipient, state)), outcome) in places {
            let RecipientState::Waiting { last, .. } = state else { continue };
            if !is_ours(&recipient.address) {
                plan.is_finished = false;
                continue;
            }
            let (status, said, peer) = facts.judge(outcome, last.as_deref());
            let is_answered = said.is_some();
            let reply = said.unwrap_or_else(unanswered);
            plan.changes.push((place, facts.written(status, &reply)));
            plan.keeps |= status == Status::Deferred;
            let address = recipient.address.clone();
            plan.steps.push(Step { recipient: place, address, status, reply, is_answered, peer });
        }
        plan.is_finished &= !plan.keeps;
        plan
    }
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

impl Facts {
    fn judge(
        &self,
        outcome: Option<&RecipientOutcome>,
        last: Option<&str>,
    ) -> (Status, Option<Reply>, Option<Arc<Peer>>) {
        let (fate, reply, peer) = match (&self.answer, outcome) {
            (_, Some(it)) => (it.fate, Some(it.reply.clone()), it.peer.clone()),
            (Answer::All { reply, peer }, None) => (Fate::Deferred, reply.clone(), peer.clone()),
            (Answer::Each(_), None) => (Fate::Deferred, None, None),
        };
        let reply = reply.or_else(|| last.map(reply_from_words));
        let status = match (fate, self.after) {
            (Fate::Delivered, _) => Status::Delivered,
            (Fate::Failed, _) => Status::Failed,
            (Fate::Deferred, After::Keep) => Status::Deferred,
            (Fate::Deferred, After::Expire) => Status::Expired,
            (Fate::Deferred, After::Cancel) => Status::Cancelled,
        };
        (status, reply, peer)
    }

    fn written(&self, status: Status, reply: &Reply) -> RecipientState {
        let settled = |fate, reply: String| RecipientState::Settled {
            fate,
            at: self.now,
            reply: reply.into_boxed_str(),
        };
        match status {
            Status::Delivered => settled(Fate::Delivered, reply.to_string()),
            Status::Failed => settled(Fate::Failed, reply.to_string()),
            Status::Expired => {
                settled(Fate::Failed, format!("{EXPIRED} too old; the last reply was: {reply}"))
            }
            Status::Cancelled => settled(Fate::Failed, CANCELLED.to_owned()),
            Status::Deferred => RecipientState::Waiting {
                tries: self.tries,
                next_try_at: self.next_try_at,
                last: Some(reply.to_string().into_boxed_str()),
            },
        }
    }
}

fn unanswered() -> Reply {
    Reply::new(451, Some(UNANSWERED), "no answer was had for this recipient")
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
mod tests {
    use mail::{BodyType, Origin, Recipient, ReversePath, Wishes};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const LATER: Timestamp = Timestamp::from_millis(2_000_000);

    fn envelope(recipients: &[&str]) -> Envelope {
        let recipient = |text: &&str| Recipient::from(Address::parse(text).unwrap());
        Envelope {
            sender: ReversePath::Null,
            recipients: recipients.iter().map(recipient).collect(),
            body_type: BodyType::SevenBit,
            needs_smtputf8: false,
            wishes: Wishes::default(),
            origin: Origin {
                client: None,
                helo: "".into(),
                listener: "".into(),
                connector: "".into(),
                tls: None,
            },
        }
    }

    fn outcome(recipient: u32, fate: Fate, code: u16) -> RecipientOutcome {
        RecipientOutcome { recipient, fate, reply: Reply::new(code, None, "words"), peer: None }
    }

    fn facts(answer: Answer, after: After) -> Facts {
        Facts { answer, after, tries: 3, next_try_at: LATER, now: NOW }
    }

    fn plan(states: &[RecipientState], facts: &Facts) -> Plan {
        let envelope = envelope(&["a@x.example", "b@x.example", "c@y.example", "d@x.example"]);
        Plan::new(&envelope, states, facts, |address| address.as_str().ends_with("@x.example"))
    }

    fn fresh() -> Vec<RecipientState> {
        vec![RecipientState::fresh(NOW); 4]
    }

    #[test]
    fn each_recipient_of_the_destination_has_its_own_end() {
        let answer = Answer::Each(vec![
            outcome(0, Fate::Delivered, 250),
            outcome(1, Fate::Failed, 550),
            outcome(9, Fate::Delivered, 250),
        ]);
        let plan = plan(&fresh(), &facts(answer, After::Keep));
        let seen: Vec<_> = plan.steps.iter().map(|it| (it.recipient, it.status)).collect();
        // The third goes elsewhere; the fourth was not answered, so it waits.
        assert_eq!(seen, [(0, Status::Delivered), (1, Status::Failed), (3, Status::Deferred)]);
        assert!(plan.keeps && !plan.is_finished);
        let (_, last) = &plan.changes[2];
        assert_eq!(
            *last,
            RecipientState::Waiting {
                tries: 3,
                next_try_at: LATER,
                last: Some("451 4.0.0 no answer was had for this recipient".into()),
            }
        );
    }

    #[test]
    fn a_message_is_finished_with_its_last_recipient_anywhere() {
        let settled = |fate| RecipientState::Settled { fate, at: NOW, reply: "250 ok".into() };
        let all = || Answer::All { reply: Some(Reply::new(451, None, "no")), peer: None };
        let mut states = fresh();
        assert!(!plan(&states, &facts(all(), After::Expire)).is_finished, "one waits elsewhere");
        states[2] = settled(Fate::Delivered);
        assert!(plan(&states, &facts(all(), After::Expire)).is_finished);
        assert!(!plan(&states, &facts(all(), After::Keep)).is_finished);
        let none = plan(&vec![settled(Fate::Failed); 4], &facts(all(), After::Keep));
        assert!(none.is_finished && none.changes.is_empty() && !none.keeps);
    }

    #[test]
    fn what_expires_quotes_the_last_reply() {
        let mut states = fresh();
        let last = Some("450 4.2.0 greylisted for now".into());
        states[0] = RecipientState::Waiting { tries: 9, next_try_at: NOW, last };
        let answer = Answer::All { reply: None, peer: None };
        let plan = plan(&states, &facts(answer, After::Expire));
        let step = &plan.steps[0];
        assert_eq!(
            (step.status, step.reply.to_string().as_str()),
            (Status::Expired, "450 4.2.0 greylisted for now")
        );
        assert!(
            matches!(&plan.changes[0].1, RecipientState::Settled { fate: Fate::Failed, reply, .. }
            if &**reply == "4.4.7 too old; the last reply was: 450 4.2.0 greylisted for now")
        );
    }

    #[test]
    fn cancelling_reports_to_nobody_and_spares_what_was_delivered() {
        let answer =
            Answer::Each(vec![outcome(0, Fate::Delivered, 250), outcome(1, Fate::Deferred, 451)]);
        let plan = plan(&fresh(), &facts(answer, After::Cancel));
        let seen: Vec<_> = plan.steps.iter().map(|it| it.status).collect();
        assert_eq!(seen, [Status::Delivered, Status::Cancelled, Status::Cancelled]);
        assert!(seen.iter().all(|status| status.cause().is_none()));
        // What was never answered is not said to have been.
        let words: Vec<_> = plan.steps.iter().map(Step::words).collect();
        assert_eq!(words, ["250 words", "451 words", "cancelled by an operator"]);
    }

    #[test]
    fn replies_come_back_from_their_words() {
        for words in ["451 4.7.1 come back", "250 ok then", "550 5.1.1", "421"] {
            assert_eq!(reply_from_words(words).to_string().trim_end(), words);
        }
        assert_eq!(reply_from_words("odd words").to_string(), "451 4.0.0 odd words");
    }
}
