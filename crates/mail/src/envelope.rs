//! The envelope: who sent it, who shall have it, and where it came in.

use std::net::IpAddr;

use crate::address::{Address, ReversePath};
use crate::directions::Directions;
use crate::wishes::{Notify, OriginalRecipient, Wishes};

/// What the sender said of the content's octets (`BODY=`, RFC 6152, RFC 3030).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum BodyType {
    /// ASCII only; also what silence means.
    #[default]
    SevenBit,
    /// Octets above 127 may occur.
    EightBitMime,
    /// Any octets in lines of any length, line ends among them: only chunks can carry it (RFC 3030 §3).
    BinaryMime,
}

impl BodyType {
    /// The name that `BODY=` has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SevenBit => "7BIT",
            Self::EightBitMime => "8BITMIME",
            Self::BinaryMime => "BINARYMIME",
        }
    }
}

/// One recipient of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address as RCPT spelled it.
    pub address: Address,
    /// Of what the sender wants to hear; none if RCPT did not say (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// How the sender named the recipient, if RCPT said it (RFC 3461 §4.2).
    pub original: Option<OriginalRecipient>,
    /// The outbound connector that was chosen for it when the message was taken, where that is not what its domain
    /// alone gives.
    pub via: Option<Box<str>>,
}

impl Recipient {
    /// Whether the sender is told of `event`; one who did not say hears of failure and delay.
    pub fn wants(&self, event: Notify) -> bool {
        self.notify.unwrap_or(Notify::FAILURE.with(Notify::DELAY)).holds(event)
    }
}

impl From<Address> for Recipient {
    /// A recipient of which RCPT said nothing more.
    fn from(address: Address) -> Self {
        Self { address, notify: None, original: None, via: None }
    }
}

/// Where a message came in: kept so that each decision can be explained later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address; none for what the relay itself wrote, such as a DSN.
    pub client: Option<IpAddr>,
    /// What the client called itself in EHLO or HELO; empty if there was no client.
    pub helo: Box<str>,
    /// The name of the listener.
    pub listener: Box<str>,
    /// The inbound connector that let it in.
    pub connector: Box<str>,
    /// TLS version and cipher suite, if there was TLS: `TLS1_3 TLS_AES_256_GCM_SHA384`.
    pub tls: Option<Box<str>>,
    /// The account that the client had logged in to, if any. Holds no control character.
    pub login: Option<Box<str>>,
}

/// All that SMTP says of a message besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who is told of failure.
    pub sender: ReversePath,
    /// Who shall have it, in RCPT's order, never empty; an outcome names one by its place here.
    pub recipients: Vec<Recipient>,
    /// What `BODY=` said.
    pub body_type: BodyType,
    /// Whether `SMTPUTF8` stood in MAIL: the next hop must offer it (RFC 6531 §3.4).
    pub needs_smtputf8: bool,
    /// What MAIL asked for besides.
    pub wishes: Wishes,
    /// Where it came in.
    pub origin: Origin,
    /// What was decided about it when it was taken; none if nothing was.
    pub directions: Option<Box<Directions>>,
}
