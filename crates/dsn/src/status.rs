//! The part that machines read: `message/delivery-status`.

use mail::{Address, OriginalRecipient};

use crate::encode::{Lines, address_xtext, ascii};
use crate::report::{Event, Notice, Report};

const DIAGNOSTIC_CHARS_MAX: usize = 2000;
const ADDRESS_OCTETS_MAX: usize = 900;

/// In which alphabet a part may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// ASCII throughout: addresses beyond it take the form of RFC 6533 §3 that older readers can carry.
    Ascii,
    /// UTF-8, as the report goes by SMTPUTF8 only (RFC 6533 §4).
    Utf8,
}

impl Alphabet {
    /// The name of the part below `message/`.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Ascii => "delivery-status",
            Self::Utf8 => "global-delivery-status",
        }
    }
}

/// Headers and body of the part.
pub(crate) fn part(report: &Report<'_>, alphabet: Alphabet) -> Vec<u8> {
    let mut out = Lines::new();
    out.line(&format!("Content-Type: message/{}", alphabet.kind()));
    if alphabet == Alphabet::Utf8 {
        out.line("Content-Transfer-Encoding: 8bit");
    }
    out.line("");
    if let Some(id) = report.envelope_id {
        // Its characters are printable ASCII, 100 at most.
        out.line(&format!("Original-Envelope-Id: {id}"));
    }
    out.line(&format!("Reporting-MTA: dns; {}", ascii(report.hostname.as_str())));
    out.line(&format!("X-Chasqui-Message: {}", report.message));
    out.line(&format!("Arrival-Date: {}", report.received_at.rfc5322()));
    for notice in report.notices {
        out.line("");
        group(notice, alphabet, &mut out);
    }
    out.into_octets()
}

/// RFC 3464 §2.3.
fn group(notice: &Notice, alphabet: Alphabet, out: &mut Lines) {
    let first = notice.original.as_ref().map(|it| first_named(it, alphabet));
    // Longer ones, which no mailbox has, do not fit a line.
    if let Some(first) = first.filter(|it| it.len() <= ADDRESS_OCTETS_MAX) {
        out.line(&format!("Original-Recipient: {first}"));
    }
    out.line(&format!("Final-Recipient: {}", typed(&notice.recipient, alphabet)));
    out.line(&format!("Action: {}", notice.event.action().name()));
    out.line(&format!("Status: {}", notice.status()));
    // Both tell what a host said (RFC 3464 §2.3.5 and §2.3.6); what the relay itself found is told in the words before.
    if let Some(peer) = &notice.peer {
        if !peer.is_socket() {
            out.line(&format!("Remote-MTA: dns; {}", host(&peer.host)));
        }
        let words: String = notice.reply.to_string().chars().take(DIAGNOSTIC_CHARS_MAX).collect();
        out.folded(&format!("Diagnostic-Code: smtp; {}", ascii(&words)));
    }
    if let Some(at) = notice.last_try_at {
        out.line(&format!("Last-Attempt-Date: {}", at.rfc5322()));
    }
    if let Event::Late { until } | Event::Missed { until } = notice.event {
        out.line(&format!("Will-Retry-Until: {}", until.rfc5322()));
    }
}

fn typed(address: &Address, alphabet: Alphabet) -> String {
    if address.is_ascii() {
        format!("rfc822; {address}")
    } else if alphabet == Alphabet::Utf8 {
        format!("utf-8; {address}")
    } else {
        format!("utf-8; {}", address_xtext(address.as_str()))
    }
}

/// As RCPT said it, decoded (RFC 3461 §4.2); only an address of the type `utf-8` can be beyond ASCII.
fn first_named(original: &OriginalRecipient, alphabet: Alphabet) -> String {
    let (kind, address) = (original.kind(), original.address());
    let is_wide = kind.eq_ignore_ascii_case(OriginalRecipient::UTF8);
    if is_wide && alphabet == Alphabet::Ascii {
        format!("{kind}; {}", address_xtext(address))
    } else {
        format!("{kind}; {address}")
    }
}

/// A host name from DNS, without what no host name has.
fn host(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let plain: String = name.chars().take(255).map(|c| if is_plain(c) { c } else { '?' }).collect();
    if plain.parse::<std::net::IpAddr>().is_ok() { format!("[{plain}]") } else { plain }
}
