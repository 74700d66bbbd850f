//! The scan of the spool at the start, while mail already comes and goes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use channel::{Receiver, Sender};
use mail::MessageId;
use schedule::Entry;
use spool::{RecoverError, Recovered, Recovery};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::entries::{Maker, Now, Routes};
use crate::shared::Shared;

/// Messages that are handed over together: each hand-over wakes the queue.
const BATCH_MESSAGES: usize = 128;
/// Batches read ahead of the queue.
const READ_AHEAD_MAX: usize = 8;
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Messages that the scan found.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) messages: usize,
    pub(crate) entries: Vec<Entry>,
    /// Messages of which no recipient waits: their end was written, their removal was not.
    pub(crate) finished: Vec<MessageId>,
    /// Messages whose senders are still to be told of recipients that are settled, whether or not others wait.
    pub(crate) owing: Vec<MessageId>,
}

/// A scan on a thread of its own.
#[derive(Debug)]
pub(crate) struct Scan {
    /// None once no more is wanted.
    batches: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<Result<Recovery, RecoverError>>>,
    /// When a scan that failed begins again.
    again_at: Option<Instant>,
    is_over: bool,
}

impl Scan {
    /// Begins the scan.
    pub(crate) fn begin(shared: &Arc<Shared>, maker: Maker) -> Self {
        let (sender, batches) = channel::bounded(READ_AHEAD_MAX);
        let routes = Routes::new(shared.policy.hold());
        let reader =
            Reader { shared: Arc::clone(shared), maker, routes, sender, batch: Batch::default() };
        let thread = tokio::task::spawn_blocking(move || reader.run());
        Self { batches: Some(batches), thread: Some(thread), again_at: None, is_over: false }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) const fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// The next messages; none at the end of a scan. To be asked only while [`Self::is_reading`].
    pub(crate) async fn next(&mut self) -> Option<Batch> {
        self.batches.as_mut()?.recv().await.ok()
    }

    /// As [`Self::next`], without waiting.
    pub(crate) fn next_now(&mut self) -> Option<Batch> {
        self.batches.as_mut()?.try_recv()
    }

    /// Whether a scan is going on.
    pub(crate) const fn is_reading(&self) -> bool {
        self.thread.is_some() && self.batches.is_some()
    }

    /// Takes no more: the spool keeps for the next start what was not handed over yet.
    pub(crate) fn stop(&mut self) {
        (self.batches, self.again_at) = (None, None);
    }

    /// Waits until a scan that was stopped has ended.
    pub(crate) async fn stopped(mut self) {
        self.stop();
        if let Some(thread) = self.thread {
            // A panic has been reported by its thread.
            drop(thread.await);
        }
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

/// What runs on the thread: reads, finds the ways, hands over.
struct Reader {
    shared: Arc<Shared>,
    maker: Maker,
    routes: Routes,
    sender: Sender<Batch>,
    batch: Batch,
}

impl Reader {
    fn run(mut self) -> Result<Recovery, RecoverError> {
        let shared = Arc::clone(&self.shared);
        let mut now = Now::of(&shared.clock);
        let recovery = shared.spool.recover(&mut |recovered| {
            if self.batch.messages == 0 {
                now = Now::of(&shared.clock);
            }
            self.take(&recovered, now);
            if self.batch.messages >= BATCH_MESSAGES { self.hand_over() } else { GO_ON }
        });
        // What was counted by the spool is handed over even if the scan failed.
        let _is_taken = self.hand_over().is_continue();
        recovery
    }

    fn take(&mut self, recovered: &Recovered<'_>, now: Now) {
        self.batch.messages = self.batch.messages.saturating_add(1);
        if recovered.owes {
            self.batch.owing.push(recovered.id);
        } else if recovered.waiting.is_empty() {
            self.batch.finished.push(recovered.id);
        }
        self.maker.recovered(recovered, &mut self.routes, now, &mut self.batch.entries);
    }

    /// Breaks off when the queue has stopped.
    fn hand_over(&mut self) -> ControlFlow<()> {
        let next = Batch { entries: Vec::with_capacity(BATCH_MESSAGES), ..Batch::default() };
        let batch = std::mem::replace(&mut self.batch, next);
        match Handle::current().block_on(self.sender.send(batch)) {
            Ok(()) => GO_ON,
            Err(_) => ControlFlow::Break(()),
        }
    }
}

const GO_ON: ControlFlow<()> = ControlFlow::Continue(());
