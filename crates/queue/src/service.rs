//! The task: one loop over what comes in, what the spool has done, and what is due.

mod answers;
mod handing;
mod lines;
mod looking;
mod owing;
mod search;
mod settling;

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use channel::{Receiver, Sender};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mail::{Accepted, Attempt, AttemptEnd, Domain, MessageId};
use policy::Live;
use schedule::{Backoff, Entry, Schedule, Settings};
use spool::{Health, Spool};
use telemetry::Registry;
use tokio::sync::{oneshot, watch};
use units::{Clock, ClockStep, ClockSteps, Span};

use crate::allowances::Allowances;
use crate::config::Config;
use crate::entries::{Maker, Now};
use crate::ids::Ids;
use crate::metrics::Metrics;
use crate::owing::Owing;
use crate::recovery::{Batch, Scan};
use crate::request::{Cancelled, Request};
use crate::shared::Shared;
use crate::terms::Terms;
use crate::ways::Ways;
use crate::work::{Done, Work};

/// What the queue is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its settings.
    pub config: Config,
    /// The relay's own name: the `Reporting-MTA` of reports.
    pub hostname: Domain,
    /// Where messages rest; opened, not yet recovered: the queue does that.
    pub spool: Spool,
    /// Who takes which recipient.
    pub policy: Live,
    /// The clock.
    pub clock: Clock,
    /// Where jitter and the ids of reports come from.
    pub random_seed: u64,
    /// Messages from reception.
    pub accepted: Receiver<Accepted>,
    /// Attempts for delivery. When it is full, no more are handed out until there is room.
    pub attempts: Sender<Attempt>,
    /// What became of them.
    pub ends: Receiver<AttemptEnd>,
    /// What operators ask.
    pub requests: Receiver<Request>,
    /// Attempts that delivery carries out at the same time. More are not handed out: they would wait
    /// there, some behind slow ones.
    pub transactions_max: usize,
    /// Where metrics are registered.
    pub registry: Arc<Registry>,
}

/// Values taken from one input before the others are looked at again.
const BURST_MAX: usize = 256;
/// Batches of recovered messages taken in one burst.
const BURST_BATCHES_MAX: usize = 8;
/// Answers that are being put together; further questions wait.
const ANSWERS_MAX: usize = 4;
/// When a settlement that failed is done again, and a spool in trouble is looked at again.
const TROUBLE_WAIT: Duration = Duration::from_secs(1);
/// Outcomes that the spool could not take, from which on nothing new is handed out. One message that
/// cannot be read must not stop the rest; a device in trouble must not make more outcomes to lose.
const AGAIN_MAX: usize = 64;
/// When delivery, which had no room for an attempt, is offered it again.
const FULL_WAIT: Duration = Duration::from_millis(5);
/// How often the metrics are brought up to date.
const SHOW_WAIT: Duration = Duration::from_secs(5);

/// Runs the queue until `stop` says true and every attempt under way has ended and is written down.
///
/// It then drops `attempts`, so delivery learns that no more come; it ends when `ends` is closed.
/// Due times follow `parts.clock`; whatever comes in makes the queue look at it.
pub async fn run(parts: Parts, stop: watch::Receiver<bool>) {
    let now = parts.clock.now();
    let terms = Terms::from(&parts.config);
    let spool = parts.spool.clone();
    // Without an answer the counts of today begin anew.
    let tallies = tokio::task::spawn_blocking(move || spool.tallies()).await.unwrap_or_default();
    let ways = Ways::of(&parts.policy.load());
    let queue = Queue {
        schedule: Schedule::new(settings(&parts), now),
        maker: Maker { terms, rest_max: rest_max(&parts.config) },
        allowances: Allowances::new(tallies),
        metrics: Metrics::register(&parts.registry, &parts.policy.load().router),
        works_max: parts.config.attempts_in_flight_max.max(1),
        shared: Arc::new(Shared {
            spool: parts.spool,
            policy: parts.policy,
            clock: parts.clock,
            hostname: parts.hostname,
            ids: Ids::new(parts.random_seed),
            terms,
        }),
        attempts: Some(parts.attempts),
        is_full: false,
        working: FuturesUnordered::new(),
        behind: HashMap::new(),
        unreviewed: HashSet::new(),
        owing: HashMap::new(),
        ways,
        works: 0,
        again: Vec::new(),
        again_at: now,
        answers: FuturesUnordered::new(),
        searches: VecDeque::new(),
        cancels: Vec::new(),
        is_recovering: true,
        shown_at: None,
        clock_steps: ClockSteps::default(),
    };
    let scan = Scan::begin(&queue.shared, queue.maker);
    let inputs = Inputs {
        accepted: Some(parts.accepted),
        ends: Some(parts.ends),
        requests: Some(parts.requests),
        scan,
        stop,
        is_stopping: false,
    };
    queue.run(inputs).await;
}

