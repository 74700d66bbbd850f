//! The part that machines read: `message/delivery-status`.

use mail::Address;

use crate::encode::{Lines, address_xtext, ascii};
use crate::report::{Failure, Report};

const DIAGNOSTIC_CHARS_MAX: usize = 2000;

/// Headers and body of the part. It is ASCII throughout: addresses beyond it take the form of
/// RFC 6533 §3 that older readers can carry.
pub(crate) fn part(report: &Report<'_>) -> Vec<u8> {
    let mut out = Lines::new();
    out.line("Content-Type: message/delivery-status");
    out.line("");
    out.line(&format!("Reporting-MTA: dns; {}", ascii(report.hostname.as_str())));
    out.line(&format!("X-Chasqui-Message: {}", report.message));
    out.line(&format!("Arrival-Date: {}", report.received_at.rfc5322()));
    for failure in report.failures {
        out.line("");
        group(failure, &mut out);
    }
    out.into_octets()
}

/// RFC 3464 §2.3.
fn group(failure: &Failure, out: &mut Lines) {
    out.line(&format!("Final-Recipient: {}", typed(&failure.recipient)));
    out.line("Action: failed");
    out.line(&format!("Status: {}", failure.status()));
    if let Some(peer) = &failure.peer {
        out.line(&format!("Remote-MTA: dns; {}", host(&peer.host)));
    }
    // What the relay itself decided is no SMTP reply.
    let kind = if failure.peer.is_some() { "smtp" } else { "x-chasqui" };
    let words: String = failure.reply.to_string().chars().take(DIAGNOSTIC_CHARS_MAX).collect();
    out.folded(&format!("Diagnostic-Code: {kind}; {}", ascii(&words)));
    out.line(&format!("Last-Attempt-Date: {}", failure.last_try_at.rfc5322()));
}

fn typed(address: &Address) -> String {
    if address.is_ascii() {
        format!("rfc822; {address}")
    } else {
        format!("utf-8; {}", address_xtext(address.as_str()))
    }
}

/// A host name from DNS, without what no host name has.
fn host(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let plain: String = name.chars().take(255).map(|c| if is_plain(c) { c } else { '?' }).collect();
    if plain.parse::<std::net::IpAddr>().is_ok() { format!("[{plain}]") } else { plain }
}
