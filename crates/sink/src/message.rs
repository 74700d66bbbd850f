//! A message that was taken.

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use mail::{Address, BodyType, ReversePath};

/// One message with its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Counts from 1, behind the numbers that the folder already has.
    pub number: u64,
    /// Who sent it.
    pub client: SocketAddr,
    /// What the client called itself.
    pub helo: Box<str>,
    /// Who is told of failure.
    pub sender: ReversePath,
    /// Who shall have it, in RCPT's order.
    pub recipients: Vec<Address>,
    /// What `BODY=` said.
    pub body_type: BodyType,
    /// Whether MAIL said SMTPUTF8.
    pub needs_smtputf8: bool,
    /// Size of the content.
    pub octets: u64,
    /// The content, with [`Keep::Memory`](crate::Keep::Memory).
    pub content: Option<Bytes>,
    /// Its file, with [`Keep::Folder`](crate::Keep::Folder).
    pub path: Option<PathBuf>,
}
