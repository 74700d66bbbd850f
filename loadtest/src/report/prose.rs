//! The sentences that reports show, before they are Markdown or HTML.

use crate::facts::ScenarioFacts;
use crate::report::Report;
use crate::report::number::{mebi, percent, size, whole};
use crate::summary::Summary;

/// How the columns are meant.
pub(crate) const READING: &[&str] = &[
    "Medians over rounds, with the range in brackets.",
    "accepted: messages with their 250, over the time until the last 250.",
    "delivered: messages that arrived, over the time until the last arrived.",
    "250: from the first octet of a message, or of its connection, to the 250; in an open loop from when it was due.",
    "there: from the same time until it is at the sink.",
    "CPU, memory (pages that processes share count once) and written octets are those of all processes of the relay.",
    "of two hops: delivered, over half of direct, where the source talks to the sink.",
    "The device keeps: what one writer can keep with a sync for each batch of one message per connection.",
    "noisy: runs during which others used more than 10 % of the processors, of all runs; they count only where there are no others.",
];

/// The machine.
pub(crate) fn machine(report: &Report) -> String {
    let machine = &report.machine;
    #[expect(clippy::cast_precision_loss, reason = "memory needs no more than 52 bits")]
    let memory = mebi(machine.memory_octets as f64);
    format!(
        "{} processors ({}), {memory} MiB, {}, Linux {}; mail kept in {} ({} on {}).",
        machine.processors,
        machine.processor_model,
        machine.system,
        machine.kernel,
        machine.folder,
        machine.file_system,
        machine.device
    )
}

/// What a reader must not overlook.
pub(crate) fn warnings(report: &Report) -> Vec<String> {
    let mut warnings: Vec<_> =
        report.missing.iter().map(|missing| format!("Left out: {missing}.")).collect();
    if report.machine.forgets() {
        let text =
            "Not to be quoted: mail was kept in memory. Name a folder on a device with --folder.";
        warnings.push(text.to_owned());
    }
    for run in report.runs.iter().filter(|run| run.is_broken() || run.unsent > 0) {
        warnings.push(format!(
            "{}, {}, round {}: {} lost, {} damaged, {} given up.",
            run.scenario, run.relay, run.round, run.lost, run.damaged, run.unsent
        ));
    }
    warnings
}

/// What is sent.
pub(crate) fn load(facts: &ScenarioFacts) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts need no more than 52 bits")]
    let messages = whole(facts.messages as f64);
    format!("{messages} messages of {}, {} connections.", size(facts.octets), facts.connections)
}

/// What the machine allows.
pub(crate) fn bounds(summary: &Summary) -> String {
    let mut out = Vec::new();
    if let Some(bound) = summary.two_hop_per_second {
        out.push(format!("Two hops on this machine: {}/s.", whole(bound)));
    }
    if let Some(bound) = summary.device_per_second {
        let shares = summary.rows.iter().filter_map(|row| Some((&row.relay, row.device_share?)));
        let shares: Vec<_> =
            shares.map(|(relay, share)| format!("{relay} {}", percent(share))).collect();
        out.push(format!("The device keeps {}/s: {}.", whole(bound), shares.join(", ")));
    }
    out.join(" ")
}
