//! What all parts of an open spool share, and how they reach the committer.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mail::MessageId;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::body::Lane;
use crate::engine::Family;
use crate::folder::Folder;
use crate::ids::Ids;
use crate::keeper::Stop;
use crate::request::{Request, SetAside};
use crate::shared::Shared;

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lane: Lane,
    pub(crate) ids: Ids,
    /// Memory for content on its way in, in steps of 1 KiB.
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) inline_octets_max: usize,
    pub(crate) commit_wait_max: Duration,
    pub(crate) requests: Mutex<Option<channel::Sender<Request>>>,
    pub(crate) loads: Semaphore,
    /// The greatest id that was there when the spool was opened.
    pub(crate) last_old: Option<MessageId>,
    /// How far the scan at start has come: one that broke off goes on from there, so that nothing is counted twice.
    pub(crate) scanned_to: Mutex<Vec<u8>>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
    /// Unlocked when all else is gone.
    pub(crate) _folder: Arc<Folder>,
}

impl Inner {
    /// Hands a request to the committer; fails when it has ended.
    pub(crate) async fn send(&self, request: Request) -> Result<(), ()> {
        let sender = self.requests.lock().clone();
        sender.ok_or(())?.send(request).await.map_err(|_| ())
    }

    /// Counts, logs and puts away a record that cannot be read.
    pub(crate) async fn set_aside(&self, family: Family, aside: SetAside) {
        self.report_corrupt(family, &aside);
        // Closing, it is found again at the next start.
        let _is_sent = self.send(Request::SetAside(aside)).await.is_ok();
    }

    /// As [`Self::set_aside`], on a thread that may sleep.
    pub(crate) fn set_aside_blocking(&self, family: Family, aside: SetAside) {
        self.report_corrupt(family, &aside);
        let Some(sender) = self.requests.lock().clone() else { return };
        let mut request = Request::SetAside(aside);
        while let Err(channel::TrySendError::Full(back)) = sender.try_send(request) {
            request = back;
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn report_corrupt(&self, family: Family, aside: &SetAside) {
        tracing::error!(
            message = %aside.id,
            record = family.name(),
            error = %aside.reason,
            "a corrupt record is set aside"
        );
        self.corrupt_found(family);
    }

    pub(crate) fn corrupt_found(&self, family: Family) {
        self.shared.accounts.corrupt_found();
        self.shared.metrics.corrupt_found(family);
    }

    /// Stops the keeper and the committer and waits for them; blocks.
    pub(crate) fn stop(&self) {
        self.stop.set();
        // The second time, when a closed spool is dropped, there is nothing left to wait for.
        let Some(sender) = self.requests.lock().take() else { return };
        let mut request = Request::Close;
        while let Err(channel::TrySendError::Full(back)) = sender.try_send(request) {
            request = back;
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A panic has been reported by its thread.
            drop(thread.join());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}
