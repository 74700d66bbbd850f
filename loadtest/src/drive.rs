//! A run: sends the load, waits for it at the sink, and says what came of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use units::Clock;

use crate::plan::Plan;
use crate::scenario::Scenario;
use crate::sink::Sink;
use crate::source::{Notes, Source};
use crate::tally::Tally;
use crate::timeline::{Sample, Sampler, Watch};
use crate::totals::{Sending, Sums};

/// What came of a run. Counts are exact; recipients are counted one by one unless it says messages.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Messages that were to be sent.
    pub(crate) messages: u64,
    /// Messages that got their 250.
    pub(crate) accepted: u64,
    /// Messages that the relay refused in words.
    pub(crate) refused: u64,
    /// Messages whose connection broke before the last reply: they may arrive or not, and are neither lost nor doubled
    /// by arriving once.
    pub(crate) in_doubt: u64,
    /// The last refusal in words.
    pub(crate) last_refusal: Option<String>,
    /// From the start to the last 250.
    pub(crate) accept_seconds: f64,
    /// Recipients that were accepted.
    pub(crate) recipients: u64,
    /// Recipients that have their message, those of messages in doubt included.
    pub(crate) delivered: u64,
    /// Messages of which each recipient that was accepted has it.
    pub(crate) delivered_messages: u64,
    /// From the start to the last arrival.
    pub(crate) deliver_seconds: f64,
    /// Recipients that were accepted and got nothing, and nobody was told: neither delivered, rejected, returned nor
    /// withheld.
    pub(crate) lost: u64,
    /// Copies beyond the first of a recipient, and copies of what the relay had refused.
    pub(crate) duplicates: u64,
    /// Contents that differ from what was sent, or are another message's.
    pub(crate) damaged: u64,
    /// Recipients that the sink rejected for good, by its script.
    pub(crate) rejected: u64,
    /// Of these, those that no report to the sender (DSN) named.
    pub(crate) unreported: u64,
    /// Recipients that got nothing and that a report named, though the sink had not rejected them.
    pub(crate) returned: u64,
    /// Recipients that the sink never takes, by its script: theirs wait in the relay.
    pub(crate) withheld: u64,
    /// Recipients that reports named, in all.
    pub(crate) reported: u64,
    /// Arrivals of other runs, or without a number.
    pub(crate) unknown: u64,
    /// Microseconds to the 250: from the first octet of MAIL or of a new connection (closed loop), or from when the
    /// message was due (open loop).
    pub(crate) accept_latency_us: Histogram<u64>,
    /// Microseconds from the same time to the arrival of a copy at the sink.
    pub(crate) delivery_latency_us: Histogram<u64>,
    /// From the start until the next hop took mail, if its script kept it away at first; otherwise 0.
    pub(crate) up_seconds: f64,
    /// The counters every 100 ms.
    pub(crate) timeline: Vec<Sample>,
    /// One for each class of domains, the others (`good`) first.
    pub(crate) classes: Vec<ClassOutcome>,
    /// The rate that the pace asks for on average, in an open loop.
    pub(crate) offered_per_second: Option<f64>,
}

/// What came of the recipients of one class of domains.
#[derive(Clone, Debug)]
pub(crate) struct ClassOutcome {
    pub(crate) name: String,
    /// Recipients of accepted messages.
    pub(crate) recipients: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    pub(crate) withheld: u64,
    /// From the start to the last arrival.
    pub(crate) deliver_seconds: f64,
    /// As [`Outcome::delivery_latency_us`].
    pub(crate) delivery_latency_us: Histogram<u64>,
}

impl Outcome {
    /// Messages that got their 250, over the time until the last 250.
    pub(crate) fn accepted_per_second(&self) -> f64 {
        rate(self.accepted, self.accept_seconds)
    }

    /// Messages that arrived, over the time until the last arrived.
    pub(crate) fn delivered_per_second(&self) -> f64 {
        rate(self.delivered_messages, self.deliver_seconds)
    }

