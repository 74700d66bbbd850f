//! From the end of an attempt to what the spool has written down.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mail::{
    Attempt, AttemptEnd, Destination, EnhancedStatus, Fate, MessageId, Outcome, RecipientOutcome,
    Reply, Timestamp,
};
use schedule::{After, Due, End, Ended, Leaving, State, Why};
use spool::{LoadError, RecipientState, Tally};

use super::{Queue, TROUBLE_WAIT};
use crate::entries::{Found, Now};
use crate::plan::{Answer, Facts, Status};
use crate::work::{Done, Going, Kind, Reported, Settle, Settled, Waits, Work};

const NO_ROUTE_STATUS: EnhancedStatus = EnhancedStatus::new(4, 4, 4);

impl Queue {
    /// Takes the end of an attempt, or a part of it.
    pub(super) fn attempt_ended(&mut self, end: AttemptEnd, now: Now) {
        let AttemptEnd { attempt, outcome, held, is_further, connect_wait, transmit_wait } = end;
        let waits = Waits { connect: connect_wait, transmit: transmit_wait };
        let (id, destination) = (attempt.id, attempt.destination.clone());
        let is_tried = !matches!(outcome, Outcome::Decided(_) | Outcome::Discarded);
        let mut tally = None;
        let (how, answer) = match outcome {
            Outcome::Taken { outcomes, envelope, copy } => {
                if !is_further {
                    tally = self.allowances.sent(destination.connector(), now);
                }
                let going = Going { envelope, received_at: attempt.received_at, copy };
                return self.taken((attempt, going, outcomes), (waits, tally), now);
            }
            Outcome::Answered(outcomes) => {
                if !is_further && outcomes.iter().any(|it| it.fate == Fate::Delivered) {
                    tally = self.allowances.sent(destination.connector(), now);
                }
                (End::Answered, Answer::Each(outcomes))
            }
            Outcome::Decided(outcomes) => (End::NotTried, Answer::Each(outcomes)),
            Outcome::Discarded => (End::NotTried, Answer::Discarded),
            Outcome::Unreachable { reply, peer } => {
                (End::Unreachable(reply.clone()), Answer::All { reply: Some(reply), peer })
            }
            Outcome::Hindered { reply } => {
                (End::Hindered, Answer::All { reply: Some(reply), peer: None })
            }
            Outcome::Elsewhere => {
                self.allowances.put_back(destination.connector());
                return self.find_anew(id, &destination, now);
            }
            Outcome::Missing => {
                self.allowances.ended(destination.connector());
                if self.schedule.end(id, &destination, End::NotTried, now.instant).is_some() {
                    self.drop_missing(id, &destination, now);
                }
                return;
            }
        };
        self.metrics.attempt_ended(destination.connector());
        let ended = self.schedule.end(id, &destination, how, now.instant);
        if ended.is_none() || !is_tried {
            self.allowances.ended(destination.connector());
        }
        let Some(ended) = ended else {
            tracing::warn!(message = %id, destination = %destination, "stray end of an attempt");
            return;
        };
        let facts =
            Facts { is_tried, ..facts(answer, ended, (now, self.grace(attempt.received_at))) };
        let settle = Settle::new((id, destination), facts, waits).counting(tally);
        let settle = settle.of_attempt(attempt.ways, held);
        self.begin(Work::Settle(Box::new(settle)));
    }

    /// Writes down whom hosts have taken of an attempt that goes on, so that a crash has little of it sent twice. For the
    /// schedule it is under way as before.
    fn taken(
        &mut self,
        (attempt, going, outcomes): (Attempt, Going, Vec<RecipientOutcome>),
        (waits, tally): (Waits, Option<Box<Tally>>),
        now: Now,
    ) {
        let grace = self.grace(attempt.received_at);
        let Attempt { id, destination, tries, .. } = attempt;
        let facts = Facts {
            answer: Answer::Each(outcomes),
            is_cancelled: false,
            is_tried: true,
            tries: tries.saturating_add(1),
            next_try_at: now.wall,
            now: now.wall,
            grace,
        };
        let settle = Settle::new((id, destination), facts, waits).counting(tally);
        self.begin(Work::Settle(Box::new(settle.going_on(going))));
    }

    /// Ends the try of a message that no connector takes: it waits for the settings to be mended.
    pub(super) fn end_without_route(&mut self, due: &Due, now: Now) {
        let reply = Reply::new(
            451,
            Some(NO_ROUTE_STATUS),
            "no outbound connector takes this mail for this recipient's domain",
        );
        let (id, destination) = (due.id, due.destination.clone());
        let ended = self.schedule.end(id, &destination, End::Answered, now.instant);
        let Some(ended) = ended else { return };
        let answer = Answer::All { reply: Some(reply), peer: None };
        let facts = facts(answer, ended, (now, self.grace(due.received_at)));
        let waits = Waits::default();
        self.begin(Work::Settle(Box::new(Settle::new((id, destination), facts, waits))));
    }

