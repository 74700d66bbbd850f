//! The part that people read.

use crate::encode::{Lines, clean, is_seven_bit, quoted_printable, wrapped};
use crate::report::{Action, Event, Notice, Report};

const WIDTH: usize = 72;
/// More of a reply than this is no help to anybody.
const REPLY_CHARS_MAX: usize = 1500;
const REPLY_LINES_MAX: usize = 20;
/// Recipients named to the reader, of each kind; the part for machines names all.
const NAMED_MAX: usize = 100;
/// A host whose name is nobody's business.
const NAMELESS: &str = "mail server";

/// What the report is about, in the line that a reader sees first.
pub(crate) const fn subject(action: Action) -> &'static str {
    match action {
        Action::Failed => "Your message could not be delivered",
        Action::Delayed => "Your message is delayed",
        Action::Relayed => "Your message was passed on",
        Action::Delivered => "Your message was delivered",
    }
}

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
    out.line(&format!("This is the mail relay {}.", report.hostname));
    for action in Action::ALL.into_iter().rev() {
        let notices = || report.notices.iter().filter(|it| it.event.action() == action);
        let all = notices().count();
        let Some(first) = notices().next() else { continue };
        out.line("");
        paragraph(&told(report, first, all), "", &mut out);
        for notice in notices().take(NAMED_MAX) {
            out.line("");
            one(notice, report, &mut out);
        }
        if let Some(more) = all.checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            out.line("");
            out.line(&format!("... and {more} more, all listed in the part below."));
        }
    }
    out.line("");
    if report.action() == Action::Failed {
        paragraph(
            "Please check the addresses. If they are right, the words above tell the person who runs the \
             recipient's mail server what to look for; pass them on.",
            "",
            &mut out,
        );
        out.line("");
    }
    paragraph(
        "Questions about this relay go to your own postmaster, who finds the message in the log by its id:",
        "",
        &mut out,
    );
    out.line(&format!("    {}", report.message));
    out.into_octets()
}

/// What became of so many recipients, to which the same as to `first` happened.
fn told(report: &Report<'_>, first: &Notice, all: usize) -> String {
    let whom = if all == 1 { "this recipient".to_owned() } else { format!("{all} recipients") };
    let sent = report.received_at.rfc5322();
    match first.event {
        Event::Refused | Event::Expired | Event::Overdue => format!(
            "The message that you sent on {sent} could not be delivered to {whom}. It will not be tried again."
        ),
        Event::Late { until } | Event::Missed { until } => format!(
            "The message that you sent on {sent} could not be delivered to {whom} so far. It is tried on, until \
             {} at the latest. You need not send it again, and you are told if it is given up.",
            until.rfc5322()
        ),
        Event::Delivered => format!(
            "The message that you sent on {sent} was delivered to {whom}, as you asked to be told."
        ),
        Event::Relayed => format!(
            "The message that you sent on {sent} was passed on for {whom}, as you asked to be told. The mail \
             server that took it sends no reports of success, so this one does not say that it was delivered."
        ),
    }
}

fn one(notice: &Notice, report: &Report<'_>, out: &mut Lines) {
    out.line(&format!("  <{}>", notice.recipient));
    paragraph(&said(notice, report), "    ", out);
    let reply = clean(notice.reply.text(), REPLY_CHARS_MAX);
    let mut lines = reply.split('\n').filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    if notice.peer.is_none() {
        return paragraph(&without_addresses(first), "      ", out);
    }
    let code = notice.reply.status().map_or_else(
        || notice.reply.code().to_string(),
        |status| format!("{} {status}", notice.reply.code()),
    );
    paragraph(&format!("{code} {first}"), "      ", out);
    for line in lines.take(REPLY_LINES_MAX) {
        paragraph(line, "      ", out);
    }
}

/// What the relay found, without the addresses and ports of the hosts that it names: they may be internal, and the
/// log has them.
fn without_addresses(words: &str) -> String {
    words.split(' ').map(without_address).collect::<Vec<_>>().join(" ")
}

/// A word; if it is a host as [`mail::Peer`] shows it, the host's name alone.
fn without_address(word: &str) -> String {
    let is_end = |c: char| c == ':' || c == ',';
    let bare = word.trim_end_matches(is_end);
    let end = word.get(bare.len()..).unwrap_or_default();
    if bare.starts_with(mail::Peer::UNIX) {
        return format!("the {NAMELESS}{end}");
    }
    let address = bare.split_once('[').and_then(|(name, rest)| {
        let (address, port) = rest.split_once("]:")?;
        (is_address(address) && port.parse::<u16>().is_ok()).then_some(name)
    });
    match address {
        None => word.to_owned(),
        Some(name) if name.is_empty() || is_address(name) => format!("the {NAMELESS}{end}"),
        Some(name) => format!("{name}{end}"),
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

/// What stands before the reply.
fn said(notice: &Notice, report: &Report<'_>) -> String {
    let host = notice.peer.as_ref().map(|peer| {
        if peer.is_socket() {
            return NAMELESS.to_owned();
        }
        format!("{NAMELESS} {} [{}]", clean(&peer.host, 255), peer.address.ip())
    });
    let tried = || {
        let waited = in_words(report.written_at.since(report.received_at));
        let times = if notice.tries == 1 { "time" } else { "times" };
        format!("It was tried {} {times} in {waited}.", notice.tries)
    };
    let last = |host: Option<String>| {
        host.map_or_else(
            || "What stood in the way last:".to_owned(),
            |host| format!("The last answer, from the {host}:"),
        )
    };
    match (notice.event, host) {
        (Event::Refused, Some(host)) => format!("The {host} refused it:"),
        (Event::Refused, None) => "This relay could not send it:".to_owned(),
        (Event::Expired | Event::Late { .. }, host) => format!("{} {}", tried(), last(host)),
        (Event::Overdue | Event::Missed { .. }, host) => format!(
            "The time was over by which you wanted it delivered. {} {}",
            tried(),
            last(host)
        ),
        (Event::Delivered | Event::Relayed, Some(host)) => format!("The {host} took it:"),
        (Event::Delivered | Event::Relayed, None) => "It was taken:".to_owned(),
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
