//! The thread that looks after space.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::folder::Folder;
use crate::request::Request;
use crate::shared::Shared;

/// Between two looks at free space, freed space and trouble.
const TICK: Duration = Duration::from_secs(1);

/// Tells the keeper to end.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn set(&self) {
        *self.is_set.lock() = true;
        self.changed.notify_all();
    }
}

/// Looks after space, once a tick.
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) folder: Arc<Folder>,
    pub(crate) requests: channel::Sender<Request>,
    pub(crate) stop: Arc<Stop>,
}

impl Keeper {
    /// Ticks until it is told to end.
    pub(crate) fn run(self) {
        let mut is_set = self.stop.is_set.lock();
        while !*is_set {
            self.stop.changed.wait_for(&mut is_set, TICK);
            MutexGuard::unlocked(&mut is_set, || self.tick());
        }
    }

    fn tick(&self) {
        match self.folder.free_octets() {
            Ok(octets) => self.shared.accounts.set_free_octets(octets),
            Err(error) => tracing::warn!(%error, "free space of the spool cannot be read"),
        }
        self.shared.segments.do_chores();
        // Full, it has enough to do; the next tick comes.
        drop(self.requests.try_send(Request::Tick(None)));
    }
}
