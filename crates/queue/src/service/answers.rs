//! What operators ask.

use std::sync::Arc;

use mail::{Destination, MessageId};
use schedule::{Cancel, EntryView, State};
use spool::RecipientState;

use super::Queue;
use crate::entries::Now;
use crate::request::{
    Cancelled, DestinationLine, Line, Listing, Request, Selection, Shown, ShownRecipient, Summary,
};
use crate::shared::{Shared, routed};

/// A list reads each of its messages from the spool.
const LINES_MAX: usize = 10_000;

impl Queue {
    /// Answers a request; what needs the spool is put together beside the loop.
    pub(super) fn answer(&mut self, request: Request, now: Now) {
        self.schedule.advance(now.instant);
        match request {
            Request::List { selection, limit, reply } => {
                let listing = self.list(&selection, limit.min(LINES_MAX), now);
                let shared = Arc::clone(&self.shared);
                self.answers.push(Box::pin(async move {
                    // Nobody waits any more if the send fails.
                    drop(reply.send(filled(&shared, listing).await));
                }));
            }
            Request::Show { id, reply } => {
                let states = self.schedule.entries_of(id);
                let states = states.map(|it| (it.destination.clone(), it.state)).collect();
                let shared = Arc::clone(&self.shared);
                self.answers.push(Box::pin(async move {
                    drop(reply.send(shown(&shared, id, states).await));
                }));
            }
            Request::Retry { selection, reply } => drop(reply.send(self.retry(&selection))),
            Request::Cancel { selection, reply } => drop(reply.send(self.cancel(&selection))),
            Request::Summary { limit, reply } => drop(reply.send(self.summary(limit, now))),
        }
    }

    fn list(&self, selection: &Selection, limit: usize, now: Now) -> Listing {
        let mut listing = Listing::default();
        self.each(selection, &mut |view| {
            if listing.lines.len() < limit {
                listing.lines.push(line(view, now));
            }
            listing.found = listing.found.saturating_add(1);
        });
        listing
    }

    fn retry(&mut self, selection: &Selection) -> usize {
        let selected = self.selected(selection);
        let count = selected.iter().filter(|(id, to)| self.schedule.retry(*id, to)).count();
        tracing::info!(
            entries = count,
            ids_count = selection.ids.len(),
            ids = selection.ids_words(),
            destination = selection.destination.as_deref(),
            connector = selection.connector.as_deref(),
            state = selection.state.map(tracing::field::display),
            "retry by an operator"
        );
        count
    }

    fn cancel(&mut self, selection: &Selection) -> Cancelled {
        let mut cancelled = Cancelled::default();
        for (id, destination) in self.selected(selection) {
            match self.schedule.cancel(id, &destination) {
                Some(Cancel::Leaves) => cancelled.cancelled = cancelled.cancelled.saturating_add(1),
                Some(Cancel::AfterThisTry) => {
                    cancelled.after_this_try = cancelled.after_this_try.saturating_add(1);
                }
                None => {}
            }
        }
        tracing::info!(
            cancelled = cancelled.cancelled,
            after_this_try = cancelled.after_this_try,
            ids_count = selection.ids.len(),
            ids = selection.ids_words(),
            destination = selection.destination.as_deref(),
            connector = selection.connector.as_deref(),
            state = selection.state.map(tracing::field::display),
            "cancel by an operator"
        );
        cancelled
    }

