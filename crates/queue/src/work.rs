//! What the queue has the spool do, one message at a time, several messages at once.

use std::sync::Arc;
use std::time::Duration;

use mail::{Accepted, Destination, MessageId, Recipient, Timestamp};
use spool::{LoadError, SettleError, Settlement, Tally, Times};

use crate::entries::Found;
use crate::plan::{Answer, Facts, Known, Plan};
use crate::report::{self, Told};
use crate::shared::{Shared, routed};

/// One piece of work.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Write down what became of a message at a destination.
    Settle(Box<Settle>),
    /// Remove a message of which no recipient waits.
    Finish(MessageId),
    /// Look which recipients of a message wait, since the schedule knows of none.
    Review {
        /// The message.
        id: MessageId,
        /// Whether it was due where it no longer goes, so that it is due where it goes now.
        is_due: bool,
    },
}

/// What became of a message at a destination.
#[derive(Clone, Debug)]
pub(crate) struct Settle {
    pub(crate) id: MessageId,
    pub(crate) destination: Destination,
    pub(crate) facts: Facts,
    pub(crate) waits: Waits,
    /// Whether the attempt goes on: then it is about those that were taken, and nobody else.
    pub(crate) goes_on: bool,
    /// By which ways recipients were told apart when the attempt was handed out, if there was one: if others hold by now,
    /// it is about those that it names, and nobody else.
    pub(crate) ways: Option<u64>,
    /// What is counted with it.
    pub(crate) tally: Option<Box<Tally>>,
    /// What is to be written, once that is known. It stays the same when it has to be written again:
    /// the first time may have succeeded although it failed, and the message be gone.
    pub(crate) ready: Option<Ready>,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    settlement: Settlement,
    plan: Plan,
    received_at: Timestamp,
    is_exact: bool,
    is_report_dropped: bool,
}

/// Where the time of an attempt went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    pub(crate) connect: Duration,
    pub(crate) transmit: Duration,
}

/// What came of a piece of work.
#[derive(Debug)]
pub(crate) enum Done {
    /// It is written down.
    Settled(Box<Settled>),
    /// The message is removed.
    Finished(MessageId),
    /// The message waits for these recipients.
    Found(Found),
    /// The spool has the message no more, or cannot read it.
    Gone(Work, LoadError),
    /// The spool could not: do it again.
    Again(Work, Box<str>),
}

/// A settlement that is written down.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) settle: Settle,
    pub(crate) plan: Plan,
    pub(crate) received_at: Timestamp,
    /// Whether the moments of the message are to be kept to, try or no try.
    pub(crate) is_exact: bool,
    /// The report, stored with it.
    pub(crate) report: Option<Accepted>,
    /// Whether a report was due to the null sender.
    pub(crate) is_report_dropped: bool,
}

impl Work {
    pub(crate) const fn id(&self) -> MessageId {
        match self {
            Self::Settle(settle) => settle.id,
            Self::Finish(id) | Self::Review { id, .. } => *id,
        }
    }

    /// Takes in what can be written together with it, which has not begun; gives back what cannot. So what waits for the
    /// spool of an attempt that goes on is one piece of work, however fast its outcomes come.
    pub(crate) fn join(&mut self, other: Self) -> Option<Self> {
        if let (Self::Settle(one), Self::Settle(next)) = (&mut *self, &other)
            && one.goes_on
            && next.goes_on
            && one.destination == next.destination
            && let (Answer::Each(known), Answer::Each(more)) =
                (&mut one.facts.answer, &next.facts.answer)
        {
            known.extend_from_slice(more);
            one.waits = next.waits;
            return None;
        }
        Some(other)
    }

    /// Does it. Dropped half-way, nothing is lost: the spool either has it or not.
    pub(crate) async fn carry_out(self, shared: Arc<Shared>) -> Done {
        match self {
            Self::Settle(settle) => settle.carry_out(&shared).await,
            Self::Finish(id) => {
                let (recipients, is_finished) = (Vec::new(), true);
                let settlement =
                    Settlement { id, recipients, is_finished, report: None, tally: None };
                match shared.spool.settle(settlement).await {
                    Ok(_) => Done::Finished(id),
                    Err(error) => again(self, &error),
                }
            }
            Self::Review { id, is_due } => match shared.spool.load(id).await {
                Ok(stored) => Done::Found(Found {
                    id,
                    envelope: stored.envelope,
                    received_at: stored.received_at,
                    recipients: stored.recipients,
                    is_due,
                }),
                Err(error) => not_loaded(self, error),
            },
        }
    }
}