    /// Settles what leaves without a further try, or tells its sender that it waits; false if it cannot leave yet.
    pub(super) fn leave(&mut self, leaving: Leaving, now: Now) -> bool {
        let Leaving { id, destination, tries, why, received_at } = leaving;
        if self.schedule.may_be_elsewhere(id, &destination) {
            // It may not be late, but being sent. The entry is in nobody's hands.
            let is_late = matches!(why, Why::Late(_));
            if is_late {
                self.find_anew_later(id, &destination, now);
            } else {
                self.schedule.leave_later(id, &destination);
            }
            return is_late;
        }
        let (reply, is_cancelled) = match why {
            Why::Late(reply) => (reply, false),
            Why::Cancelled => (None, true),
        };
        let answer = Answer::All { reply, peer: None };
        let (next_try_at, now) = (now.wall, now.wall);
        let (is_tried, grace) = (false, self.grace(received_at));
        let facts = Facts { answer, is_cancelled, is_tried, tries, next_try_at, now, grace };
        let waits = Waits::default();
        self.begin(Work::Settle(Box::new(Settle::new((id, destination), facts, waits))));
        true
    }

    /// How much older a message seems than it is.
    fn grace(&self, received_at: Timestamp) -> Duration {
        self.clock_steps.since(received_at.as_millis())
    }

    /// Begins a piece of work, or puts it behind the work on the same message.
    pub(super) fn begin(&mut self, work: Work) {
        if let Some(behind) = self.behind.get_mut(&work.id()) {
            let rest = match behind.back_mut() {
                Some(last) => last.join(work),
                None => Some(work),
            };
            self.works = self.works.saturating_add(rest.iter().len());
            behind.extend(rest);
        } else {
            self.works = self.works.saturating_add(1);
            self.behind.insert(work.id(), VecDeque::new());
            self.carry_out(work);
        }
    }

    fn carry_out(&self, work: Work) {
        self.working.push(Box::pin(work.carry_out(Arc::clone(&self.shared))));
    }

    /// Ends a piece of work, and begins the next one on the same message.
    fn end_work(&mut self, id: MessageId) {
        self.works = self.works.saturating_sub(1);
        let next = self.behind.get_mut(&id).and_then(VecDeque::pop_front);
        match next {
            Some(work) => self.carry_out(work),
            None => drop(self.behind.remove(&id)),
        }
    }

    /// Takes what the spool has done.
    pub(super) fn work_done(&mut self, done: Done, now: Now) {
        match done {
            Done::Settled(settled) => {
                let id = settled.settle.id;
                self.settled(*settled, now);
                self.end_work(id);
            }
            Done::Reported(reported) => {
                let id = reported.id;
                if reported.plan.is_finished {
                    self.schedule.forget(id);
                }
                self.reported(*reported, now);
                self.end_work(id);
            }
            Done::Finished(id) => self.end_work(id),
            Done::Found(found) => {
                let id = found.id;
                self.found(found, now);
                self.end_work(id);
            }
            Done::Gone(work, error) => {
                let id = work.id();
                if matches!((&work, &error), (Work::Report(_), LoadError::Missing(_))) {
                    // It was told by an end that was written before.
                    tracing::debug!(message = %id, %error, "nothing is owed any more");
                } else {
                    tracing::warn!(message = %id, %error, "message dropped from the queue");
                }
                if let Work::Settle(settle) = &work {
                    self.allowances_end(settle);
                    self.drop_missing(id, &settle.destination, now);
                }
                self.end_work(id);
            }
            Done::Again(work, error) => {
                let id = work.id();
                tracing::warn!(message = %id, error = &*error, "settlement not written, doing it again");
                self.metrics.settle_failed();
                self.again_at = now.instant.checked_add(TROUBLE_WAIT).unwrap_or(now.instant);
                self.again.push(work);
            }
        }
    }

    /// Adds a message where its recipients go by now.
    fn found(&mut self, mut found: Found, now: Now) {
        let id = found.id;
        if self.schedule.is_leaving(id) {
            // What leaves does not go another way first.
            self.unreviewed.insert(id);
            return;
        }
        // Whoever is under way is found too; by another way than that nobody is sent before it ends: see
        // `Schedule::may_be_elsewhere`. What rests elsewhere of the same message has its own time.
        found.is_due &= self.schedule.is_all_in_other_hands(id);
        self.unreviewed.remove(&id);
        let entries = self.maker.found(&found, &self.shared.policy.load().router, now);
        if entries.is_empty() && found.recipients.iter().any(RecipientState::is_owed) {
            return self.report_owed(id);
        }
        // By these ways, or later ones, it is told what is under way from before.
        self.look_at_ways();
        if entries.iter().any(|it| self.schedule.is_from_before(id, &it.destination)) {
            // What is under way there need not hold all that go there by now, and keeps them from getting an entry.
            self.unreviewed.insert(id);
        }
        let destinations = entries.iter().map(|it| it.destination.clone()).collect();
        self.add(id, entries, now);
        self.hold_full(destinations, now);
    }

