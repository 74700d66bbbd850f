//! What is sent, where and how.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mail::{Address, ReversePath};
use tls::client::Verification;

/// One message on its way to one server.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Name or address of the server; the name also is what its certificate must show.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether and how TLS is spoken.
    pub tls: Tls,
    /// Name and password, if the server wants them.
    pub credentials: Option<Credentials>,
    /// What to call ourselves.
    pub helo: String,
    /// Who is told of failure.
    pub sender: ReversePath,
    /// Who shall have it.
    pub recipients: Vec<Address>,
    /// The message. Lines that end in LF alone are sent with CRLF, as a file of this system means them.
    pub content: Bytes,
    /// Wait for the connection, and for each reply.
    pub wait_max: Duration,
}

/// Whether and how TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    None,
    /// By STARTTLS (RFC 3207); a server that does not offer it gets no message.
    StartTls(Verification),
    /// From the first octet (RFC 8314).
    Implicit(Verification),
}

/// Name and password for AUTH (RFC 4954).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whose mailbox it is.
    pub name: String,
    /// Never shown.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Credentials({})", self.name)
    }
}
