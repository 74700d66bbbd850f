//! One measured run.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cost::{Cost, Surroundings};
use crate::drive::{ClassOutcome, Outcome};
use crate::scenario::Scenario;
use crate::timeline::Sample;

/// What a run gave: what came of its messages, how long it took, and what it cost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    pub(crate) relay: String,
    /// From 1.
    pub(crate) round: u32,
    /// Above 1 where the round was repeated because others used the machine.
    pub(crate) attempt: u32,
    /// When it began (RFC 3339, UTC).
    pub(crate) at: String,
    /// Whether others used more than a tenth of the machine.
    pub(crate) noisy: bool,

    pub(crate) messages: u64,
    pub(crate) connections: usize,
    pub(crate) per_connection: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) refusal: Option<String>,
    /// Their connection broke before the last reply.
    pub(crate) in_doubt: u64,
    /// Given up because the relay answered nothing any more.
    pub(crate) unsent: u64,
    pub(crate) offered_per_second: Option<f64>,
    /// Messages that got their 250, over the time until the last 250.
    pub(crate) accepted_per_second: f64,
    /// Messages that arrived, over the time until the last arrived.
    pub(crate) delivered_per_second: f64,
    /// The same over the time since the next hop took mail, where its script kept it away at first.
    pub(crate) drained_per_second: Option<f64>,
    pub(crate) accept_seconds: f64,
    pub(crate) deliver_seconds: f64,

    /// Of accepted messages; from here on recipients are counted.
    pub(crate) recipients: u64,
    pub(crate) delivered: u64,
    /// Accepted, and neither arrived in time nor reported nor kept back by the sink's script.
    pub(crate) lost: u64,
    /// Copies beyond the first.
    pub(crate) doubled: u64,
    /// Arrived, and not as they were sent.
    pub(crate) damaged: u64,
    /// Rejected by the sink's script.
    pub(crate) rejected: u64,
    /// Of these, named in no report to the sender.
    pub(crate) unreported: u64,
    /// Named in a report to the sender although the sink would have taken them.
    pub(crate) returned: u64,
    /// Never taken by the sink's script: they wait in the relay.
    pub(crate) withheld: u64,
    /// Named in reports to the sender.
    pub(crate) reported: u64,
    /// Arrivals that are none of this run's.
    pub(crate) unknown: u64,

    pub(crate) accept_p50_ms: f64,
    pub(crate) accept_p99_ms: f64,
    pub(crate) accept_p999_ms: f64,
    pub(crate) accept_max_ms: f64,
    pub(crate) deliver_p50_ms: f64,
    pub(crate) deliver_p99_ms: f64,
    pub(crate) deliver_p999_ms: f64,
    pub(crate) deliver_max_ms: f64,

    /// Of the relay's processes, over accepted messages.
    pub(crate) cpu_seconds_per_1000: Option<f64>,
    pub(crate) written_octets_per_message: Option<f64>,
    pub(crate) cost: Option<Cost>,
    pub(crate) machine: Surroundings,

    pub(crate) classes: Vec<Class>,
    pub(crate) accept_percentiles: Vec<Percentile>,
    pub(crate) deliver_percentiles: Vec<Percentile>,
    pub(crate) timeline: Vec<Sample>,
}

/// What came of one class of domains.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) recipients: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) rejected: u64,
    pub(crate) withheld: u64,
    pub(crate) deliver_seconds: f64,
    pub(crate) deliver_p50_ms: f64,
    pub(crate) deliver_p99_ms: f64,
}

/// A share of all, and the latency that so many did not exceed.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentile {
    pub(crate) share: f64,
    pub(crate) ms: f64,
}

/// Which run it is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) relay: String,
    pub(crate) round: u32,
    pub(crate) attempt: u32,
    pub(crate) at: String,
}