    /// Messages that arrived, over the time from when the next hop took mail until the last arrived.
    pub(crate) fn drained_per_second(&self) -> f64 {
        rate(self.delivered_messages, self.deliver_seconds - self.up_seconds)
    }

    /// Whether the relay broke its promise: something accepted is missing, or came changed.
    pub(crate) fn is_broken(&self) -> bool {
        self.lost > 0 || self.damaged > 0
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// What is missing is looked for so often.
const LOOK: Duration = Duration::from_millis(10);

/// Once nothing is missing, so long is waited for copies too many.
const LINGER: Duration = Duration::from_millis(200);

/// Nothing is missing for good before so many looks found nothing new.
const LOOKS: u32 = 20;

/// Sends the load of `scenario` to `target` and waits for it at `sink`, which listens already. `watch` is the one that
/// the sink was given.
///
/// # Errors
/// If the relay cannot be reached, or does not speak SMTP.
pub(crate) async fn drive(
    scenario: &Scenario,
    target: SocketAddr,
    sink: &Sink,
    clock: &Clock,
    watch: &Arc<Watch>,
) -> anyhow::Result<Outcome> {
    let tally = sink.tally();
    let started_at = clock.now();
    let sampler = Sampler::start(watch, clock, started_at);
    sink.start(started_at);
    let mut source = Source::start(&scenario.load, target, tally)?;
    source.finish(tally, scenario.settle_wait_max.as_duration()).await?;
    watch.end_sending();
    let sums = settle(scenario, sink, Sending::Here).await;
    let run = Run { tally, sink: Some(sink), started_at, samples: sampler.samples() };
    run.outcome(&sums, &source.notes()?)
}

/// Sends the load of `scenario` to `target`, whose mail a sink elsewhere takes; nothing is known of deliveries.
///
/// # Errors
/// As [`drive`].
pub(crate) async fn send(
    scenario: &Scenario,
    target: SocketAddr,
    run: u64,
    clock: &Clock,
    watch: &Arc<Watch>,
) -> anyhow::Result<Outcome> {
    let plan = Plan::new(&scenario.load, &scenario.sink.classes, run)?;
    let tally = Tally::new(plan, watch, clock)?;
    let started_at = clock.now();
    let sampler = Sampler::start(watch, clock, started_at);
    let mut source = Source::start(&scenario.load, target, &tally)?;
    source.finish(&tally, scenario.settle_wait_max.as_duration()).await?;
    watch.end_sending();
    let mut sums = Sums::count(&tally, None, Sending::Here);
    // Whoever runs the sink knows.
    for totals in std::iter::once(&mut sums.all).chain(&mut sums.classes) {
        totals.lost = 0;
    }
    let run = Run { tally: &tally, sink: None, started_at, samples: sampler.samples() };
    run.outcome(&sums, &source.notes()?)
}

/// Waits for a load that a source elsewhere sends with the same scenario and run: until all arrived, or nothing came
/// for `settle_wait_max`. Each message of the scenario counts as accepted.
pub(crate) async fn receive(
    scenario: &Scenario,
    sink: &Sink,
    clock: &Clock,
    watch: &Arc<Watch>,
) -> anyhow::Result<Outcome> {
    let started_at = clock.now();
    let sampler = Sampler::start(watch, clock, started_at);
    sink.start(started_at);
    let sums = settle(scenario, sink, Sending::Elsewhere).await;
    let run = Run { tally: sink.tally(), sink: Some(sink), started_at, samples: sampler.samples() };
    run.outcome(&sums, &Notes::new()?)
}

/// Waits until nothing is missing, or nothing came for `settle_wait_max`: a relay that delivers nothing shall not hold
/// the report up.
async fn settle(scenario: &Scenario, sink: &Sink, sending: Sending) -> Sums {
    let (tally, wait_max) = (sink.tally(), scenario.settle_wait_max.as_duration());
    let mut sums = Sums::count(tally, Some(sink), sending);
    // What is known to be rejected or returned already is in both counts.
    let awaited = sums.all.recipients.saturating_sub(sums.all.withheld);
    let (mut seen, mut seen_at) = (progress(tally), tally.clock.now());
    let (mut summed, mut looks) = (seen, 0);
    while !sums.is_settled() {
        tokio::time::sleep(LOOK.min(wait_max)).await;
        let (now, come) = (tally.clock.now(), progress(tally));
        looks += 1;
        if come != seen {
            (seen, seen_at, looks) = (come, now, 0);
        }
        // Many looks, because it may be this program that was held up.
        let is_late = looks >= LOOKS && now.duration_since(seen_at) >= wait_max;
        let [delivered, rejected, reported] = come;
        // Summing up takes long for millions: only when it may be the last time.
        if is_late || come != summed && delivered + rejected.max(reported) >= awaited {
            sums = Sums::count(tally, Some(sink), sending);
            summed = come;
        }
        if is_late {
            return sums;
        }
    }
    // Copies that come twice may come late.
    tokio::time::sleep(LINGER).await;
    Sums::count(tally, Some(sink), sending)
}

fn progress(tally: &Tally) -> [u64; 3] {
    [tally.watch.delivered(), tally.rejected(), tally.reported()]
}

/// A run that is over.
struct Run<'a> {
    tally: &'a Tally,
    sink: Option<&'a Sink>,
    started_at: Instant,
    samples: Vec<Sample>,
}

impl Run<'_> {
    fn outcome(self, sums: &Sums, notes: &Notes) -> anyhow::Result<Outcome> {
        let classes = self.classes(sums)?;
        let mut delivery_latency_us = Histogram::new(3)?;
        for class in &classes {
            delivery_latency_us.add(&class.delivery_latency_us)?;
        }
        let plan = &self.tally.plan;
        let all = sums.all;
        Ok(Outcome {
            messages: plan.messages,
            accepted: sums.accepted,
            refused: sums.refused,
            in_doubt: sums.in_doubt,
            last_refusal: notes.last_refusal.clone(),
            accept_seconds: self.seconds(notes.last_accepted_at),
            recipients: all.recipients,
            delivered: all.delivered,
            delivered_messages: sums.delivered_messages,
            deliver_seconds: classes.iter().map(|class| class.deliver_seconds).fold(0.0, f64::max),
            lost: all.lost,
            duplicates: all.duplicates,
            damaged: self.tally.damaged(),
            rejected: all.rejected,
            unreported: all.unreported,
            returned: all.returned,
            withheld: all.withheld,
            reported: self.tally.reported(),
            unknown: self.tally.unknown(),
            accept_latency_us: notes.latency_us.clone(),
            delivery_latency_us,
            up_seconds: self.seconds(self.sink.and_then(Sink::late_up_at)),
            timeline: self.samples,
            classes,
            offered_per_second: plan
                .timetable
                .as_ref()
                .map(|timetable| rate(plan.messages, timetable.due(plan.messages).as_secs_f64())),
        })
    }

    fn classes(&self, sums: &Sums) -> anyhow::Result<Vec<ClassOutcome>> {
        let names = self.tally.plan.class_names();
        let counts = sums.classes.iter().zip(self.tally.arrivals()?);
        let classes =
            names.into_iter().zip(counts).map(|(name, (totals, arrivals))| ClassOutcome {
                name,
                recipients: totals.recipients,
                delivered: totals.delivered,
                lost: totals.lost,
                duplicates: totals.duplicates,
                rejected: totals.rejected,
                withheld: totals.withheld,
                deliver_seconds: self.seconds(arrivals.last_at),
                delivery_latency_us: arrivals.latency_us,
            });
        Ok(classes.collect())
    }

    /// From the start to `at`; 0 if that never was.
    fn seconds(&self, at: Option<Instant>) -> f64 {
        at.map_or(0.0, |at| at.saturating_duration_since(self.started_at).as_secs_f64())
    }
}

#[cfg(test)]
mod tests;
