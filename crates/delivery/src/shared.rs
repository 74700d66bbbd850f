//! What all attempts share.

use std::sync::Arc;

use auth::ReturnPaths;
use filters::Filters;
use policy::Live;
use spool::Spool;
use tokio::sync::{Semaphore, watch};
use units::Clock;

use crate::address::Address;
use crate::application::Applications;
use crate::config::Config;
use crate::means::Means;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::rests::Rests;
use crate::seven_bit::Room;
use crate::signing::Desk;

/// Handed to each attempt's task by `Arc`.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) means: Means,
    pub(crate) clock: Clock,
    pub(crate) spool: Spool,
    pub(crate) policy: Live,
    pub(crate) return_paths: ReturnPaths,
    pub(crate) applications: Applications,
    pub(crate) metrics: Metrics,
    pub(crate) pool: Pool,
    pub(crate) rests: Rests<Address>,
    pub(crate) conversions: Room,
    pub(crate) desk: Desk,
    pub(crate) filters: Arc<Filters>,
    /// Octets that may be kept in memory for them; a message waits until there is room.
    pub(crate) shown: Semaphore,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Shared {
    /// Whether no new work is begun.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Ends when no new work is to be begun.
    pub(crate) async fn stop(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that nobody is left who could say stop otherwise.
        drop(stopping.wait_for(|is_stopping| *is_stopping).await);
    }
}
