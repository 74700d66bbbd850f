//! The address in MAIL under which a message leaves.

use auth::ReturnPaths;
use mail::{Directions, MessageId, ReversePath, Timestamp};
use policy::config::{OutboundConnector, ReturnPath};

/// How many recipients one transaction has at most.
pub(crate) fn recipients_max(connector: &OutboundConnector) -> usize {
    match connector.return_path {
        ReturnPath::Verp => 1,
        ReturnPath::Keep | ReturnPath::Srs => {
            let most = connector.limits.recipients_per_transaction_max;
            usize::try_from(most).unwrap_or(usize::MAX).max(1)
        }
    }
}

/// Who stands in MAIL where a message goes to the recipients at these places of its envelope.
pub(crate) fn of(
    (id, sender, directions): (MessageId, &ReversePath, Option<&Directions>),
    places: &[usize],
    (connector, paths): (&OutboundConnector, &ReturnPaths),
    now: Timestamp,
) -> ReversePath {
    // Reports stay without a sender (RFC 5321 §4.5.5).
    if let Some(sender) = sender.address() {
        let place = places.first().and_then(|place| u32::try_from(*place).ok()).unwrap_or_default();
        let rewritten = match connector.return_path {
            ReturnPath::Keep => None,
            ReturnPath::Srs => Some(paths.srs(sender, now)),
            ReturnPath::Verp => Some(paths.verp(sender, (id, place), now)),
        };
        match rewritten {
            Some(Ok(sender)) => return ReversePath::Address(sender),
            Some(Err(error)) => {
                tracing::warn!(message = %id, %sender, connector = %connector.name, %error, "return path kept");
            }
            None => {}
        }
    }
    let other = directions.and_then(|it| it.sender.clone());
    other.map_or_else(|| sender.clone(), ReversePath::Address)
}
