//! What operators ask.

use std::sync::Arc;

use mail::{Destination, MessageId};
use schedule::State;
use spool::RecipientState;

use super::Queue;
use super::search::{Places, Search, Wish};
use crate::entries::Now;
use crate::request::{Cancelled, Listing, Request, Retried, Shown, ShownRecipient, Summary};
use crate::shared::{Shared, is_held, routed};

/// A list reads each of its messages from the spool.
const LINES_MAX: usize = 10_000;

impl Queue {
    /// Answers a request; what goes through the whole queue or needs the spool is done beside the loop.
    pub(super) fn answer(&mut self, request: Request, now: Now) {
        self.schedule.advance(now.instant);
        match request {
            Request::List { selection, limit, look, reply } => {
                let (listing, limit) = (Listing::default(), limit.min(LINES_MAX));
                let wish = Wish::List { listing, limit, look, found: None, reply };
                self.begin_search(selection, wish);
            }
            Request::Show { id, reply } => {
                let states = self.schedule.entries_of(id);
                let standing = |it: schedule::EntryView<'_>| Standing {
                    destination: it.destination.clone(),
                    state: it.state,
                    waits_for: it.last_failure.map(|reply| reply.to_string().into()),
                };
                let states = states.map(standing).collect();
                let shared = Arc::clone(&self.shared);
                self.answers.push(Box::pin(async move {
                    drop(reply.send(shown(&shared, id, states).await));
                }));
            }
            Request::Retry { selection, reply } => {
                self.begin_search(selection, Wish::Retry { retried: Retried::default(), reply });
            }
            Request::Cancel { selection, reply } => {
                let cancelled = Cancelled::default();
                self.begin_search(selection, Wish::Cancel { cancelled, reply });
            }
            Request::Summary { limit: 0, reply } => drop(reply.send(self.summary())),
            Request::Summary { limit, reply } => {
                let search = Places::new(limit.min(LINES_MAX), reply);
                self.searches.push_back(Search::Places(search));
            }
        }
    }

    /// The queue in figures, but for its destinations.
    pub(super) fn summary(&self) -> Summary {
        let schedule::Counts { ready, resting, in_flight } = self.schedule.counts();
        Summary {
            messages: self.schedule.messages_len(),
            ready,
            resting,
            in_flight,
            oldest_at: self.schedule.oldest_at(),
            destinations_total: self.schedule.places_len(),
            destinations: Vec::new(),
            is_recovering: self.is_recovering,
            limits: self.allowances.lines(self.now()),
        }
    }
}

/// How a message stands at a destination.
struct Standing {
    destination: Destination,
    state: State,
    waits_for: Option<Box<str>>,
}

async fn shown(shared: &Shared, id: MessageId, states: Vec<Standing>) -> Option<Shown> {
    let stored = shared.spool.load(id).await.ok()?;
    let now = Now::of(&shared.clock).wall;
    let policy = shared.policy.hold();
    let recipient = |(recipient, written): (&mail::Recipient, RecipientState)| {
        let destination = policy.router.route_of(recipient).ok();
        let at = routed(&policy.router, recipient);
        let standing = states.iter().find(|it| it.destination == at);
        let standing = standing.filter(|_| written.is_waiting());
        let state = standing.map(|it| it.state);
        let resting = standing.filter(|it| it.state == State::Resting);
        let waits_for = resting.and_then(|it| it.waits_for.clone());
        let is_held = match written {
            RecipientState::Waiting { tries, .. } => {
                state == Some(State::Resting) && is_held(&stored.envelope, tries, now)
            }
            RecipientState::Settled { .. } => false,
        };
        let address = recipient.address.clone();
        ShownRecipient { address, written, destination, state, waits_for, is_held }
    };
    let recipients = stored.envelope.recipients.iter().zip(stored.recipients.clone());
    Some(Shown {
        id,
        recipients: recipients.map(recipient).collect(),
        envelope: stored.envelope,
        received_at: stored.received_at,
        octets: stored.octets,
    })
}
