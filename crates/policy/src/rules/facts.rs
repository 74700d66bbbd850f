//! What rules are told of a message.

use std::net::IpAddr;

use mail::{Domain, Recipient, ReversePath, Timestamp};

use crate::config::AuthResult;

/// What is known of a message whose content has come.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The client's address; none if there is no client.
    pub client: Option<IpAddr>,
    /// What the client called itself.
    pub helo: &'a str,
    /// The listener that the message came in at.
    pub listener: &'a str,
    /// The inbound connector that let the client in; empty if none did.
    pub connector: &'a str,
    /// The account that the client logged in to.
    pub account: Option<&'a str>,
    /// Whether the session has TLS.
    pub is_tls: bool,
    /// The names in the client's certificate.
    pub certificate_names: &'a [Box<str>],
    /// The sender of the envelope.
    pub sender: &'a ReversePath,
    /// The recipients of the envelope.
    pub recipients: &'a [Recipient],
    /// The header as it was received, all fields with their line ends.
    pub header: &'a [u8],
    /// The octets of the whole content.
    pub octets: u64,
    /// The class of traffic so far.
    pub class: Option<&'a str>,
    /// When the message came.
    pub now: Timestamp,
    /// What mail authentication found, if the message was evaluated.
    pub auth: Option<AuthResults>,
    /// Whether the owner of a domain in From protects it, as far as somebody looked.
    pub from_domain: Option<(&'a Domain, Protection)>,
}

/// What the owner of a domain wants done with mail of others in its name (RFC 9989).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    Open,
    /// It is to be put aside or refused.
    Protected,
    /// That could not be found out just now.
    Unknown,
}

/// What mail authentication found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthResults {
    /// The result of SPF (RFC 7208).
    pub spf: AuthResult,
    /// The result of DKIM (RFC 6376).
    pub dkim: AuthResult,
    /// The result of DMARC (RFC 7489).
    pub dmarc: AuthResult,
}
