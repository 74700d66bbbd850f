//! Lines of a listing.

use schedule::{EntryView, State};
use spool::RecipientState;

use crate::entries::Now;
use crate::request::{Line, Listing};
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

/// Adds what only the spool knows.
pub(super) async fn filled(shared: &Shared, mut listing: Listing) -> Listing {
    let now = Now::of(&shared.clock).wall;
    let policy = shared.policy.hold();
    for line in &mut listing.lines {
        let Ok(stored) = shared.spool.load(line.id).await else { continue };
        line.octets = Some(stored.octets);
        line.sender = Some(stored.envelope.sender.clone());
        let (mut waiting, mut own) = (0_u32, None);
        for (recipient, state) in stored.envelope.recipients.iter().zip(&stored.recipients) {
            let RecipientState::Waiting { last, .. } = state else { continue };
            if routed(&policy.router, recipient) == line.destination {
                waiting = waiting.saturating_add(1);
                own = own.or_else(|| last.clone());
            }
        }
        // What was said of the message itself tells more than that its destination rests.
        line.last_reply = own.or(line.last_reply.take());
        line.recipients = Some(waiting);
        line.is_held = line.state == State::Resting && is_held(&stored.envelope, line.tries, now);
    }
    listing
}
