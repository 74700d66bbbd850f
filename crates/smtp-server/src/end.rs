//! How a connection ends.

use std::io;

use mail::Reply;
use smtp_session::server::Reason;

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// The session closed it.
    #[error("session closed: {0:?}")]
    Closed(Reason),
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    /// The client read no reply for `write_wait_max`.
    #[error("the client reads no replies")]
    NotReading,
    /// No TLS within `handshake_wait_max`.
    #[error("tls handshake took too long")]
    HandshakeTimedOut,
    /// No TLS within `handshake_wait_max`, of which some went by in line: `handshakes_max` others were under way. Not the
    /// client's fault.
    #[error("no turn for the tls handshake in time")]
    NoTurn,
    /// No header of the PROXY protocol from a proxy.
    #[error("no header from the proxy: {0}")]
    NotProxied(Box<str>),
    /// A limit that only the header showed, where no reply can be read.
    #[error("turned away behind a proxy: {0}")]
    TurnedAway(Box<Reply>),
    /// TLS could not be agreed on.
    #[error("tls handshake failed: {0}")]
    HandshakeFailed(io::Error),
}