fn settings(parts: &Parts) -> Settings {
    let config = &parts.config;
    let backoff = |first: Span, factor, max: Span| Backoff {
        first: first.as_duration(),
        factor,
        rest_max: max.as_duration(),
    };
    let (connect, reply) = (config.retry_connect, config.retry_reply);
    Settings {
        connect: backoff(connect.first, connect.factor, connect.max),
        reply: backoff(reply.first, reply.factor, reply.max),
        in_flight_max: config.attempts_in_flight_max.min(parts.transactions_max).max(1),
        random_seed: parts.random_seed,
    }
}

/// The longest rest with its jitter.
fn rest_max(config: &Config) -> Duration {
    let longest = config.retry_connect.max.max(config.retry_reply.max).as_duration();
    longest.saturating_add(longest / 4)
}

/// Where values come from; an input that has ended is none.
struct Inputs {
    accepted: Option<Receiver<Accepted>>,
    ends: Option<Receiver<AttemptEnd>>,
    requests: Option<Receiver<Request>>,
    scan: Scan,
    stop: watch::Receiver<bool>,
    is_stopping: bool,
}

/// What woke the loop.
enum Event {
    Accepted(Option<Accepted>),
    End(Option<Box<AttemptEnd>>),
    Request(Option<Request>),
    Recovered(Option<Batch>),
    Done(Box<Done>),
    Nothing,
}

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The state of the task.
struct Queue {
    shared: Arc<Shared>,
    metrics: Metrics,
    maker: Maker,
    schedule: Schedule,
    allowances: Allowances,
    /// None once the queue stops.
    attempts: Option<Sender<Attempt>>,
    /// Whether delivery had no room for an attempt.
    is_full: bool,
    /// Work under way, at most one for each message, so that what is written of it is in order.
    working: FuturesUnordered<Pending<Done>>,
    /// For each message with work under way or to be done again: the work that waits behind it.
    behind: HashMap<MessageId, VecDeque<Work>>,
    /// Messages whose ways are to be found anew once something that is under way of them has ended; no more than attempts.
    unreviewed: HashSet<MessageId>,
    /// What senders are owed of messages of which an attempt goes on.
    owing: HashMap<MessageId, Owing>,
    ways: Ways,
    /// How many pieces of work there are, wherever they stand.
    works: usize,
    works_max: usize,
    /// Work that the spool could not do.
    again: Vec<Work>,
    again_at: Instant,
    answers: FuturesUnordered<Pending<()>>,
    /// Questions about the whole queue; each is answered slice by slice.
    searches: VecDeque<search::Search>,
    /// Answers that wait until the cancelled messages are gone from the spool.
    cancels: Vec<(Cancelled, oneshot::Sender<Cancelled>)>,
    is_recovering: bool,
    shown_at: Option<Instant>,
    clock_steps: ClockSteps,
}

impl Queue {
    async fn run(mut self, mut inputs: Inputs) {
        loop {
            let now = self.now();
            self.look_at_clock(now);
            self.allowances.look(&self.shared.policy.load(), now);
            self.look_at_ways();
            // First, as what it sends on its way is handed out now.
            self.search(now);
            self.hand_out(now);
            self.do_again(now);
            self.answer_cancels();
            self.show(now);
            if inputs.is_stopping && inputs.ends.is_none() {
                self.give_up();
                if self.works == 0 {
                    break;
                }
            }
            let event = self.wait(&mut inputs).await;
            let now = self.now();
            self.take(event, &mut inputs, now).await;
            self.take_burst(&mut inputs, now);
        }
        inputs.scan.stopped().await;
        let left = self.schedule.messages_len();
        tracing::info!(messages = left, "queue stopped, what is left rests in the spool");
    }

    fn now(&self) -> Now {
        Now::of(&self.shared.clock)
    }

    /// Notices when the wall clock is set, so that mail from before is not given up for an age that it has not.
    fn look_at_clock(&mut self, now: Now) {
        let Some(step) = self.clock_steps.look(now.instant, now.wall.as_millis()) else { return };
        let (way, by) = match step {
            ClockStep::Ahead(by) => ("ahead", by),
            ClockStep::Back(by) => ("back", by),
        };
        self.metrics.clock_stepped();
        tracing::warn!(way, seconds = by.as_secs(), "the clock was set");
    }

    /// Notices when recipients belong to other destinations than before. The queue itself says which connectors are full,
    /// and looks after each time, so no change is missed.
    fn look_at_ways(&mut self) {
        let policy = self.shared.policy.load();
        if self.ways.number == policy.ways() {
            return;
        }
        let before = std::mem::replace(&mut self.ways, Ways::of(&policy));
        if before.generation == self.ways.generation {
            for name in before.full.symmetric_difference(&self.ways.full) {
                self.schedule.way_changed(name);
            }
        } else {
            self.schedule.ways_changed();
            self.metrics.know(&policy.router);
        }
    }

