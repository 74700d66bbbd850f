//! Lines of a listing.

use schedule::{EntryView, State};
use spool::RecipientState;

use crate::entries::Now;
use crate::request::{Line, Listing, Parties};
use crate::shared::{Shared, is_held, routed};

pub(super) fn line(view: &EntryView<'_>, now: Now) -> Line {
    Line {
        id: view.id,
        destination: view.destination.clone(),
        state: view.state,
        is_held: false,
        received_at: view.received_at,
        tries: view.tries,
        next_try_at: view.next_try.map(|at| now.wall_of(at)),
        octets: None,
        sender: None,
        recipients: None,
        last_reply: view.last_failure.map(|reply| reply.to_string().into()),
    }
}

/// Whether an entry waits for an operator's hand.
pub(super) fn waits_by_hand(view: &EntryView<'_>, now: Now) -> bool {
    view.next_try.is_some_and(|at| now.wall_of(at).is_by_hand())
}

/// Adds what only the spool knows, and leaves out whom nobody looks for.
pub(super) async fn filled(
    shared: &Shared,
    mut listing: Listing,
    parties: Option<&Parties>,
) -> Listing {
    let mut kept = Vec::with_capacity(listing.lines.len());
    for line in listing.lines {
        kept.extend(filled_line(shared, line, parties).await);
    }
    listing.lines = kept;
    listing
}

async fn filled_line(shared: &Shared, mut line: Line, parties: Option<&Parties>) -> Option<Line> {
    let now = Now::of(&shared.clock).wall;
    let policy = shared.policy.hold();
    let Ok(stored) = shared.spool.load(line.id).await else {
        return parties.is_none().then_some(line);
    };
    let (sender, recipient) = parties
        .map_or((None, None), |parties| (parties.sender.as_ref(), parties.recipient.as_ref()));
    if sender.is_some_and(|sender| !sender.is_sender(&stored.envelope.sender)) {
        return None;
    }
    let (mut waiting, mut own, mut is_for) = (0_u32, None, recipient.is_none());
    for (to, state) in stored.envelope.recipients.iter().zip(&stored.recipients) {
        let RecipientState::Waiting { last, .. } = state else { continue };
        if routed(&policy.router, to) == line.destination {
            waiting = waiting.saturating_add(1);
            own = own.or_else(|| last.clone());
            is_for |= recipient.is_some_and(|recipient| recipient.is(&to.address));
        }
    }
    // What was said of the message itself tells more than that its destination rests.
    line.last_reply = own.or(line.last_reply.take());
    line.recipients = Some(waiting);
    line.is_held = line.state == State::Resting && is_held(&stored.envelope, line.tries, now);
    line.octets = Some(stored.octets);
    line.sender = Some(stored.envelope.sender.clone());
    is_for.then_some(line)
}
