//! The scan of the spool at the start, while mail already comes and goes.

use std::time::{Duration, Instant};

use channel::{Receiver, Sender};
use spool::{RecoverError, Recovered, Recovery, Spool};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Messages read ahead of the queue.
const READ_AHEAD_MAX: usize = 1024;
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A scan on a thread of its own.
#[derive(Debug)]
pub(crate) struct Scan {
    messages: Receiver<Recovered>,
    thread: Option<JoinHandle<Result<Recovery, RecoverError>>>,
    /// When a scan that failed begins again.
    again_at: Option<Instant>,
    is_over: bool,
}

impl Scan {
    /// Begins the scan.
    pub(crate) fn begin(spool: &Spool) -> Self {
        let (sender, messages) = channel::bounded(READ_AHEAD_MAX);
        let spool = spool.clone();
        let thread = tokio::task::spawn_blocking(move || hand_over(&spool, &sender));
        Self { messages, thread: Some(thread), again_at: None, is_over: false }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) const fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// The next message; none at the end of a scan. To be asked only while [`Self::is_reading`].
    pub(crate) async fn next(&mut self) -> Option<Recovered> {
        self.messages.recv().await.ok()
    }

    /// As [`Self::next`], without waiting.
    pub(crate) fn next_now(&mut self) -> Option<Recovered> {
        self.messages.try_recv()
    }

    /// Whether a scan is going on.
    pub(crate) const fn is_reading(&self) -> bool {
        self.thread.is_some()
    }

    /// Ends a scan that has no more messages: for good, or until later if it failed.
    pub(crate) async fn end(&mut self, now: Instant) {
        let Some(thread) = self.thread.take() else { return };
        let failed = match thread.await {
            Ok(Ok(recovery)) => {
                tracing::info!(
                    messages = recovery.messages,
                    octets = recovery.octets,
                    corrupt = recovery.corrupt,
                    "spool recovered"
                );
                self.is_over = true;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(error = failed, "spool not recovered, trying again shortly");
        self.again_at = now.checked_add(AGAIN_AFTER);
    }
}

fn hand_over(spool: &Spool, sender: &Sender<Recovered>) -> Result<Recovery, RecoverError> {
    let runtime = Handle::current();
    spool.recover(&mut |recovered| {
        // The queue has stopped: the spool keeps the message for the next start.
        drop(runtime.block_on(sender.send(recovered)));
    })
}