    /// Waits until something happens.
    async fn wait(&mut self, inputs: &mut Inputs) -> Event {
        let wake = self.wake_after(inputs);
        let takes_requests = self.answers.len() + self.searches.len() < ANSWERS_MAX;
        tokio::select! {
            end = next(&mut inputs.ends) => Event::End(end.map(Box::new)),
            Some(done) = self.working.next() => Event::Done(Box::new(done)),
            accepted = next(&mut inputs.accepted) => Event::Accepted(accepted),
            recovered = inputs.scan.next(), if inputs.scan.is_reading() => {
                Event::Recovered(recovered)
            }
            request = next(&mut inputs.requests), if takes_requests => Event::Request(request),
            Some(()) = self.answers.next() => Event::Nothing,
            _ = inputs.stop.wait_for(|is_stopping| *is_stopping), if !inputs.is_stopping => {
                inputs.is_stopping = true;
                // Delivery learns that no more come, and ends when it has done what it has.
                self.attempts = None;
                inputs.scan.stop();
                Event::Nothing
            }
            // The next slice, once others had their turn.
            () = tokio::task::yield_now(), if !self.searches.is_empty() => Event::Nothing,
            () = tokio::time::sleep(wake) => Event::Nothing,
        }
    }

    /// How long there is nothing to do unless something comes in.
    fn wake_after(&self, inputs: &Inputs) -> Duration {
        let now = self.shared.clock.now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let mut wake = SHOW_WAIT;
        if let Some(at) = self.schedule.next_wake() {
            wake = wake.min(until(at));
        }
        if let Some(at) = inputs.scan.again_at() {
            wake = wake.min(until(at));
        }
        if !self.again.is_empty() {
            wake = wake.min(until(self.again_at));
        } else if self.schedule.has_due() && !self.is_spool_ready() {
            wake = wake.min(TROUBLE_WAIT);
        }
        if self.is_full {
            wake = wake.min(FULL_WAIT);
        }
        // Never a loop without a pause, whatever the clock says.
        wake.max(Duration::from_millis(1))
    }

    async fn take(&mut self, event: Event, inputs: &mut Inputs, now: Now) {
        match event {
            Event::Accepted(Some(accepted)) => self.accept(&accepted, now),
            Event::Accepted(None) => inputs.accepted = None,
            Event::End(Some(end)) => self.attempt_ended(*end, now),
            Event::End(None) => inputs.ends = None,
            Event::Request(Some(request)) => self.answer(request, now),
            Event::Request(None) => inputs.requests = None,
            Event::Done(done) => self.work_done(*done, now),
            Event::Recovered(Some(batch)) => self.recover(batch, now),
            Event::Recovered(None) => {
                inputs.scan.end(now.instant).await;
                self.is_recovering = !inputs.scan.is_over();
            }
            Event::Nothing => {}
        }
        if inputs.scan.again_at().is_some_and(|at| at <= now.instant) {
            inputs.scan = Scan::begin(&self.shared, self.maker);
        }
    }

    /// Takes what else is there, so that a busy queue does not go around for each value.
    fn take_burst(&mut self, inputs: &mut Inputs, now: Now) {
        let mut batches = 0..BURST_BATCHES_MAX;
        for _ in 0..BURST_MAX {
            let end = inputs.ends.as_mut().and_then(Receiver::try_recv);
            let accepted = inputs.accepted.as_mut().and_then(Receiver::try_recv);
            let recovered = batches.next().and_then(|_| inputs.scan.next_now());
            if end.is_none() && accepted.is_none() && recovered.is_none() {
                break;
            }
            if let Some(end) = end {
                self.attempt_ended(end, now);
            }
            if let Some(accepted) = accepted {
                self.accept(&accepted, now);
            }
            if let Some(recovered) = recovered {
                self.recover(recovered, now);
            }
        }
    }

    fn accept(&mut self, accepted: &Accepted, now: Now) {
        let entries = self.maker.fresh(accepted, &self.shared.policy.load().router, now);
        self.add(accepted.id, entries, now);
    }

    fn recover(&mut self, batch: Batch, now: Now) {
        self.metrics.messages_recovered(batch.messages);
        for entry in batch.entries {
            self.schedule.add(entry, now.instant);
        }
        for id in batch.finished {
            self.begin(Work::Finish(id));
        }
        for id in batch.owing {
            self.report_owed(id);
        }
    }

    /// Adds a message to the schedule; what is there already stays as it is.
    fn add(&mut self, id: MessageId, entries: Vec<Entry>, now: Now) {
        if entries.is_empty() {
            // Its end was written, its removal was not.
            return self.begin(Work::Finish(id));
        }
        for entry in entries {
            self.schedule.add(entry, now.instant);
        }
    }

    fn is_spool_ready(&self) -> bool {
        self.shared.spool.health() == Health::Ready
    }

    /// Brings the metrics up to date now and then.
    fn show(&mut self, now: Now) {
        let is_fresh = |at: Instant| now.instant.saturating_duration_since(at) < SHOW_WAIT;
        if self.shown_at.is_some_and(is_fresh) {
            return;
        }
        self.shown_at = Some(now.instant);
        let summary = self.summary();
        let oldest = summary.oldest_at.map(|at| now.wall.since(at)).unwrap_or_default();
        self.metrics.show(&summary, oldest);
    }
}

/// The next value of an input; waits for ever once it has ended.
async fn next<T>(input: &mut Option<Receiver<T>>) -> Option<T> {
    match input {
        Some(receiver) => receiver.recv().await.ok(),
        None => std::future::pending().await,
    }
}
