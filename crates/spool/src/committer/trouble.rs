//! What the committer keeps while the database takes no writes.

use std::collections::{HashMap, VecDeque};

use mail::{Accepted, MessageId};

use crate::engine::{Engine, EngineError, Family};
use crate::error::FullCause;
use crate::prepared::Prepared;
use crate::request::{Freed, Request, Settle};

/// Reports kept for the queue to ask for; beyond it the oldest waits for the next start.
const REPORTS_MAX: usize = 1024;

/// Nothing, in good times.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    error: Option<EngineError>,
    /// Settlements not written, in order; each was answered.
    unsaved: Vec<Request>,
    /// Messages that were refused although their write may have been done, and the settlement each
    /// report came with. No more than one group, since after it nothing is written.
    suspects: Vec<(Prepared, Option<Settle>)>,
    /// By the message they are about.
    reports: HashMap<MessageId, Accepted>,
    reports_order: VecDeque<MessageId>,
}

impl Trouble {
    pub(super) const fn is_on(&self) -> bool {
        self.error.is_some()
    }

    pub(super) fn begin(&mut self, error: &EngineError) {
        self.error = Some(error.clone());
    }

    pub(super) fn end(&mut self) {
        self.error = None;
    }

    pub(super) fn error(&self) -> EngineError {
        self.error.clone().unwrap_or(EngineError::Closed)
    }

    pub(super) const fn cause(&self) -> FullCause {
        match self.error {
            Some(EngineError::Full) => FullCause::Device,
            _ => FullCause::Engine,
        }
    }

    /// Settlements that wait.
    pub(super) const fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    pub(super) fn keep(&mut self, request: Request) {
        self.unsaved.push(request);
    }

    pub(super) fn suspect(&mut self, prepared: Prepared, settle: Option<Settle>) {
        self.suspects.push((prepared, settle));
    }

    pub(super) fn keep_report(&mut self, about: MessageId, accepted: Accepted) {
        if self.reports.insert(about, accepted).is_none() {
            self.reports_order.push_back(about);
        }
        if self.reports_order.len() > REPORTS_MAX
            && let Some(oldest) = self.reports_order.pop_front()
        {
            self.reports.remove(&oldest);
        }
    }

    pub(super) fn take_report(&mut self, about: MessageId) -> Option<Accepted> {
        let accepted = self.reports.remove(&about)?;
        self.reports_order.retain(|it| *it != about);
        Some(accepted)
    }

    /// Sees which suspects are in the database, now that it was opened again, and gives what is to be
    /// written: their removal, then what was kept.
    pub(super) fn resolve(&mut self, engine: &Engine) -> Result<Vec<Request>, EngineError> {
        let mut found = Vec::with_capacity(self.suspects.len());
        for (prepared, _) in &self.suspects {
            found.push(engine.get(Family::Envelope, &prepared.id.to_bytes())?.is_some());
        }
        let mut group = Vec::new();
        let suspects = std::mem::take(&mut self.suspects);
        for ((mut prepared, settle), is_there) in suspects.into_iter().zip(found) {
            if !is_there {
                // Given back when dropped: nothing refers to it.
                continue;
            }
            match settle {
                // Its sender was told to come again.
                None => {
                    let extents = prepared.space.extents().to_vec();
                    prepared.space.keep();
                    // Its place was never kept, so no message and no octets are to be given back.
                    let freed = Freed { messages: 0, octets: 0, extents };
                    group.push(removal(prepared.id, freed));
                }
                // The settlement was written with its report; what it freed is given back now.
                Some(settle) => {
                    self.keep_report(settle.id, prepared.accepted());
                    drop(prepared.keep());
                    group.push(Request::Settle(settle));
                }
            }
        }
        group.append(&mut self.unsaved);
        Ok(group)
    }
}

/// The removal of a message that should not be there.
fn removal(id: MessageId, freed: Freed) -> Request {
    Request::Settle(Settle {
        id,
        recipients: Vec::new(),
        is_finished: true,
        report: None,
        tally: None,
        answer: None,
        freed: Some(freed),
    })
}
