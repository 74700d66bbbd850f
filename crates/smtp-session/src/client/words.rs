//! Every reply that the client gives in its own words, because the next hop gave none.

use mail::{BodyType, ByMode, EnhancedStatus, Reply};

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
    /// The content has not the size that was said.
    Size,
}

/// Says why the next hop can never take this message; none if it may.
pub(super) fn refusal(outgoing: &Outgoing, extensions: &Extensions) -> Option<Reply> {
    let body_type = outgoing.body_type;
    let takes_binary = extensions.binary_mime && extensions.chunking;
    let is_sender_wide = outgoing.sender.address().is_some_and(|address| !address.is_ascii());
    let wishes = &outgoing.wishes;
    if (outgoing.needs_smtputf8 || is_sender_wide) && !extensions.smtputf8 {
        return Some(lacking(550, (6, 7), "SMTPUTF8"));
    }
    if body_type == BodyType::BinaryMime && !takes_binary {
        return Some(lacking(554, (6, 1), "BINARYMIME"));
    }
    if body_type == BodyType::EightBitMime && !extensions.eight_bit_mime {
        return Some(lacking(554, (6, 3), "8BITMIME"));
    }
    if wishes.requires_tls && !extensions.require_tls {
        return Some(lacking(550, (7, 30), "REQUIRETLS"));
    }
    late(outgoing, extensions).or_else(|| too_big(outgoing, extensions))
}

/// What an address that needs SMTPUTF8 is told.
pub(super) fn address_lacks_smtputf8() -> Reply {
    failed(550, (6, 7), "the address needs SMTPUTF8, which the next hop does not offer")
}

/// What those are told that are one too many.
pub(super) fn left_out() -> Reply {
    let status = EnhancedStatus::new(4, 5, 3);
    Reply::new(451, Some(status), "the next hop takes fewer recipients at a time")
}

/// A message that is to be returned must not go where nobody looks at the time (RFC 2852 §4).
fn late(outgoing: &Outgoing, extensions: &Extensions) -> Option<Reply> {
    let by = outgoing.wishes.deliver_by.filter(|by| by.mode == ByMode::Return)?;
    let Some(least) = extensions.deliver_by else {
        return Some(lacking(550, (4, 7), "DELIVERBY"));
    };
    let left = by.seconds_left(outgoing.now);
    (left < i64::from(least.max(1))).then(|| {
        let words = format!("{left} seconds are left to deliver it, the next hop wants {least}");
        failed(550, (4, 7), words)
    })
}

fn too_big(outgoing: &Outgoing, extensions: &Extensions) -> Option<Reply> {
    let octets_max = extensions.size.flatten().filter(|octets_max| *octets_max > 0)?;
    let octets = outgoing.octets;
    (octets > octets_max).then(|| {
        let words =
            format!("the message has {octets} octets, the next hop takes {octets_max} at most");
        failed(552, (3, 4), words)
    })
}

fn lacking(code: u16, status: (u16, u16), name: &str) -> Reply {
    failed(code, status, format!("the message needs {name}, which the next hop does not offer"))
}

fn failed(code: u16, (subject, detail): (u16, u16), words: impl Into<String>) -> Reply {
    Reply::new(code, Some(EnhancedStatus::new(5, subject, detail)), words)
}

/// What to write where a reply is lacking; `to` names what it was due for.
pub(super) fn loss(loss: Loss, to: &str) -> Reply {
    let (code, status, words) = match loss {
        Loss::Closed => (451, EnhancedStatus::new(4, 4, 2), "connection lost before the reply to"),
        Loss::Expired => (451, EnhancedStatus::new(4, 4, 2), "waited too long for the reply to"),
        Loss::Malformed => (451, EnhancedStatus::new(4, 5, 0), "not an SMTP reply to"),
        Loss::Size => {
            (451, EnhancedStatus::new(4, 3, 0), "the content is not as long as was said, at")
        }
    };
    Reply::new(code, Some(status), format!("{words} {to}"))
}
