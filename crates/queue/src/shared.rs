//! What the pieces of the queue share, and where recipients go.

use std::sync::Arc;

use mail::{Address, Destination, Domain};
use policy::Router;
use spool::Spool;
use units::Clock;

use crate::ids::Ids;

/// In place of a connector's name: recipients that no outbound connector takes, as after a change of
/// the settings. No connector is called so in earnest.
pub(crate) const NO_ROUTE: &str = "(no route)";

/// What every piece of work needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) spool: Spool,
    pub(crate) router: Arc<Router>,
    pub(crate) clock: Clock,
    pub(crate) hostname: Domain,
    pub(crate) ids: Ids,
}

/// Where a recipient goes; what no connector takes waits at a destination of its own.
pub(crate) fn routed(router: &Router, address: &Address) -> Destination {
    router.route(address).unwrap_or_else(|_| Destination::smart_host(NO_ROUTE))
}
