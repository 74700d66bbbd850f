//! What the queue has the spool do, one message at a time, several messages at once.

use std::sync::Arc;
use std::time::Duration;

use mail::{Accepted, Destination, Envelope, MessageId, Recipient, Timestamp};
use spool::{
    LoadError, ReadError, Report, ReportContent, SettleError, Settlement, Stored, Tally, Times,
};

use crate::entries::Found;
use crate::plan::{Answer, Facts, Known, Plan};
use crate::report::{self, Told};
use crate::shared::{Shared, routed};

/// One piece of work.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Write down what became of a message at a destination.
    Settle(Box<Settle>),
    /// Tell the sender what it is owed, and remove the message if no recipient waits.
    Report(Box<Reporting>),
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
    /// If the attempt goes on, what need not be read again: then it is about those that were taken, and nobody else.
    pub(crate) going: Option<Going>,
    /// Whom the attempt held, in order, if that is known: it is about those that it names and these, and nobody else.
    pub(crate) held: Option<Box<[u32]>>,
    /// By which ways recipients were told apart when the attempt was handed out, if there was one: if others hold by now,
    /// and nobody knows whom it held, it is about those that it names, and nobody else.
    pub(crate) ways: Option<u64>,
    /// What is counted with it.
    pub(crate) tally: Option<Box<Tally>>,
    /// What is to be written, once that is known. It stays the same when it has to be written again:
    /// the first time may have succeeded although it failed, and the message be gone.
    pub(crate) ready: Option<Ready>,
}

/// What is known of a message of which an attempt goes on.
#[derive(Clone, Debug)]
pub(crate) struct Going {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) received_at: Timestamp,
    /// The envelope of a copy for others, if an application wants one.
    pub(crate) copy: Option<Box<Envelope>>,
}

/// A report that is owed.
#[derive(Clone, Debug)]
pub(crate) struct Reporting {
    id: MessageId,
    /// As that of a [`Settle`].
    ready: Option<Ready>,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    settlement: Settlement,
    plan: Plan,
    received_at: Timestamp,
    is_exact: bool,
    kind: Kind,
}

/// What is stored with a settlement, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A report to the sender.
    Report,
    /// A copy for others.
    Copy,
    /// Nothing: a report was due to the null sender.
    Dropped,
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
    /// What was owed is told.
    Reported(Box<Reported>),
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
    pub(crate) received_at: Timestamp,
    /// Whether the moments of the message are to be kept to, try or no try.
    pub(crate) is_exact: bool,
    pub(crate) reported: Reported,
}

/// What was written about a message, and what its sender is told of it.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) id: MessageId,
    pub(crate) plan: Plan,
    /// The report, stored with it.
    pub(crate) report: Option<Accepted>,
    /// What that is.
    pub(crate) kind: Kind,
}

impl Work {
    pub(crate) const fn id(&self) -> MessageId {
        match self {
            Self::Settle(settle) => settle.id,
            Self::Report(reporting) => reporting.id,
            Self::Finish(id) | Self::Review { id, .. } => *id,
        }
    }

    /// Takes in what can be written together with it, which has not begun; gives back what cannot. So what waits for the
    /// spool of an attempt that goes on is one piece of work, however fast its outcomes come.
    pub(crate) fn join(&mut self, other: Self) -> Option<Self> {
        if let (Self::Settle(one), Self::Settle(next)) = (&mut *self, &other)
            && one.going.as_ref().is_some_and(|going| going.copy.is_none())
            && next.going.as_ref().is_some_and(|going| going.copy.is_none())
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
            Self::Report(reporting) => reporting.carry_out(&shared).await,
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
        Self {
            id,
            destination,
            facts,
            waits,
            going: None,
            held: None,
            ways: None,
            tally: None,
            ready: None,
        }
    }

    /// Says by which ways the attempt was handed out, and whom it held.
    pub(crate) fn of_attempt(self, ways: u64, held: Option<Box<[u32]>>) -> Self {
        Self { ways: Some(ways), held, ..self }
    }

    /// Says that the attempt goes on.
    pub(crate) fn going_on(self, going: Going) -> Self {
        Self { going: Some(going), ..self }
    }

    pub(crate) const fn goes_on(&self) -> bool {
        self.going.is_some()
    }

    /// Counts with it.
    pub(crate) fn counting(self, tally: Option<Box<Tally>>) -> Self {
        Self { tally, ..self }
    }

    async fn carry_out(mut self: Box<Self>, shared: &Shared) -> Done {
        let mut ready = match self.ready.take() {
            Some(ready) => ready,
            None => match self.prepare(shared).await {
                Ok(ready) => ready,
                Err(error) => return not_loaded(Work::Settle(self), error),
            },
        };
        match ready.write(shared).await {
            Ok(report) => {
                let (received_at, is_exact) = (ready.received_at, ready.is_exact);
                let reported = ready.reported(self.id, report);
                Done::Settled(Box::new(Settled { settle: *self, received_at, is_exact, reported }))
            }
            Err(error) => {
                if matches!(error, SettleError::Unreadable(ReadError::Corrupt(_))) {
                    // The application has the message; nobody can have more of it.
                    tracing::error!(message = %self.id, %error, "no copy for followers");
                    ready.settlement.report = None;
                }
                self.ready = Some(ready);
                again(Work::Settle(self), &error)
            }
        }
    }