    pub(super) fn summary(&self, limit: usize, now: Now) -> Summary {
        let mut summary = Summary {
            messages: self.schedule.messages_len(),
            oldest_at: self.schedule.oldest_at(),
            is_recovering: self.is_recovering,
            ..Summary::default()
        };
        for place in self.schedule.places() {
            summary.destinations_total = summary.destinations_total.saturating_add(1);
            // What waits for its destination's rest to end, rests.
            let (ready, waits) = match place.rests_until {
                Some(_) => (0, place.ready),
                None => (place.ready, 0),
            };
            summary.ready = summary.ready.saturating_add(ready);
            summary.resting = summary.resting.saturating_add(place.resting).saturating_add(waits);
            summary.in_flight = summary.in_flight.saturating_add(place.in_flight);
        }
        if limit > 0 {
            let mut places: Vec<_> = self.schedule.places().collect();
            places.sort_by(|a, b| {
                let size = |it: &schedule::PlaceView<'_>| it.ready + it.resting + it.in_flight;
                size(b).cmp(&size(a)).then_with(|| a.destination.cmp(b.destination))
            });
            let line = |place: schedule::PlaceView<'_>| DestinationLine {
                destination: place.destination.clone(),
                ready: place.ready,
                resting: place.resting,
                in_flight: place.in_flight,
                rests_until: place.rests_until.map(|at| now.wall_of(at)),
                connect_failures: place.connect_failures,
                last_failure: place.last_failure.map(|reply| reply.to_string().into()),
            };
            summary.destinations = places.into_iter().take(limit).map(line).collect();
        }
        summary
    }

    fn selected(&self, selection: &Selection) -> Vec<(MessageId, Destination)> {
        let mut selected = Vec::new();
        self.each(selection, &mut |view| selected.push((view.id, view.destination.clone())));
        selected
    }

    /// Shows `take` each entry that fits, oldest message first.
    fn each(&self, selection: &Selection, take: &mut dyn FnMut(&EntryView<'_>)) {
        // The name is compared once for each destination, not once for each entry.
        let place = selection.destination.as_deref().map(|name| {
            let mut all = self.schedule.places().map(|place| place.destination);
            all.find(|destination| destination.to_string() == name)
        });
        let connector = selection.connector.as_deref();
        let fits = |view: &EntryView<'_>| {
            place.is_none_or(|place| place == Some(view.destination))
                && connector.is_none_or(|name| view.destination.connector() == name)
                && selection.state.is_none_or(|state: State| state == view.state)
        };
        if selection.ids.is_empty() {
            self.schedule.entries().filter(fits).for_each(|view| take(&view));
        } else {
            let entries = selection.ids.iter().flat_map(|id| self.schedule.entries_of(*id));
            entries.filter(fits).for_each(|view| take(&view));
        }
    }
}

fn line(view: &EntryView<'_>, now: Now) -> Line {
    Line {
        id: view.id,
        destination: view.destination.clone(),
        state: view.state,
        received_at: view.received_at,
        tries: view.tries,
        next_try_at: view.next_try.map(|at| now.wall_of(at)),
        octets: None,
        sender: None,
        recipients: None,
        last_reply: view.last_failure.map(|reply| reply.to_string().into()),
    }
}

/// Adds what only the spool knows.
async fn filled(shared: &Shared, mut listing: Listing) -> Listing {
    for line in &mut listing.lines {
        let Ok(stored) = shared.spool.load(line.id).await else { continue };
        line.octets = Some(stored.octets);
        line.sender = Some(stored.envelope.sender.clone());
        let (mut waiting, mut own) = (0_u32, None);
        for (recipient, state) in stored.envelope.recipients.iter().zip(&stored.recipients) {
            let RecipientState::Waiting { last, .. } = state else { continue };
            if routed(&shared.router, &recipient.address) == line.destination {
                waiting = waiting.saturating_add(1);
                own = own.or_else(|| last.clone());
            }
        }
        // What was said of the message itself tells more than that its destination rests.
        line.last_reply = own.or(line.last_reply.take());
        line.recipients = Some(waiting);
    }
    listing
}

async fn shown(shared: &Shared, id: MessageId, states: Vec<(Destination, State)>) -> Option<Shown> {
    let stored = shared.spool.load(id).await.ok()?;
    let recipient = |(recipient, written): (&mail::Recipient, RecipientState)| {
        let destination = shared.router.route(&recipient.address).ok();
        let at = routed(&shared.router, &recipient.address);
        let state = states.iter().find(|(it, _)| *it == at).map(|(_, state)| *state);
        let state = state.filter(|_| written.is_waiting());
        ShownRecipient { address: recipient.address.clone(), written, destination, state }
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
