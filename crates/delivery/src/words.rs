//! Replies in our own words.

use std::time::Duration;

use mail::{EnhancedStatus, Peer, Reply};
use smtp_session::client::Answer;
use units::Span;

/// No answer from the host (RFC 3463 §3.5).
pub(crate) const NO_ANSWER: EnhancedStatus = EnhancedStatus::new(4, 4, 1);
/// The connection broke.
pub(crate) const BAD_CONNECTION: EnhancedStatus = EnhancedStatus::new(4, 4, 2);
/// The look-up failed.
pub(crate) const LOOK_UP: EnhancedStatus = EnhancedStatus::new(4, 4, 3);
/// There is no way there.
pub(crate) const NO_ROUTE: EnhancedStatus = EnhancedStatus::new(4, 4, 4);
/// Our own machine failed.
pub(crate) const OUR_SIDE: EnhancedStatus = EnhancedStatus::new(4, 3, 0);
/// We are stopping.
pub(crate) const STOPPING: EnhancedStatus = EnhancedStatus::new(4, 3, 2);
/// TLS is asked for and cannot be had (RFC 3463 §3.8).
pub(crate) const NO_TLS: EnhancedStatus = EnhancedStatus::new(4, 7, 5);
/// The host does not take our login, or none may be sent (RFC 3463 §3.8).
pub(crate) const NO_LOGIN: EnhancedStatus = EnhancedStatus::new(4, 7, 0);

/// A 451 in our own words.
pub(crate) fn later(status: EnhancedStatus, text: impl Into<String>) -> Reply {
    Reply::new(451, Some(status), text)
}

/// A permanent no in our own words.
pub(crate) fn never(code: u16, status: EnhancedStatus, text: impl Into<String>) -> Reply {
    Reply::new(code, Some(status), text)
}

/// How long was waited, as an operator writes it.
pub(crate) fn span(wait: Duration) -> Span {
    Span::from(wait)
}

/// A lost connection in our own words, with the host and what it said.
pub(crate) fn in_our_words(answer: &Answer, peer: &Peer) -> Reply {
    if answer.is_remote {
        return later(BAD_CONNECTION, format!("{peer} ended the session: {}", answer.reply));
    }
    in_words(answer, peer)
}

/// The reply as it came, or our own words with the host they are about.
pub(crate) fn in_words(answer: &Answer, peer: &Peer) -> Reply {
    if answer.is_remote {
        return answer.reply.clone();
    }
    with_host(&answer.reply, peer)
}

/// A reply in our own words with the host that it is about.
pub(crate) fn with_host(reply: &Reply, peer: &Peer) -> Reply {
    Reply::new(reply.code(), reply.status(), format!("{peer}: {}", reply.text()))
}
