//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, UnixListener};

use crate::bounded::Bounded;

/// The other end.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// A user of this machine.
    User(Option<u32>),
    /// A host.
    Host(SocketAddr),
}

impl Connected<IncomingStream<'_, Bounded<UnixListener>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded<UnixListener>>) -> Self {
        Self::User(stream.io().inner().peer_cred().ok().map(|peer| peer.uid()))
    }
}

impl Connected<IncomingStream<'_, Bounded<TcpListener>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded<TcpListener>>) -> Self {
        Self::Host(*stream.remote_addr())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(Some(uid)) => write!(out, "user {uid}"),
            Self::User(None) => out.write_str("a user of this machine"),
            Self::Host(address) => write!(out, "{address}"),
        }
    }
}
