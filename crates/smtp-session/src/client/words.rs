//! Every reply that the client gives in its own words, because the next hop gave none.

use mail::{BodyType, EnhancedStatus, Reply};

use crate::client::extensions::Extensions;
use crate::client::outgoing::Outgoing;

/// Why there is no usable reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The connection is gone.
    Closed,
    /// The wait was too long.
    Expired,
    /// What came is not a reply, or not one that can stand here.
    Malformed,
}

/// Says why the next hop can never take this message; none if it may.
pub(super) fn refusal(outgoing: &Outgoing, extensions: &Extensions) -> Option<Reply> {
    let failed = |code, subject, detail, words: String| {
        Some(Reply::new(code, Some(EnhancedStatus::new(5, subject, detail)), words))
    };
    if outgoing.needs_smtputf8 && !extensions.smtputf8 {
        return failed(
            550,
            6,
            7,
            "the message needs SMTPUTF8, which the next hop does not offer".into(),
        );
    }
    if outgoing.body_type == BodyType::EightBitMime && !extensions.eight_bit_mime {
        return failed(
            554,
            6,
            3,
            "the message needs 8BITMIME, which the next hop does not offer".into(),
        );
    }
    match extensions.size.flatten() {
        Some(octets_max) if octets_max > 0 && outgoing.octets > octets_max => {
            let octets = outgoing.octets;
            let words =
                format!("the message has {octets} octets, the next hop takes {octets_max} at most");
            failed(552, 3, 4, words)
        }
        _ => None,
    }
}

/// What to write where a reply is lacking; `to` names what it was due for.
pub(super) fn loss(loss: Loss, to: &str) -> Reply {
    let (code, status, words) = match loss {
        Loss::Closed => (451, EnhancedStatus::new(4, 4, 2), "connection lost before the reply to"),
        Loss::Expired => (451, EnhancedStatus::new(4, 4, 2), "waited too long for the reply to"),
        Loss::Malformed => (451, EnhancedStatus::new(4, 5, 0), "not an SMTP reply to"),
    };
    Reply::new(code, Some(status), format!("{words} {to}"))
}
