//! What the sender is told later, since more of the same attempt is to come.

use dsn::{Event, Notice};
use mail::{Envelope, Fate, Recipient};
use spool::{Owed, RecipientState};

use super::{Answer, Facts, Known, Plan, Waiting, reply_from_words};
use crate::terms::Moments;

impl Plan {
    /// Plans for whom hosts have taken of an attempt that goes on. What the sender wants to hear of them is written down
    /// as owed, and told with more of it. Takes time for those that were taken, however many recipients there are.
    pub(crate) fn of_taken(envelope: &Envelope, moments: Moments, facts: &Facts) -> Self {
        let mut plan = Self { is_finished: false, ..Self::empty() };
        let known = Known { envelope, states: &[], moments };
        let Answer::Each(outcomes) = &facts.answer else { return plan };
        for outcome in outcomes.iter().filter(|it| it.fate != Fate::Deferred) {
            let place = usize::try_from(outcome.recipient).unwrap_or(usize::MAX);
            let Some(recipient) = envelope.recipients.get(place) else { continue };
            // It was waiting, or it would not have been tried.
            let (tries, next_try_at) = (facts.tries, facts.now);
            let waiting = Waiting { tries, next_try_at, last: None, is_told: false };
            plan.take((outcome.recipient, recipient, waiting), Some(outcome), known, facts);
            plan.owe_last();
        }
        plan
    }

    /// Plans for what the sender is owed, and for nobody who waits.
    pub(crate) fn of_owed(envelope: &Envelope, states: &[RecipientState]) -> Self {
        let mut plan = Self::empty();
        for (place, (recipient, state)) in (0_u32..).zip(envelope.recipients.iter().zip(states)) {
            plan.is_finished &= !state.is_waiting();
            plan.tell_owed(place, recipient, state);
        }
        plan
    }

    /// What would be told of the last recipient is owed instead.
    fn owe_last(&mut self) {
        let Some(Notice { tries, peer, .. }) = self.notices.pop() else { return };
        if let Some((_, RecipientState::Settled { owed, .. })) = self.changes.last_mut() {
            *owed = Some(Box::new(Owed { tries, peer }));
            self.owed = self.owed.saturating_add(1);
        }
    }

    /// Tells what is owed of a recipient that is settled, if something is; then it is owed no more.
    pub(super) fn tell_owed(&mut self, place: u32, recipient: &Recipient, state: &RecipientState) {
        let RecipientState::Settled { fate, at, reply, owed: Some(owed) } = state else { return };
        let is_final = owed.peer.as_ref().is_some_and(|peer| peer.is_final);
        self.notices.push(Notice {
            recipient: recipient.address.clone(),
            original: recipient.original.clone(),
            event: match fate {
                Fate::Delivered if is_final => Event::Delivered,
                Fate::Delivered => Event::Relayed,
                Fate::Deferred | Fate::Failed => Event::Refused,
            },
            reply: reply_from_words(reply),
            peer: owed.peer.clone(),
            tries: owed.tries,
            last_try_at: Some(*at),
        });
        let (fate, at, reply, owed) = (*fate, *at, reply.clone(), None);
        self.changes.push((place, RecipientState::Settled { fate, at, reply, owed }));
    }
}
