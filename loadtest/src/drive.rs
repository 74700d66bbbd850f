//! A run: sends the load, waits for it at the sink, and says what came of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use units::Clock;

use crate::scenario::Scenario;
use crate::sink::Sink;
use crate::source;
use crate::timeline::{Sample, Watch};

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
    /// Recipients of the messages that were accepted.
    pub(crate) recipients: u64,
    /// Recipients that have their message.
    pub(crate) delivered: u64,
    /// Messages of which each recipient that was accepted has it.
    pub(crate) delivered_messages: u64,
    /// From the start to the last arrival.
    pub(crate) deliver_seconds: f64,
    /// Recipients whose message was accepted and did not arrive, and that the sink did not reject either.
    pub(crate) lost: u64,
    /// Copies beyond the first of a recipient.
    pub(crate) duplicates: u64,
    /// Contents that differ from what was sent.
    pub(crate) damaged: u64,
    /// Recipients that the sink rejected for good, by its script.
    pub(crate) rejected: u64,
    /// Recipients that a report to the sender (a DSN) named.
    pub(crate) reported: u64,
    /// Arrivals of other runs, or without a number, reports of this run not included.
    pub(crate) unknown: u64,
    /// Microseconds to the 250: from the first octet of MAIL or of a new connection (closed loop), or from when the
    /// message was due (open loop).
    pub(crate) accept_latency_us: Histogram<u64>,
    /// Microseconds from the same time to the arrival of a copy at the sink.
    pub(crate) delivery_latency_us: Histogram<u64>,
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

    /// Whether the relay broke its promise: something accepted is missing, or came changed.
    pub(crate) fn is_broken(&self) -> bool {
        self.lost > 0 || self.damaged > 0
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// Sends the load of `scenario` to `target` and waits for it at `sink`, which listens already.
pub(crate) async fn drive(
    scenario: &Scenario,
    target: SocketAddr,
    sink: &Sink,
    clock: &Clock,
    watch: &Arc<Watch>,
) -> anyhow::Result<Outcome> {
    let load = Arc::new(scenario.load.clone());
    let started_at = clock.now();
    let sent = source::send_all(&load, target, sink.run(), clock, watch).await?;
    let accept = clock.now().duration_since(started_at);
    let wait = scenario.settle_wait_max.as_duration();
    let copies = sent.accepted * u64::from(load.copies());
    // A relay that delivers nothing shall not hold the report up; what is missing is counted as lost.
    tokio::time::timeout(wait, sink.wait_for(copies)).await.ok();
    let deliver = sink.last_at().map_or(Duration::ZERO, |at| at.duration_since(started_at));
    let (missing, duplicates) = sink.lost_and_doubled(load.copies());
    Ok(Outcome {
        messages: load.messages,
        accepted: sent.accepted,
        refused: sent.refused,
        in_doubt: 0,
        last_refusal: sent.refusal,
        accept_seconds: accept.as_secs_f64(),
        recipients: copies,
        delivered: watch.delivered(),
        delivered_messages: load.messages - missing,
        deliver_seconds: deliver.as_secs_f64(),
        lost: missing.saturating_sub(sent.refused),
        duplicates,
        damaged: 0,
        rejected: 0,
        reported: 0,
        unknown: sink.unknown(),
        accept_latency_us: sent.latency_us,
        delivery_latency_us: Histogram::new(3)?,
        timeline: Vec::new(),
        classes: Vec::new(),
        offered_per_second: None,
    })
}

/// Sends the load of `scenario` to `target`, whose mail a sink elsewhere takes; nothing is known of deliveries.
pub(crate) async fn send(
    scenario: &Scenario,
    target: SocketAddr,
    run: u64,
    clock: &Clock,
    watch: &Arc<Watch>,
) -> anyhow::Result<Outcome> {
    let sink = Sink::listen(([127, 0, 0, 1], 0).into(), scenario, run, watch).await?;
    let scenario = Scenario { settle_wait_max: units::Span::millis(0), ..scenario.clone() };
    drive(&scenario, target, &sink, clock, watch).await
}

/// Waits for a load that a source elsewhere sends with the same scenario and run: until all arrived, or nothing for
/// `settle_wait_max` once something came.
pub(crate) async fn receive(
    scenario: &Scenario,
    sink: &Sink,
    clock: &Clock,
    watch: &Arc<Watch>,
) -> anyhow::Result<Outcome> {
    let scenario = Scenario {
        load: crate::load::Load { messages: 0, ..scenario.load.clone() },
        ..scenario.clone()
    };
    drive(&scenario, sink.address(), sink, clock, watch).await
}
