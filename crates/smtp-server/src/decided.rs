//! What is known of a message when policy is asked, and what it is stored with.

use mail::{Directions, Recipient};
use policy::AuthResults;
use smtp_session::server;

/// What is known of content when policy is asked.
pub(crate) struct Known<'a> {
    /// All fields with their line ends, as filters left them.
    pub(crate) header: &'a [u8],
    pub(crate) octets: u64,
    /// What a filter says it is.
    pub(crate) class: Option<&'a str>,
    /// What mail authentication found, if it was asked.
    pub(crate) auth: Option<AuthResults>,
}

/// What a message is stored with.
pub(crate) struct Decided {
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) directions: Option<Box<Directions>>,
}

impl Decided {
    /// What nobody has anything to say about.
    pub(crate) fn plain(received: &mut server::Transaction) -> Self {
        Self { recipients: std::mem::take(&mut received.recipients), directions: None }
    }
}
