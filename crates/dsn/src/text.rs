//! The part that people read.

use crate::encode::{Lines, clean, is_seven_bit, quoted_printable, wrapped};
use crate::report::{Cause, Failure, Report};

const WIDTH: usize = 72;
/// More of a reply than this is no help to anybody.
const REPLY_CHARS_MAX: usize = 1500;
const REPLY_LINES_MAX: usize = 20;
/// Recipients named to the reader; the part for machines names all.
const NAMED_MAX: usize = 100;

/// Headers and body of the part.
pub(crate) fn part(report: &Report<'_>) -> Vec<u8> {
    let body = body(report);
    let mut out = Lines::new();
    out.line("Content-Type: text/plain; charset=utf-8");
    let fits = |line: &[u8]| line.len() <= 78;
    if is_seven_bit(&body) && body.split(|octet| *octet == b'\n').all(fits) {
        out.line("");
        out.octets(&body);
    } else {
        out.line("Content-Transfer-Encoding: quoted-printable");
        out.line("");
        out.octets(&quoted_printable(&body));
    }
    out.into_octets()
}

fn body(report: &Report<'_>) -> Vec<u8> {
    let mut out = Lines::new();
    let all = report.failures.len();
    out.line(&format!("This is the mail relay {}.", report.hostname));
    out.line("");
    let whom = if all == 1 { "this recipient".to_owned() } else { format!("{all} recipients") };
    let told = format!(
        "The message that you sent on {} could not be delivered to {whom}. It will not be tried again.",
        report.received_at.rfc5322()
    );
    paragraph(&told, "", &mut out);
    for failure in report.failures.iter().take(NAMED_MAX) {
        out.line("");
        one(failure, report, &mut out);
    }
    if let Some(more) = all.checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        out.line("");
        out.line(&format!("... and {more} more, all listed in the part below."));
    }
    out.line("");
    paragraph(
        "Please check the addresses. If they are right, the words above tell the person who runs the \
         recipient's mail server what to look for; pass them on. Questions about this relay go to your \
         own postmaster, who finds the message in the log by its id:",
        "",
        &mut out,
    );
    out.line(&format!("    {}", report.message));
    out.into_octets()
}

fn one(failure: &Failure, report: &Report<'_>, out: &mut Lines) {
    out.line(&format!("  <{}>", failure.recipient));
    let host = failure.peer.as_ref().map(|peer| {
        let name = clean(&peer.host, 255);
        format!("{name} [{}]", peer.address.ip())
    });
    let said = match (failure.cause, host) {
        (Cause::Refused, Some(host)) => format!("The mail server {host} refused it:"),
        (Cause::Refused, None) => "This relay could not send it:".to_owned(),
        (Cause::Expired, host) => {
            let waited = failure.last_try_at.since(report.received_at);
            let who = host.map_or_else(String::new, |host| format!(", from {host}"));
            let times = if failure.tries == 1 { "time" } else { "times" };
            format!(
                "It was tried {} {times} in {}. The last answer{who}:",
                failure.tries,
                in_words(waited)
            )
        }
    };
    paragraph(&said, "    ", out);
    let reply = clean(failure.reply.text(), REPLY_CHARS_MAX);
    let code = failure.reply.status().map_or_else(
        || failure.reply.code().to_string(),
        |status| format!("{} {status}", failure.reply.code()),
    );
    let mut lines = reply.split('\n').filter(|line| !line.trim().is_empty());
    paragraph(&format!("{code} {}", lines.next().unwrap_or_default()), "      ", out);
    for line in lines.take(REPLY_LINES_MAX) {
        paragraph(line, "      ", out);
    }
}

fn paragraph(text: &str, indent: &str, out: &mut Lines) {
    for line in wrapped(text, WIDTH.saturating_sub(indent.len())) {
        out.line(&format!("{indent}{line}"));
    }
}

/// A wait as people say it, in its largest unit: `5 days`.
fn in_words(wait: std::time::Duration) -> String {
    let seconds = wait.as_secs();
    let (count, unit) = [(86_400, "day"), (3600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(size, _)| seconds >= *size)
        .map_or((seconds, "second"), |(size, unit)| (seconds / size, unit));
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}
