//! What became of an attempt.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::envelope::Envelope;
use crate::reply::Reply;

/// What a try meant for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The next hop took responsibility.
    Delivered,
    /// Not now; a later try may do.
    Deferred,
    /// Never; the sender is told.
    Failed,
}

impl fmt::Display for Fate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        })
    }
}

/// The host that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
pub struct Peer {
    /// Its name as looked up: an MX name or the smart host's name; `unix:` and a path for a Unix socket.
    pub host: Box<str>,
    /// The address that was connected to; unspecified for a Unix socket.
    pub address: SocketAddr,
    /// TLS version and cipher suite, if there was TLS.
    pub tls: Option<Box<str>>,
    /// Whether it takes over who is told of what (DSN, RFC 3461); if not, the relay tells it.
    pub offers_dsn: bool,
    /// Whether mail rests there (LMTP, RFC 2033): its yes means delivered, not handed on (RFC 3464 §2.3.3).
    pub is_final: bool,
    /// Whether it looks after deadlines (DELIVERBY, RFC 2852).
    pub offers_deliver_by: bool,
}

impl Peer {
    /// What the name of a Unix socket begins with; no name of a host holds a colon.
    pub const UNIX: &str = "unix:";

    /// Whether it is a Unix socket on this machine, which is nobody's business elsewhere.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with(Self::UNIX)
    }
}

impl fmt::Display for Peer {
    /// `mx.example.com[192.0.2.1]:25`, or `unix:/run/lmtp`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_socket() {
            return out.write_str(&self.host);
        }
        write!(out, "{}[{}]:{}", self.host, self.address.ip(), self.address.port())
    }
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientOutcome {
    /// The recipient's place in the envelope.
    pub recipient: u32,
    /// What it means.
    pub fate: Fate,
    /// The reply that decided it; our own words if `peer` is none.
    pub reply: Reply,
    /// Who said so; none if it was decided here (no connection, null MX, expiry).
    pub peer: Option<Arc<Peer>>,
}

/// What became of one attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Each recipient of the attempt has its answer, but for those that were reported as taken before.
    Answered(Vec<RecipientOutcome>),
    /// Hosts have taken some recipients, and the attempt goes on: its end is still to come.
    Taken {
        /// Whom.
        outcomes: Vec<RecipientOutcome>,
        /// Who they are, so that nobody has to read it again for each of many recipients.
        envelope: Arc<Envelope>,
        /// If an application wants others to have the message too: the envelope of a copy, which is stored in the same
        /// write.
        copy: Option<Box<Envelope>>,
    },
    /// What became of these recipients was decided here, and no host was asked: nothing is known of the destination.
    Decided(Vec<RecipientOutcome>),
    /// A filter has all of the attempt's recipients forgotten, and nobody told: nothing is known of the destination.
    Discarded,
    /// No host of the destination could be talked to: the whole destination rests for a while.
    Unreachable {
        /// Why, as a 4yz reply in our own words, naming the last host tried.
        reply: Reply,
        /// The last host tried, if it got as far as an address.
        peer: Option<Arc<Peer>>,
    },
    /// Our own machine could not try this message now: it waits, and nothing is known of the destination.
    Hindered {
        /// Why, as a 4yz reply in our own words.
        reply: Reply,
    },
    /// Nothing was tried: the ways of recipients have changed since it was handed out, or none goes this way.
    Elsewhere,
    /// The spool has the message no more, or could not read it; the spool has reported why.
    Missing,
}
