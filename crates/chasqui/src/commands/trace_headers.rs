//! `chasqui trace-headers`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use mail::header::{Field, Header};
use mail_parser::parsers::MessageStream;
use serde::Serialize;
use units::Clock;

use crate::arguments::TraceHeaders;
use crate::failure::{Failure, Result};
use crate::output;

/// What is read of a message: the header stands there.
const OCTETS_MAX: u64 = 4 << 20;
/// How far clocks may differ before it is worth a word, in seconds.
const SKEW_SECONDS_MAX: i64 = 60;

/// What `trace-headers --json` says.
#[derive(Debug, Serialize)]
struct Trace {
    hops: Vec<Hop>,
    /// From the first hop with a time to the last.
    seconds: Option<i64>,
    warnings: Vec<String>,
}

/// One Received field (RFC 5321 §4.4).
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Hop {
    from: Option<String>,
    address: Option<String>,
    by: Option<String>,
    with: Option<String>,
    tls: Option<String>,
    id: Option<String>,
    /// As RFC 3339 has it.
    time: Option<String>,
    unix_seconds: Option<i64>,
    /// After the hop before.
    delay_seconds: Option<i64>,
}

/// Does it.
pub(crate) fn run(arguments: &TraceHeaders) -> Result {
    let content = read(&arguments.file)?;
    let now = i64::try_from(Clock::system().unix_millis() / 1000).unwrap_or(i64::MAX);
    let trace = trace(&content, now);
    if arguments.json {
        return output::json(&trace);
    }
    output::line(text(&trace))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    if file.as_os_str() == "-" {
        let read = std::io::stdin().lock().take(OCTETS_MAX).read_to_end(&mut content);
        read.context("standard input cannot be read")?;
    } else {
        let read = File::open(file).and_then(|it| it.take(OCTETS_MAX).read_to_end(&mut content));
        read.map_err(|error| Failure::unreadable(error, "message", file))?;
    }
    Ok(content)
}

fn trace(content: &[u8], now: i64) -> Trace {
    let header = Header::read(content);
    // Each host puts its field on top.
    let fields = header.fields.iter().rev().filter(|field| field.is("received"));
    let mut hops: Vec<_> = fields.map(hop).collect();
    let (mut first, mut last, mut warnings) = (None, None, Vec::new());
    for (number, hop) in hops.iter_mut().enumerate() {
        let number = number + 1;
        let Some(time) = hop.unix_seconds else {
            warnings.push(format!("hop {number} has no time that can be read"));
            continue;
        };
        hop.delay_seconds = last.map(|last| time.saturating_sub(last));
        if hop.delay_seconds.is_some_and(|delay| delay < 0) {
            let behind = hop.delay_seconds.map_or(0, i64::unsigned_abs);
            let behind = output::span(behind);
            warnings.push(format!("hop {number} is {behind} before the one before: clocks differ"));
        }
        if time.saturating_sub(now) > SKEW_SECONDS_MAX {
            warnings.push(format!("hop {number} lies in the future"));
        }
        first = first.or(Some(time));
        last = Some(time);
    }
    let seconds = first.zip(last).map(|(first, last)| last.saturating_sub(first));
    Trace { hops, seconds, warnings }
}

fn hop(field: &Field<'_>) -> Hop {
    let value = [field.value(), b"\r\n"].concat();
    let parsed = MessageStream::new(&value).parse_received().into_received();
    let Some(parsed) = parsed else { return Hop::default() };
    let shown = |text: String| output::printable(&text);
    let tls = parsed.tls_version.map(|version| {
        let cipher = parsed.tls_cipher.as_ref().map(|cipher| format!(" {cipher}"));
        shown(format!("{version}{}", cipher.unwrap_or_default()))
    });
    let date = parsed.date.filter(mail_parser::DateTime::is_valid);
    Hop {
        from: parsed.from.map(|it| shown(it.to_string())),
        address: parsed.from_ip.map(|it| it.to_string()),
        by: parsed.by.map(|it| shown(it.to_string())),
        with: parsed.with.map(|it| it.to_string()),
        tls,
        id: parsed.id.map(|it| shown(it.into_owned())),
        time: date.as_ref().map(mail_parser::DateTime::to_rfc3339),
        unix_seconds: date.as_ref().map(mail_parser::DateTime::to_timestamp),
        delay_seconds: None,
    }
}

fn text(trace: &Trace) -> String {
    if trace.hops.is_empty() {
        return "there is no Received field".to_owned();
    }
    let mut table = output::table(["hop", "from", "by", "with", "TLS", "id", "time", "delay"]);
    for (number, hop) in trace.hops.iter().enumerate() {
        let or = |text: &Option<String>| text.clone().unwrap_or_default();
        let from = match (&hop.from, &hop.address) {
            (Some(from), Some(address)) if from != address => format!("{from} [{address}]"),
            (from, address) => or(if from.is_some() { from } else { address }),
        };
        let (by, with, tls, id) = (or(&hop.by), or(&hop.with), or(&hop.tls), or(&hop.id));
        let delay = hop.delay_seconds.map(signed).unwrap_or_default();
        table.add_row([(number + 1).to_string(), from, by, with, tls, id, or(&hop.time), delay]);
    }
    let total = trace.seconds.map(|seconds| format!("\n{} in all", signed(seconds)));
    let warnings = trace.warnings.iter().map(|warning| format!("\nwarning: {warning}"));
    format!("{table}{}{}", total.unwrap_or_default(), warnings.collect::<String>())
}

fn signed(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    format!("{sign}{}", output::span(seconds.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said() {
        let seen = trace(b"Received: nonsense\r\nReceived\r\n\r\n", 0);
        assert_eq!(seen.hops, [Hop::default()]);
        assert_eq!(seen.warnings, ["hop 1 has no time that can be read"]);
        assert_eq!(text(&trace(b"", 0)), "there is no Received field");
        let far = b"Received: from a by b; Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n";
        assert_eq!(trace(far, 0).warnings, ["hop 1 lies in the future"]);
    }
}
