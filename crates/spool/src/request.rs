//! What is asked of the committer.

use std::sync::Arc;

use mail::{Accepted, MessageId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::engine::Family;
use crate::error::{CommitError, SettleError};
use crate::prepared::Prepared;
use crate::record::extent::Extent;
use crate::state::{RecipientState, Tally};

/// One wish.
#[derive(Debug)]
pub(crate) enum Request {
    /// Store a message.
    Commit(Commit),
    /// Write down what became of recipients.
    Settle(Settle),
    /// Put records that cannot be read out of the way.
    SetAside(SetAside),
    /// Look after what waits: space to give back, a database to open again; then answer.
    Tick(Option<oneshot::Sender<()>>),
    /// Write what is left, close the database, end.
    Close,
}

#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) prepared: Prepared,
    /// What is counted with it.
    pub(crate) tallies: Vec<Tally>,
    pub(crate) answer: oneshot::Sender<Result<Claim, CommitError>>,
}

#[derive(Debug)]
pub(crate) struct Settle {
    pub(crate) id: MessageId,
    pub(crate) recipients: Vec<(u32, RecipientState)>,
    pub(crate) is_finished: bool,
    pub(crate) report: Option<Prepared>,
    pub(crate) tally: Option<Box<Tally>>,
    /// None once it has been answered.
    pub(crate) answer: Option<oneshot::Sender<Result<Option<Claim>, SettleError>>>,
    /// What an earlier try that may have succeeded was about to free.
    pub(crate) freed: Option<Freed>,
}

/// What the end of a message gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Freed {
    pub(crate) messages: u64,
    pub(crate) octets: u64,
    pub(crate) extents: Vec<Extent>,
}

#[derive(Debug)]
pub(crate) struct SetAside {
    pub(crate) id: MessageId,
    /// Family, key, value as it stands; each is removed from where it is.
    pub(crate) records: Vec<(Family, Vec<u8>, Vec<u8>)>,
    pub(crate) reason: Box<str>,
    /// What is no longer counted. Its extents stay: a person may want to look.
    pub(crate) freed: Freed,
}

/// A stored message on its way to the one who waits for it. Dropped unclaimed, the one who waited is
/// gone, and what then happens to the message is decided by the committer.
#[derive(Debug)]
pub(crate) struct Claim {
    accepted: Option<Accepted>,
    waiter: Waiter,
    unclaimed: Unclaimed,
}

/// Who waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// A sender: it did not hear 250 and will come again, so the message is removed.
    Sender,
    /// The queue, for the report about this message: it gets it when it asks again.
    Queue(MessageId),
}

/// Messages that nobody claimed.
pub(crate) type Unclaimed = Arc<Mutex<Vec<(Accepted, Waiter)>>>;

impl Claim {
    pub(crate) const fn new(accepted: Accepted, waiter: Waiter, unclaimed: Unclaimed) -> Self {
        Self { accepted: Some(accepted), waiter, unclaimed }
    }

    /// The message, which now belongs to the caller.
    pub(crate) fn take(mut self) -> Option<Accepted> {
        self.accepted.take()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(accepted) = self.accepted.take() {
            self.unclaimed.lock().push((accepted, self.waiter));
        }
    }
}
