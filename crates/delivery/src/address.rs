//! Where a host listens.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use crate::dane::Demand;

/// An address of a host, and how much TLS is asked there.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// A name or an address.
    pub(crate) host: Box<str>,
    pub(crate) address: Address,
    pub(crate) demand: Demand,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(Arc<Path>),
}

impl Address {
    /// For what only knows the Internet; unspecified for a Unix socket.
    pub(crate) fn as_tcp(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) => *address,
            Self::Unix(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => path.display().fmt(out),
        }
    }
}
