//! What inbound connectors ask of the sender of a message, and why one is refused.

use std::net::IpAddr;

use mail::{Domain, EnhancedStatus, Reply, ReversePath, Timestamp};

use crate::certificate::Certificate;
use crate::config::InboundConnector;
use crate::from_filter::FromFilter;

/// What is known of a client.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Its address.
    pub address: IpAddr,
    /// Its certificate, if that is trusted.
    pub certificate: Certificate<'a>,
    /// The account that it logged in to.
    pub login: Option<&'a str>,
    /// Whether the session has TLS.
    pub is_tls: bool,
    /// What time it is: networks may expire.
    pub now: Timestamp,
}

/// Why a message of a sender is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    reply: Reply,
    reason: String,
}

impl Denied {
    /// What the client is told.
    pub const fn reply(&self) -> &Reply {
        &self.reply
    }

    /// What the operator is told: the connector and what did not fit.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn new(
        (code, status): (u16, (u8, u16, u16)),
        words: String,
        reason: String,
    ) -> Self {
        let (class, subject, detail) = status;
        let status = EnhancedStatus::new(class, subject, detail);
        Self { reply: Reply::new(code, Some(status), words), reason }
    }
}

/// The senders of one connector, ready for use; those of the settings that cannot be read let nobody in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Senders {
    /// None if it does not ask.
    domains: Option<FromFilter>,
    registered: Option<FromFilter>,
    /// The domains that it keeps for itself.
    pub(crate) own: FromFilter,
}

impl Senders {
    pub(crate) fn of(connector: &InboundConnector, verified: &[Domain]) -> Self {
        let named: Vec<_> =
            connector.sender_domains.iter().filter(|it| *it != "*").cloned().collect();
        let takes_verified = named.len() < connector.sender_domains.len();
        let verified = verified.iter().filter(|_| takes_verified).map(|it| it.as_str().to_owned());
        let read = |entries: &[String]| FromFilter::parse(entries).unwrap_or_default();
        let all: Vec<_> = named.iter().cloned().chain(verified).collect();
        let asks = |list: &[String]| !list.is_empty();
        Self {
            domains: asks(&connector.sender_domains).then(|| read(&all)),
            registered: asks(&connector.registered_senders)
                .then(|| read(&connector.registered_senders)),
            own: read(&named),
        }
    }

    /// Whether none of the lists is against this sender.
    pub(crate) fn allow(&self, sender: &mail::Address) -> bool {
        [&self.domains, &self.registered].into_iter().flatten().all(|list| holds(list, sender))
    }

    /// Whether they name this sender, and do not just take everybody.
    pub(crate) fn name(&self, sender: &mail::Address) -> bool {
        let lists = || [&self.domains, &self.registered].into_iter().flatten();
        lists().next().is_some() && self.allow(sender)
    }
}

/// Whether a list holds the address; one that holds nothing holds nobody.
pub(crate) fn holds(filter: &FromFilter, sender: &mail::Address) -> bool {
    !filter.is_empty() && filter.fit(Some(sender)).is_some()
}

pub(crate) const NOT_PERMITTED: (u16, (u8, u16, u16)) = (550, (5, 7, 1));
const NEEDS_TLS: (u16, (u8, u16, u16)) = (530, (5, 7, 0));

/// Whether a message fits a connector that lets its client in.
pub(crate) fn fits(
    connector: &InboundConnector,
    senders: &Senders,
    who: &Who<'_>,
    sender: &ReversePath,
) -> Result<(), Denied> {
    let name = &connector.name;
    if connector.require_tls && !who.is_tls {
        let words = "Must issue a STARTTLS command first".to_owned();
        return Err(Denied::new(NEEDS_TLS, words, format!("connector {name} requires TLS")));
    }
    let Some(address) = sender.address() else {
        let has_lists = senders.domains.is_some() || senders.registered.is_some();
        let asks = has_lists || connector.header_from.asks_sender();
        if connector.takes_null_sender.unwrap_or(!asks) {
            return Ok(());
        }
        let words = "Null sender rejected: mail without a sender is not taken here".to_owned();
        let reason = format!("connector {name} asks who sends, and does not take the null sender");
        return Err(Denied::new(NOT_PERMITTED, words, reason));
    };
    if senders.domains.as_ref().is_some_and(|domains| !holds(domains, address)) {
        let words = format!("Sender address rejected: mail of {sender} is not taken here");
        let reason = format!("the sender's domain is not in sender_domains of connector {name}");
        return Err(Denied::new(NOT_PERMITTED, words, reason));
    }
    if senders.registered.as_ref().is_some_and(|registered| !holds(registered, address)) {
        let words = format!("Sender address rejected: {sender} is not registered");
        let reason = format!(
            "transport ok, sender not registered in registered_senders of connector {name}"
        );
        return Err(Denied::new(NOT_PERMITTED, words, reason));
    }
    Ok(())
}
