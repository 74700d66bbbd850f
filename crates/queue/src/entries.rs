//! From messages to entries of the schedule.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail::{Destination, Envelope, MessageId, Timestamp};
use policy::Router;
use schedule::Entry;
use spool::RecipientState;

use crate::shared::routed;

/// Recipients without a route are looked at again one message after the other.
const NO_ROUTE_IN_FLIGHT_MAX: u32 = 20;

/// A message with what is written about its recipients.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: MessageId,
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) received_at: Timestamp,
    pub(crate) recipients: Vec<RecipientState>,
}

/// How entries are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker {
    pub(crate) expire_after: Duration,
    /// No rest is longer: a next try further off was written by a clock that went wrong.
    pub(crate) rest_max: Duration,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: Timestamp,
}

impl Now {
    /// When the wall clock will show `at`; now if it is over.
    pub(crate) fn instant_of(self, at: Timestamp) -> Instant {
        self.instant.checked_add(at.since(self.wall)).unwrap_or(self.instant)
    }

    /// What the wall clock will show at `at`.
    pub(crate) fn wall_of(self, at: Instant) -> Timestamp {
        self.wall.plus(at.saturating_duration_since(self.instant))
    }
}

impl Maker {
    /// One entry for each destination where a recipient waits; none if no recipient waits.
    pub(crate) fn entries(&self, found: &Found, router: &Router, now: Now) -> Vec<Entry> {
        let mut entries: HashMap<Destination, (u16, Timestamp)> = HashMap::new();
        for (recipient, state) in found.envelope.recipients.iter().zip(&found.recipients) {
            let RecipientState::Waiting { tries, next_try_at, .. } = state else { continue };
            let destination = routed(router, &recipient.address);
            let entry = entries.entry(destination).or_insert((*tries, *next_try_at));
            *entry = (entry.0.max(*tries), entry.1.min(*next_try_at));
        }
        let latest = now.instant.checked_add(self.rest_max).unwrap_or(now.instant);
        let expires = now.instant_of(found.received_at.plus(self.expire_after));
        let entry = |(destination, (tries, next_try_at)): (Destination, (u16, Timestamp))| Entry {
            id: found.id,
            in_flight_max: in_flight_max(router, &destination),
            destination,
            received_at: found.received_at,
            tries,
            due: now.instant_of(next_try_at).min(latest),
            expires,
        };
        entries.into_iter().map(entry).collect()
    }
}

fn in_flight_max(router: &Router, destination: &Destination) -> u32 {
    let connector = router.connector(destination.connector());
    connector.map_or(NO_ROUTE_IN_FLIGHT_MAX, |it| it.limits.connections_max)
}
