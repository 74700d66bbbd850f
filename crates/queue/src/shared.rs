//! What the pieces of the queue share, and where recipients go.

use mail::{ByMode, Destination, Domain, Envelope, Notify, Recipient, Timestamp};
use policy::{Live, Router};
use spool::Spool;
use units::Clock;

use crate::ids::Ids;
use crate::terms::{Terms, Word};

/// In place of a connector's name: recipients that no outbound connector takes, as after a change of
/// the settings. No connector is called so in earnest.
pub(crate) const NO_ROUTE: &str = "(no route)";

/// What every piece of work needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) spool: Spool,
    pub(crate) policy: Live,
    pub(crate) clock: Clock,
    pub(crate) hostname: Domain,
    pub(crate) ids: Ids,
    pub(crate) terms: Terms,
}

/// Where a recipient goes; what no connector takes waits at a destination of its own.
pub(crate) fn routed(router: &Router, recipient: &Recipient) -> Destination {
    router.route_of(recipient).unwrap_or_else(|_| Destination::smart_host(NO_ROUTE))
}

/// Whether a message that was tried so often and rests does so because its sender wants it to go out later.
pub(crate) fn is_held(envelope: &Envelope, tries: u16, now: Timestamp) -> bool {
    tries == 0 && envelope.wishes.hold_until.is_some_and(|until| until > now)
}

/// What the sender of a message is to hear of a recipient that is late, unless it was told.
///
/// To set a time in the mode N is to ask for that word; only NOTIFY=NEVER takes it back (RFC 2852 §4).
pub(crate) fn word(envelope: &Envelope, recipient: &Recipient) -> Word {
    let by = envelope.wishes.deliver_by.filter(|by| by.mode == ByMode::Notify);
    let is_asked_for = by.is_some() && recipient.notify != Some(Notify::NEVER);
    let is_wanted =
        envelope.sender.address().is_some() && (is_asked_for || recipient.wants(Notify::DELAY));
    if is_wanted { Word::Owed } else { Word::NotOwed }
}
