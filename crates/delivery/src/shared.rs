//! What all attempts share.

use auth::ReturnPaths;
use policy::Live;
use spool::Spool;
use tokio::sync::watch;
use units::Clock;

use crate::address::Address;
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
    pub(crate) metrics: Metrics,
    pub(crate) pool: Pool,
    pub(crate) rests: Rests<Address>,
    pub(crate) conversions: Room,
    pub(crate) desk: Desk,
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