    fn settled(&mut self, settled: Settled, now: Now) {
        self.told(&settled);
        if settled.settle.goes_on() {
            self.owes(&settled, now);
        } else {
            // With the end all was told that was owed.
            self.owing.remove(&settled.settle.id);
            self.rests(&settled, now);
        }
        self.reported(settled.reported, now);
    }

    /// Logs and counts a report, and sends it.
    fn reported(&mut self, reported: Reported, now: Now) {
        reported.log();
        if reported.kind == Kind::Dropped {
            self.metrics.report_dropped();
        }
        if let Some(report) = reported.report {
            self.metrics.report_written(reported.plan.action());
            self.accept(&report, now);
        }
    }

    /// Logs and counts a settlement.
    fn told(&self, settled: &Settled) {
        settled.log();
        let connector = settled.settle.destination.connector();
        let plan = &settled.reported.plan;
        for step in &plan.steps {
            self.metrics.recipient_ended(connector, step.status);
        }
        let has_ended = !settled.settle.goes_on();
        if has_ended && plan.steps.iter().any(|step| step.status == Status::Delivered) {
            self.metrics.delivered(settled.stages());
        }
    }

    /// Lets what waits of a message at a destination rest, once its end is written down.
    fn rests(&mut self, settled: &Settled, now: Now) {
        self.allowances_end(&settled.settle);
        let (id, destination) = (settled.settle.id, &settled.settle.destination);
        let is_exact = settled.is_exact;
        let keep = |at| After::KeepUntil { deadline: now.instant_of(at), is_exact };
        let plan = &settled.reported.plan;
        let after = plan.waits_until.map_or(After::Remove, keep);
        self.schedule.settle(id, destination, after, now.instant);
        let is_misrouted = plan.touches_nobody();
        let is_owed = self.unreviewed.remove(&id);
        let is_elsewhere = is_misrouted || is_owed || self.schedule.open_entries(id) == 0;
        if plan.is_finished {
            // Where its ways were found anew it may stand for recipients that have gone meanwhile by the way before.
            self.schedule.forget(id);
        } else if is_elsewhere {
            // The spool knows of a recipient that waits, the schedule does not, or elsewhere: its way has changed.
            self.begin(Work::Review { id, is_due: is_owed });
        }
    }

    /// Whether something of a message is being tried, or its outcome written down.
    pub(super) fn is_under_way(&self, id: MessageId) -> bool {
        self.schedule.entries_of(id).any(|entry| entry.state == State::InFlight)
    }

    /// What was tried is under way no more.
    fn allowances_end(&mut self, settle: &Settle) {
        if settle.facts.is_tried && !settle.goes_on() {
            self.allowances.ended(settle.destination.connector());
        }
    }

    /// Forgets a message that the spool has no more.
    fn drop_missing(&mut self, id: MessageId, destination: &Destination, now: Now) {
        tracing::warn!(message = %id, destination = %destination, "message is not in the spool");
        self.metrics.message_missing();
        self.schedule.settle(id, destination, After::Remove, now.instant);
        self.schedule.forget(id);
        self.unreviewed.remove(&id);
        self.owing.remove(&id);
    }

    /// Does again what the spool could not do.
    pub(super) fn do_again(&mut self, now: Now) {
        if now.instant >= self.again_at {
            for work in std::mem::take(&mut self.again) {
                self.carry_out(work);
            }
        }
    }

    /// Gives up at the end what the spool cannot do: it keeps the messages, and they are tried again
    /// after the next start.
    pub(super) fn give_up(&mut self) {
        if self.is_spool_ready() {
            return;
        }
        for work in std::mem::take(&mut self.again) {
            let id = work.id();
            tracing::error!(message = %id, "outcome not written, the message will be tried again");
            let behind = self.behind.remove(&id).map_or(0, |behind| behind.len());
            self.works = self.works.saturating_sub(behind.saturating_add(1));
        }
    }
}

fn facts(answer: Answer, ended: Ended, (now, grace): (Now, Duration)) -> Facts {
    Facts {
        answer,
        is_cancelled: ended.is_cancelled,
        is_tried: true,
        tries: ended.tries,
        next_try_at: now.wall_of(ended.next_try),
        now: now.wall,
        grace,
    }
}
