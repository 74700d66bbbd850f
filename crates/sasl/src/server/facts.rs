//! What is known of a connection before a login, and of a client after it.

use std::net::IpAddr;

use policy::config::Mechanism;

use crate::binding::ChannelBindings;
use crate::senders::Senders;

/// What a login may depend on besides what the client says.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The client's address.
    pub client: IpAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// What the TLS session can be recognised by.
    pub bindings: ChannelBindings,
    /// The names in the client's certificate, if it showed one that was verified; else none.
    pub certificate_names: Vec<String>,
}

impl Facts {
    /// A connection in clear text.
    pub fn clear(client: IpAddr) -> Self {
        Self {
            client,
            is_tls: false,
            bindings: ChannelBindings::default(),
            certificate_names: Vec::new(),
        }
    }
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's name. Holds no control character.
    pub account: Box<str>,
    /// For whom the account acts: itself, unless the client named one of its senders. Holds no control character.
    pub authorization: Box<str>,
    /// How it logged in, for `Received` (RFC 3848: `ESMTPSA`) and the log.
    pub mechanism: Mechanism,
    /// From whom it may send.
    pub senders: Senders,
}
