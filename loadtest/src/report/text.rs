//! One run, for whoever sits at the terminal.

use std::fmt::Write;

use crate::report::number::{kibi, mebi, percent, short, whole};
use crate::run::{Class, Run};

/// A few lines.
pub(crate) fn of(run: &Run) -> String {
    let mut lines = throughput(run);
    lines.extend(costs(run));
    lines.extend(counts(run));
    if run.classes.len() > 1 {
        lines.extend(run.classes.iter().map(class));
    }
    lines.extend(run.refusal.iter().map(|refusal| ("refusal", refusal.clone())));
    let mut out = String::new();
    for (name, text) in lines {
        // Writing to a string does not fail.
        writeln!(out, "{name:<12}{text}").ok();
    }
    out
}

/// The name of a line, and what stands behind it.
type Line = (&'static str, String);

#[expect(clippy::cast_precision_loss, reason = "counts are shown as they are, below 52 bits")]
fn throughput(run: &Run) -> Vec<Line> {
    let waits = |p50, p99, p999, max| {
        let [p50, p99, p999, max] = [p50, p99, p999, max].map(short);
        format!("p50 {p50} ms, p99 {p99} ms, p99.9 {p999} ms, longest {max} ms")
    };
    let (accepted, delivered) = (whole(run.accepted as f64), whole(run.delivered as f64));
    let [accept_rate, deliver_rate] =
        [run.accepted_per_second, run.delivered_per_second].map(whole);
    let Run { accept_p50_ms, accept_p99_ms, accept_p999_ms, accept_max_ms, .. } = *run;
    let Run { deliver_p50_ms, deliver_p99_ms, deliver_p999_ms, deliver_max_ms, .. } = *run;
    let mut lines = vec![
        ("accepted", format!("{accepted} messages, {accept_rate} messages/s")),
        ("delivered", format!("{delivered} recipients, {deliver_rate} messages/s")),
        ("250 after", waits(accept_p50_ms, accept_p99_ms, accept_p999_ms, accept_max_ms)),
        ("there after", waits(deliver_p50_ms, deliver_p99_ms, deliver_p999_ms, deliver_max_ms)),
    ];
    if let Some(rate) = run.offered_per_second {
        lines.push(("offered", format!("{} messages/s", whole(rate))));
    }
    if let Some(rate) = run.drained_per_second {
        lines.push(("drained", format!("{} messages/s once the next hop took mail", whole(rate))));
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "memory needs no more than 52 bits")]
fn costs(run: &Run) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(cost) = &run.cost {
        let cpu = short(run.cpu_seconds_per_1000.unwrap_or_default());
        let memory = mebi(cost.memory_peak_octets as f64);
        let written = run.written_octets_per_message;
        let written =
            written.map_or_else(|| "unknown".to_owned(), |octets| format!("{} KiB", kibi(octets)));
        let text = format!(
            "{cpu} s CPU per 1,000 messages, {memory} MiB at its peak, {written} written per message"
        );
        lines.push(("the relay", text));
        if cost.ended_early {
            lines.push(("", "its main process ended before the run did".to_owned()));
        }
    }
    let others = run.machine.others_share.map_or_else(
        || "unknown: name the relay's main process with --pid".to_owned(),
        |share| format!("used {} of the machine", percent(share)),
    );
    let verdict = if run.noisy { ": too much for the figures to be quoted" } else { "" };
    lines.push(("others", format!("{others}{verdict}")));
    lines
}

fn counts(run: &Run) -> Vec<Line> {
    let Run { refused, in_doubt, lost, doubled, damaged, .. } = run;
    let exact = format!(
        "refused {refused}, in doubt {in_doubt}, lost {lost}, doubled {doubled}, damaged {damaged}"
    );
    let mut lines = vec![("exact", exact)];
    let Run { rejected, unreported, returned, withheld, unknown, .. } = run;
    if rejected + returned + withheld + unknown > 0 {
        let text = format!(
            "rejected {rejected} (not reported {unreported}), returned {returned}, withheld by the script {withheld}, of other runs {unknown}"
        );
        lines.push(("", text));
    }
    lines
}

fn class(class: &Class) -> Line {
    let (p50, p99) = (short(class.deliver_p50_ms), short(class.deliver_p99_ms));
    let Class { name, recipients, delivered, lost, .. } = class;
    let text = format!(
        "{name}: {delivered} of {recipients} recipients there after p50 {p50} ms, p99 {p99} ms, lost {lost}"
    );
    ("class", text)
}

#[cfg(test)]
mod tests {
    use crate::samples;

    #[test]
    fn a_run_is_told_in_a_few_lines() {
        let mut run = samples::run("one", 1, 1000.0);
        run.lost = 3;
        run.refusal = Some("452 4.3.1 full".to_owned());
        let text = super::of(&run);
        for want in [
            "accepted    1,000 messages, 1,250 messages/s\n",
            "250 after   p50 4.00 ms, p99 12.0 ms, p99.9 20.0 ms, longest 25.0 ms\n",
            "0.300 s CPU per 1,000 messages, 64.0 MiB at its peak, 2.93 KiB written per message\n",
            "others      used 1 % of the machine\n",
            "refused 0, in doubt 0, lost 3, doubled 0, damaged 0\n",
            "refusal     452 4.3.1 full\n",
        ] {
            assert!(text.contains(want), "{want}\n{text}");
        }
        assert!(!text.contains("rejected"), "{text}");
    }
}
