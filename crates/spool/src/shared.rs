//! What the committer shares with the rest of the spool.

use std::sync::Arc;

use tokio::sync::Notify;
use units::Clock;

use crate::engine::{Engine, EngineError};
use crate::metrics::Metrics;
use crate::place::Accounts;
use crate::request::Unclaimed;
use crate::segments::Segments;
use crate::warm::Warm;

/// What the committer shares with the rest of the spool.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) segments: Arc<Segments>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) warm: Arc<Warm>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) unclaimed: Unclaimed,
    pub(crate) unsaved_max: usize,
    /// Told when the committer has ended by a fault in the program.
    pub(crate) broken: Arc<Notify>,
}

impl Shared {
    /// Opens the database again if there is room for what that writes.
    pub(crate) fn reopen(&self) -> Result<(), EngineError> {
        if self.engine.is_full() || self.accounts.counts().free_octets < self.engine.reopen_octets()
        {
            return Err(EngineError::Full);
        }
        self.engine.reopen()
    }
}