    async fn prepare(&self, shared: &Shared) -> Result<Ready, LoadError> {
        if let Some(going) = &self.going {
            let told = match &going.copy {
                Some(envelope) => {
                    let original = shared.spool.load(self.id).await?;
                    Told::Copy(Box::new(Report {
                        envelope: Envelope::clone(envelope),
                        content: ReportContent::Of(Box::new(original)),
                        received_at: self.facts.now,
                    }))
                }
                None => Told::Nothing,
            };
            return Ok(self.of_taken(shared, going, told));
        }
        let stored = shared.spool.load(self.id).await?;
        let policy = shared.policy.hold();
        let is_as_it_was = || self.ways.is_none_or(|ways| ways == policy.ways());
        let counts_all = is_as_it_was();
        let is_ours = |place: u32, recipient: &Recipient| match &self.held {
            Some(held) => held.binary_search(&place).is_ok(),
            None => counts_all && routed(&policy.router, recipient) == self.destination,
        };
        let envelope = &*stored.envelope;
        let moments = shared.terms.moments(stored.received_at, Times::from(&envelope.wishes));
        let moments = moments.later_by(self.facts.grace);
        let known = Known { envelope, states: &stored.recipients, moments };
        let mut plan = Plan::new(known, &self.facts, is_ours);
        if self.held.is_none() && counts_all && !is_as_it_was() {
            plan = Plan::new(known, &self.facts, |_, _| false);
        }
        let told = report::write(shared, &stored, &plan, self.facts.now).await;
        let when = (stored.received_at, moments.are_exact());
        Ok(Ready::new(self.id, plan, (told, self.tally.clone()), when))
    }

    /// Prepares without a look at the spool: there may be as many settlements of one attempt as it has recipients.
    fn of_taken(&self, shared: &Shared, going: &Going, told: Told) -> Ready {
        let Going { envelope, received_at, .. } = going;
        let moments = shared.terms.moments(*received_at, Times::from(&envelope.wishes));
        let moments = moments.later_by(self.facts.grace);
        let plan = Plan::of_taken(envelope, moments, &self.facts);
        let when = (*received_at, moments.are_exact());
        Ready::new(self.id, plan, (told, self.tally.clone()), when)
    }
}

impl Reporting {
    pub(crate) const fn new(id: MessageId) -> Self {
        Self { id, ready: None }
    }

    async fn carry_out(mut self: Box<Self>, shared: &Shared) -> Done {
        let ready = match self.ready.take() {
            Some(ready) => ready,
            None => match shared.spool.load(self.id).await {
                Ok(stored) => self.prepare(shared, &stored).await,
                Err(error) => return not_loaded(Work::Report(self), error),
            },
        };
        match ready.write(shared).await {
            Ok(report) => Done::Reported(Box::new(ready.reported(self.id, report))),
            Err(error) => {
                self.ready = Some(ready);
                again(Work::Report(self), &error)
            }
        }
    }

    async fn prepare(&self, shared: &Shared, stored: &Stored) -> Ready {
        let now = Timestamp::from_millis(shared.clock.unix_millis());
        let plan = Plan::of_owed(&stored.envelope, &stored.recipients);
        let told = report::write(shared, stored, &plan, now).await;
        Ready::new(self.id, plan, (told, None), (stored.received_at, false))
    }
}

impl Ready {
    fn new(
        id: MessageId,
        plan: Plan,
        (told, tally): (Told, Option<Box<Tally>>),
        (received_at, is_exact): (Timestamp, bool),
    ) -> Self {
        let (report, kind) = match told {
            Told::Report(report) => (Some(*report), Kind::Report),
            Told::Copy(copy) => (Some(*copy), Kind::Copy),
            Told::Nothing => (None, Kind::Report),
            Told::Dropped => (None, Kind::Dropped),
        };
        let (recipients, is_finished) = (plan.changes.clone(), plan.is_finished);
        let settlement = Settlement { id, recipients, is_finished, report, tally };
        Self { settlement, plan, received_at, is_exact, kind }
    }

    /// Writes it down; gives the report as it is stored.
    async fn write(&self, shared: &Shared) -> Result<Option<Accepted>, SettleError> {
        if self.changes_anything() {
            shared.spool.settle(self.settlement.clone()).await
        } else {
            Ok(None)
        }
    }

    fn reported(self, id: MessageId, report: Option<Accepted>) -> Reported {
        Reported { id, plan: self.plan, report, kind: self.kind }
    }

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