impl Run {
    pub(crate) fn new(
        place: Place,
        scenario: &Scenario,
        outcome: Outcome,
        (cost, machine): (Option<Cost>, Surroundings),
    ) -> Self {
        let (accept, deliver) = (&outcome.accept_latency_us, &outcome.delivery_latency_us);
        let per_message = |sum: f64| per_message(sum, outcome.accepted);
        let written = cost.as_ref().and_then(|cost| cost.written_octets);
        Self {
            scenario: scenario.name.clone(),
            relay: place.relay,
            round: place.round,
            attempt: place.attempt,
            at: place.at,
            noisy: machine.is_noisy(),
            messages: outcome.messages,
            connections: scenario.load.connections,
            per_connection: scenario.load.per_connection,
            accepted: outcome.accepted,
            refused: outcome.refused,
            in_doubt: outcome.in_doubt,
            unsent: outcome
                .messages
                .saturating_sub(outcome.accepted + outcome.refused + outcome.in_doubt),
            offered_per_second: outcome.offered_per_second,
            accepted_per_second: outcome.accepted_per_second(),
            delivered_per_second: outcome.delivered_per_second(),
            drained_per_second: (outcome.up_seconds > 0.0).then(|| outcome.drained_per_second()),
            accept_seconds: outcome.accept_seconds,
            deliver_seconds: outcome.deliver_seconds,
            recipients: outcome.recipients,
            delivered: outcome.delivered,
            lost: outcome.lost,
            doubled: outcome.duplicates,
            damaged: outcome.damaged,
            rejected: outcome.rejected,
            unreported: outcome.unreported,
            returned: outcome.returned,
            withheld: outcome.withheld,
            reported: outcome.reported,
            unknown: outcome.unknown,
            accept_p50_ms: quantile_ms(accept, 0.5),
            accept_p99_ms: quantile_ms(accept, 0.99),
            accept_p999_ms: quantile_ms(accept, 0.999),
            accept_max_ms: quantile_ms(accept, 1.0),
            deliver_p50_ms: quantile_ms(deliver, 0.5),
            deliver_p99_ms: quantile_ms(deliver, 0.99),
            deliver_p999_ms: quantile_ms(deliver, 0.999),
            deliver_max_ms: quantile_ms(deliver, 1.0),
            cpu_seconds_per_1000: cost
                .as_ref()
                .map(|cost| per_message(cost.cpu_seconds() * 1000.0)),
            written_octets_per_message: written.map(|octets| per_message(float(octets))),
            cost,
            machine,
            classes: outcome.classes.iter().map(class).collect(),
            accept_percentiles: percentiles(accept),
            deliver_percentiles: percentiles(deliver),
            timeline: outcome.timeline,
            refusal: outcome.last_refusal,
        }
    }

    /// Whether the relay broke its promise: something accepted is missing, or came changed.
    pub(crate) fn is_broken(&self) -> bool {
        self.lost > 0 || self.damaged > 0
    }
}

fn class(outcome: &ClassOutcome) -> Class {
    Class {
        name: outcome.name.clone(),
        recipients: outcome.recipients,
        delivered: outcome.delivered,
        lost: outcome.lost,
        doubled: outcome.duplicates,
        rejected: outcome.rejected,
        withheld: outcome.withheld,
        deliver_seconds: outcome.deliver_seconds,
        deliver_p50_ms: quantile_ms(&outcome.delivery_latency_us, 0.5),
        deliver_p99_ms: quantile_ms(&outcome.delivery_latency_us, 0.99),
    }
}

fn quantile_ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    if histogram.is_empty() { 0.0 } else { float(histogram.value_at_quantile(quantile)) / 1e3 }
}

/// From the median on, ten steps for each further nine; ends where there are no more values.
fn percentiles(histogram: &Histogram<u64>) -> Vec<Percentile> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let least = 0.5 / float(histogram.len());
    let steps = (0..60_i32).map(|step| 10_f64.powf(f64::from(step) / -10.0));
    let shares = steps.take_while(|beyond| *beyond >= least).map(|beyond| 1.0 - beyond);
    shares.map(|share| Percentile { share, ms: quantile_ms(histogram, share) }).collect()
}

fn per_message(sum: f64, messages: u64) -> f64 {
    if messages == 0 { 0.0 } else { sum / float(messages) }
}

#[expect(clippy::cast_precision_loss, reason = "no figure here needs more than 52 bits")]
fn float(count: u64) -> f64 {
    count as f64
}