impl Settle {
    pub(crate) fn new(
        (id, destination): (MessageId, Destination),
        facts: Facts,
        waits: Waits,
    ) -> Self {
        Self { id, destination, facts, waits, goes_on: false, ways: None, tally: None, ready: None }
    }

    /// Says by which ways the attempt was handed out.
    pub(crate) fn of_attempt(self, ways: u64) -> Self {
        Self { ways: Some(ways), ..self }
    }

    /// Says that the attempt goes on.
    pub(crate) fn going_on(self) -> Self {
        Self { goes_on: true, ..self }
    }

    /// Counts with it.
    pub(crate) fn counting(self, tally: Option<Box<Tally>>) -> Self {
        Self { tally, ..self }
    }

    async fn carry_out(mut self: Box<Self>, shared: &Shared) -> Done {
        let ready = match self.ready.take() {
            Some(ready) => ready,
            None => match self.prepare(shared).await {
                Ok(ready) => ready,
                Err(error) => return not_loaded(Work::Settle(self), error),
            },
        };
        let written = if ready.changes_anything() {
            shared.spool.settle(ready.settlement.clone()).await
        } else {
            Ok(None)
        };
        match written {
            Ok(report) => Done::Settled(Box::new(Settled {
                settle: *self,
                plan: ready.plan,
                received_at: ready.received_at,
                is_exact: ready.is_exact,
                report,
                is_report_dropped: ready.is_report_dropped,
            })),
            Err(error) => {
                self.ready = Some(ready);
                again(Work::Settle(self), &error)
            }
        }
    }

    async fn prepare(&self, shared: &Shared) -> Result<Ready, LoadError> {
        let stored = shared.spool.load(self.id).await?;
        let policy = shared.policy.hold();
        let is_as_it_was = || self.ways.is_none_or(|ways| ways == policy.ways());
        let counts_all = !self.goes_on && is_as_it_was();
        let is_ours = |recipient: &Recipient| {
            counts_all && routed(&policy.router, recipient) == self.destination
        };
        let envelope = &*stored.envelope;
        let moments = shared.terms.moments(stored.received_at, Times::from(&envelope.wishes));
        let moments = moments.later_by(self.facts.grace);
        let known = Known { envelope, states: &stored.recipients, moments };
        let mut plan = Plan::new(known, &self.facts, is_ours);
        if counts_all && !is_as_it_was() {
            plan = Plan::new(known, &self.facts, |_| false);
        }
        let told = report::write(shared, &stored, &plan, &self.facts).await;
        let is_report_dropped = matches!(told, Told::Dropped);
        let report = match told {
            Told::Report(report) => Some(*report),
            Told::Nothing | Told::Dropped => None,
        };
        let (recipients, is_finished) = (plan.changes.clone(), plan.is_finished);
        let (id, tally) = (self.id, self.tally.clone());
        let settlement = Settlement { id, recipients, is_finished, report, tally };
        let (received_at, is_exact) = (stored.received_at, moments.are_exact());
        Ok(Ready { settlement, plan, received_at, is_exact, is_report_dropped })
    }
}

impl Ready {
    /// Whether the spool need be asked at all.
    fn changes_anything(&self) -> bool {
        let Settlement { recipients, is_finished, report, .. } = &self.settlement;
        *is_finished || !recipients.is_empty() || report.is_some()
    }
}

fn again(work: Work, error: &SettleError) -> Done {
    Done::Again(work, error.to_string().into())
}

fn not_loaded(work: Work, error: LoadError) -> Done {
    match error {
        LoadError::Missing(_) | LoadError::Corrupt(_) => Done::Gone(work, error),
        error => Done::Again(work, error.to_string().into()),
    }
}
