//! The one thread that writes to the database.
//!
//! It takes all that waits, writes it as one batch with one sync, answers everybody, and begins
//! again: while one sync runs, the next group gathers. There is no timer. [`mail::Accepted`] is made
//! here and nowhere else.

mod plan;
mod trouble;

use std::sync::Arc;

use mail::Accepted;

use crate::committer::plan::Plan;
use crate::committer::trouble::Trouble;
use crate::engine::{Durability, EngineError};
use crate::error::{CommitError, Full, FullCause, SettleError};
use crate::record::extent::Extent;
use crate::request::{Claim, Commit, Request, Settle, Waiter};
use crate::shared::Shared;

/// Requests in one batch.
const GROUP_REQUESTS_MAX: usize = 1024;
/// Small content in one batch, about: a larger batch would keep its first waiter too long.
const GROUP_OCTETS_MAX: usize = 16 << 20;

/// The thread's state.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    trouble: Trouble,
    /// Space of messages whose end is written, but perhaps not yet on the device: were it reused and
    /// the power cut, they would be back with their content gone.
    freed: Vec<Extent>,
}

/// A group that was not written.
struct Failed {
    error: EngineError,
    /// What was to be written; none if the write was not begun.
    plan: Option<Plan>,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, trouble: Trouble::default(), freed: Vec::new() }
    }

    /// Serves requests until it is told to close or nobody can ask any more.
    pub(crate) fn run(mut self, mut receiver: channel::Receiver<Request>) {
        let mut guard = EndGuard { shared: Arc::clone(&self.shared), is_in_order: false };
        while let Ok(first) = receiver.recv_blocking() {
            let mut group = Vec::new();
            let (mut octets, mut is_closing) = (0, false);
            let mut next = Some(first);
            while let Some(request) = next {
                octets += match &request {
                    Request::Commit(it) => it.prepared.body.as_ref().map_or(0, bytes::Bytes::len),
                    Request::Close => {
                        is_closing = true;
                        break;
                    }
                    Request::Settle(_) | Request::SetAside(_) | Request::Tick(_) => 0,
                };
                group.push(request);
                let has_room = group.len() < GROUP_REQUESTS_MAX && octets < GROUP_OCTETS_MAX;
                next = if has_room { receiver.try_recv() } else { None };
            }
            self.serve(group);
            if is_closing {
                break;
            }
        }
        self.end();
        guard.is_in_order = true;
    }

    fn serve(&mut self, mut group: Vec<Request>) {
        let is_tick = |request: &mut Request| matches!(request, Request::Tick(_));
        let ticks: Vec<_> = group.extract_if(.., is_tick).collect();
        if !ticks.is_empty() && self.trouble.is_on() {
            self.recover();
        }
        if self.trouble.is_on() {
            let error = self.trouble.error();
            self.refuse(group, &error);
        } else {
            let unclaimed = std::mem::take(&mut *self.shared.unclaimed.lock());
            let group = self.with_unclaimed(group, unclaimed);
            self.store(group);
            if !ticks.is_empty() {
                self.give_back_freed();
            }
        }
        for tick in ticks {
            if let Request::Tick(Some(answer)) = tick {
                let _is_waited_for = answer.send(()).is_ok();
            }
        }
    }

    /// Adds the removal of what no sender waited for; keeps reports for when the queue asks again.
    fn with_unclaimed(
        &mut self,
        mut group: Vec<Request>,
        unclaimed: Vec<(Accepted, Waiter)>,
    ) -> Vec<Request> {
        for (accepted, waiter) in unclaimed {
            match waiter {
                Waiter::Sender => group.push(Request::Settle(Settle {
                    id: accepted.id,
                    recipients: Vec::new(),
                    is_finished: true,
                    report: None,
                    tally: None,
                    answer: None,
                    freed: None,
                })),
                Waiter::Queue(about) => self.trouble.keep_report(about, accepted),
            }
        }
        group
    }

    /// Writes a group, all or nothing, and answers everybody in it.
    fn store(&mut self, mut group: Vec<Request>) {
        for request in &mut group {
            self.answer_late_report(request);
        }
        match self.write(&group) {
            Ok(plan) => self.stored(group, plan),
            Err(failed) => self.failed(group, failed.plan, &failed.error),
        }
    }

    /// A settlement that was given up on may have been written all the same, with its report; asked
    /// again, its report is the one that is stored already.
    fn answer_late_report(&mut self, request: &mut Request) {
        let Request::Settle(settle) = request else { return };
        if settle.report.is_none() {
            return;
        }
        let Some(accepted) = self.trouble.take_report(settle.id) else { return };
        settle.report = None;
        let claim = self.claim(accepted, Waiter::Queue(settle.id));
        if let Some(answer) = settle.answer.take() {
            // Unclaimed once more, it is kept once more.
            drop(answer.send(Ok(Some(claim))));
        }
    }

    /// Writes the group. A write that fails is looked into at once: the database is opened again,
    /// which shows whether the batch is there, and if it is not, it is written once more.
    fn write(&mut self, group: &[Request]) -> Result<Plan, Box<Failed>> {
        let plan = Plan::new(&self.shared, group).map_err(|error| Failed { error, plan: None })?;
        if plan.changes.is_empty() {
            return Ok(plan);
        }
        let before = self.shared.clock.now();
        let mut result = self.shared.engine.write(&plan.changes, plan.durability);
        if let Err(error) = &result {
            tracing::warn!(%error, "a write of the spool database failed");
            result = match self.shared.reopen() {
                Ok(()) => match plan.is_applied(&self.shared.engine) {
                    Ok(true) => Ok(()),
                    Ok(false) => self.shared.engine.write(&plan.changes, plan.durability),
                    Err(error) => Err(error),
                },
                // The first error tells more.
                Err(_) => result,
            };
        }
        if let Err(error) = result {
            return Err(Box::new(Failed { error, plan: Some(plan) }));
        }
        if plan.durability == Durability::Device {
            let wait = self.shared.clock.now().saturating_duration_since(before);
            self.shared.metrics.group_synced(plan.messages, wait);
        }
        Ok(plan)
    }

    /// The group is on the device: says so to everybody.
    fn stored(&mut self, group: Vec<Request>, plan: Plan) {
        let mut freed = plan.freed.into_iter();
        for request in group {
            let freed = freed.next().flatten();
            if let Some(freed) = freed {
                self.shared.accounts.give_back(freed.messages, freed.octets);
                self.shared.metrics.messages_finished(freed.messages);
                self.freed.extend(freed.extents);
            }
            match request {
                Request::Commit(Commit { mut prepared, answer, .. }) => {
                    self.shared.warm.insert(prepared.id, prepared.keep());
                    let claim = self.claim(prepared.accepted(), Waiter::Sender);
                    // Given back if nobody waits, and then removed.
                    drop(answer.send(Ok(claim)));
                }
                Request::Settle(settle) => self.settled(settle),
                Request::SetAside(it) => self.shared.warm.remove(it.id),
                Request::Tick(_) | Request::Close => {}
            }
        }
        if plan.durability == Durability::Device {
            // The sync covered all that was written before, too.
            self.shared.segments.release(&std::mem::take(&mut self.freed));
        }
    }

    fn settled(&mut self, settle: Settle) {
        if settle.is_finished {
            self.shared.warm.remove(settle.id);
        } else {
            self.shared.warm.settle(settle.id, &settle.recipients);
        }
        let claim = settle.report.map(|mut report| {
            self.shared.warm.insert(report.id, report.keep());
            self.claim(report.accepted(), Waiter::Queue(settle.id))
        });
        match settle.answer {
            Some(answer) => drop(answer.send(Ok(claim))),
            None => drop(claim),
        }
    }

    fn claim(&self, accepted: Accepted, waiter: Waiter) -> Claim {
        Claim::new(accepted, waiter, Arc::clone(&self.shared.unclaimed))
    }

    /// The group could not be written and the database cannot be opened at present.
    fn failed(&mut self, group: Vec<Request>, plan: Option<Plan>, error: &EngineError) {
        self.trouble.begin(error);
        let cause = self.trouble.cause();
        self.shared.accounts.set_trouble(Some((cause, error.to_string().into())));
        tracing::error!(%error, "the spool takes no writes, mail is refused until it does");
        let may_be_stored = plan.is_some();
        let mut freed = plan.map(|plan| plan.freed).unwrap_or_default().into_iter();
        let mut rest = Vec::new();
        for mut request in group {
            let freed = freed.next().flatten();
            if let Request::Settle(settle) = &mut request {
                settle.freed = settle.freed.take().or(freed);
            }
            if may_be_stored {
                self.suspect(request, error);
            } else {
                rest.push(request);
            }
        }
        self.refuse(rest, error);
    }

    /// Answers a request whose write failed in a way that leaves open whether it was done.
    fn suspect(&mut self, request: Request, error: &EngineError) {
        match request {
            Request::Commit(Commit { prepared, answer, .. }) => {
                drop(answer.send(Err(commit_error(error))));
                self.trouble.suspect(prepared, None);
            }
            Request::Settle(mut settle) if settle.report.is_some() => {
                if let Some(answer) = settle.answer.take() {
                    let error = SettleError::Report(error.to_string().into());
                    drop(answer.send(Err(error)));
                }
                if let Some(report) = settle.report.take() {
                    self.trouble.suspect(report, Some(settle));
                }
            }
            Request::Settle(_) | Request::SetAside(_) | Request::Tick(_) | Request::Close => {
                self.refuse(vec![request], error);
            }
        }
    }

    /// Answers requests that cannot be served now; settlements are kept.
    fn refuse(&mut self, group: Vec<Request>, error: &EngineError) {
        for request in group {
            match request {
                Request::Commit(Commit { prepared, answer, .. }) => {
                    drop(prepared);
                    drop(answer.send(Err(commit_error(error))));
                }
                Request::Settle(mut settle) => {
                    let answer = settle.answer.take();
                    let result = if settle.report.is_some() {
                        Err(SettleError::Report(error.to_string().into()))
                    } else if self.trouble.unsaved() < self.shared.unsaved_max || answer.is_none() {
                        self.trouble.keep(Request::Settle(settle));
                        // Before the answer, so that whoever is answered reads the new count.
                        self.shared.accounts.set_unsaved(self.trouble.unsaved());
                        Ok(None)
                    } else {
                        Err(SettleError::Engine(error.to_string().into()))
                    };
                    if let Some(answer) = answer {
                        drop(answer.send(result));
                    }
                }
                // Found again when the record is read again.
                Request::SetAside(_) | Request::Tick(_) | Request::Close => {}
            }
        }
        self.shared.accounts.set_unsaved(self.trouble.unsaved());
    }

    /// Tries to get out of trouble: opens the database again, sees what became of the writes that
    /// failed, and writes what was kept.
    fn recover(&mut self) {
        if let Err(error) = self.shared.reopen() {
            tracing::debug!(%error, "the spool database does not open yet");
            return;
        }
        let Ok(group) = self.trouble.resolve(&self.shared.engine) else { return };
        match self.write(&group) {
            Ok(plan) => {
                self.trouble.end();
                self.stored(group, plan);
                self.shared.accounts.set_trouble(None);
                self.shared.accounts.set_unsaved(0);
                tracing::info!("the spool takes writes again");
            }
            Err(failed) => {
                let Failed { error, plan } = *failed;
                let mut freed = plan.map(|plan| plan.freed).unwrap_or_default().into_iter();
                for mut request in group {
                    let freed = freed.next().flatten();
                    if let Request::Settle(settle) = &mut request {
                        settle.freed = settle.freed.take().or(freed);
                    }
                    self.trouble.keep(request);
                }
                self.trouble.begin(&error);
            }
        }
    }

    /// Gives back space whose end was written without a sync.
    fn give_back_freed(&mut self) {
        if self.freed.is_empty() || self.trouble.is_on() {
            return;
        }
        match self.shared.engine.sync() {
            Ok(()) => self.shared.segments.release(&std::mem::take(&mut self.freed)),
            // The log may be torn now: the next write must not follow it.
            Err(error) => self.failed(Vec::new(), None, &error),
        }
    }

    fn end(&mut self) {
        if self.trouble.is_on() {
            self.recover();
        }
        let unclaimed = std::mem::take(&mut *self.shared.unclaimed.lock());
        let group = self.with_unclaimed(Vec::new(), unclaimed);
        if !self.trouble.is_on() {
            self.store(group);
        }
        if self.trouble.unsaved() > 0 {
            let count = self.trouble.unsaved();
            tracing::error!(count, "settlements are lost, some mail will be delivered again");
        }
        if let Err(error) = self.shared.engine.sync() {
            tracing::warn!(%error, "the spool database could not be synced at the end");
        }
        self.shared.engine.close();
    }
}

fn commit_error(error: &EngineError) -> CommitError {
    match error {
        EngineError::Full => Full::from(FullCause::Device).into(),
        EngineError::Closed => Full::from(FullCause::Engine).into(),
        EngineError::Corrupt(words) | EngineError::Failed(words) => {
            CommitError::Device(words.clone())
        }
    }
}

/// Says that no more mail can be taken if the thread ends by a panic.
struct EndGuard {
    shared: Arc<Shared>,
    is_in_order: bool,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if !self.is_in_order {
            let words = "the thread that writes the spool database has ended";
            self.shared.accounts.set_trouble(Some((FullCause::Engine, words.into())));
            self.shared.broken.notify_one();
        }
    }
}
