//! What inbound connectors ask of the sender of a message, and why one is refused.

use std::net::IpAddr;

use mail::{Domain, EnhancedStatus, Reply, ReversePath};

use crate::admission::Admission;
use crate::config::InboundConnector;
use crate::from_filter::FromFilter;

/// What is known of a client.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Its address.
    pub address: IpAddr,
    /// The names in its certificate, if that is trusted.
    pub certificate_names: &'a [Box<str>],
    /// The account that it logged in to.
    pub login: Option<&'a str>,
    /// Whether the session has TLS.
    pub is_tls: bool,
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

    fn new((code, status): (u16, (u8, u16, u16)), words: String, reason: String) -> Self {
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
    own: FromFilter,
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
}

/// Whether a list holds the address; one that holds nothing holds nobody.
fn holds(filter: &FromFilter, sender: &mail::Address) -> bool {
    !filter.is_empty() && filter.fit(Some(sender)).is_some()
}

const NOT_PERMITTED: (u16, (u8, u16, u16)) = (550, (5, 7, 1));
const NEEDS_TLS: (u16, (u8, u16, u16)) = (530, (5, 7, 0));

impl Admission {
    /// The connector that takes mail of `sender` from `who`; none if the client is let in by nothing.
    ///
    /// # Errors
    /// When it is let in, but not with mail of this sender, or another connector keeps the sender's domain for itself.
    pub fn admit_mail(
        &self,
        who: &Who<'_>,
        sender: &ReversePath,
    ) -> Result<Option<&InboundConnector>, Denied> {
        self.may_use_domain(who, sender)?;
        let mut first_denied = None;
        for (connector, senders) in self.candidates(who) {
            match fits(connector, senders, who, sender) {
                Ok(()) => return Ok(Some(connector)),
                Err(denied) => first_denied = first_denied.or(Some(denied)),
            }
        }
        first_denied.map_or(Ok(None), Err)
    }

    /// Whether the sender's domain is kept by a connector for clients that this one is none of.
    fn may_use_domain(&self, who: &Who<'_>, sender: &ReversePath) -> Result<(), Denied> {
        let Some(address) = sender.address() else { return Ok(()) };
        for (connector, senders) in self.enabled() {
            let is_kept = holds(&senders.own, address);
            let by_address = is_kept && connector.restrict_domains_to_ip_addresses;
            let by_certificate = is_kept && connector.restrict_domains_to_certificate;
            let attribute = if by_address && !self.is_in_networks(connector, who.address) {
                "address"
            } else if by_certificate && !Self::is_holder(connector, who.certificate_names) {
                "certificate"
            } else {
                continue;
            };
            return Err(Denied::new(
                NOT_PERMITTED,
                format!("Relay access denied: {sender} may not be sent from {}", who.address),
                format!(
                    "connector {} keeps this sender's domain for its own clients; the {attribute} does not match",
                    connector.name
                ),
            ));
        }
        Ok(())
    }
}

/// Whether a message fits a connector that lets its client in.
fn fits(
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
        let asks = senders.domains.is_some() || senders.registered.is_some();
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

#[cfg(test)]
mod tests {
    use mail::Address;

    use super::*;

    fn connector(name: &str, network: &str) -> InboundConnector {
        InboundConnector {
            name: name.to_owned(),
            networks: vec![network.parse().unwrap()],
            ..InboundConnector::default()
        }
    }

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn check(admission: &Admission, client: &str, sender: &str, want: &str) {
        // A client that is under TLS is written with a `+`.
        let (client, is_tls) = client.strip_prefix('+').map_or((client, false), |it| (it, true));
        let who =
            Who { address: client.parse().unwrap(), certificate_names: &[], login: None, is_tls };
        let path = match sender {
            "" => ReversePath::Null,
            sender => ReversePath::Address(Address::parse(sender).unwrap()),
        };
        let seen = match admission.admit_mail(&who, &path) {
            Ok(Some(connector)) => connector.name.clone(),
            Ok(None) => "nobody".to_owned(),
            Err(denied) => format!("{} ({})", denied.reply(), denied.reason()),
        };
        assert!(seen.starts_with(want), "{client} {sender}: {seen}");
    }

    #[test]
    fn the_first_connector_that_fits_takes_the_message() {
        let narrow = InboundConnector {
            require_tls: true,
            sender_domains: list(&["a.example"]),
            ..connector("narrow", "192.0.2.1/32")
        };
        let registered = InboundConnector {
            registered_senders: list(&["bob@b.example", "c.example"]),
            ..connector("registered", "192.0.2.0/24")
        };
        let verified = InboundConnector {
            sender_domains: list(&["*"]),
            takes_null_sender: Some(true),
            ..connector("verified", "198.51.100.0/24")
        };
        let domains = [Domain::parse("own.example").unwrap()];
        let admission = Admission::new(vec![registered, narrow, verified]).with_verified(&domains);
        check(&admission, "+192.0.2.1", "x@a.example", "narrow");
        check(&admission, "+192.0.2.1", "Bob@B.example", "registered");
        check(&admission, "+192.0.2.1", "x@c.example", "registered");
        check(&admission, "192.0.2.1", "x@a.example", "530 5.7.0 Must issue");
        check(&admission, "+192.0.2.1", "x@d.example", "550 5.7.1 Sender address rejected");
        check(
            &admission,
            "+192.0.2.2",
            "alice@b.example",
            "550 5.7.1 Sender address rejected: <alice@b.example> is not registered",
        );
        check(&admission, "+192.0.2.2", "", "550 5.7.1 Null sender");
        check(&admission, "198.51.100.9", "x@own.example", "verified");
        check(&admission, "198.51.100.9", "", "verified");
        check(&admission, "198.51.100.9", "x@a.example", "550 5.7.1");
        check(&admission, "+203.0.113.1", "x@a.example", "nobody");
    }

    #[test]
    fn a_kept_domain_is_refused_from_elsewhere() {
        let kept = InboundConnector {
            sender_domains: list(&["own.example", "*.own.example"]),
            restrict_domains_to_ip_addresses: true,
            ..connector("kept", "192.0.2.1/32")
        };
        let by_certificate = InboundConnector {
            sender_domains: list(&["cert.example"]),
            restrict_domains_to_certificate: true,
            certificate_names: list(&["mail.cert.example"]),
            ..connector("cert", "192.0.2.7/32")
        };
        let off = InboundConnector {
            enabled: false,
            sender_domains: list(&["off.example"]),
            restrict_domains_to_ip_addresses: true,
            ..connector("off", "192.0.2.1/32")
        };
        let admission =
            Admission::new(vec![kept, by_certificate, off, connector("all", "0.0.0.0/0")]);
        check(&admission, "192.0.2.1", "a@own.example", "kept");
        check(&admission, "192.0.2.1", "a@sub.own.example", "kept");
        check(&admission, "192.0.2.2", "a@own.example", "550 5.7.1 Relay access denied");
        check(&admission, "192.0.2.2", "a@else.example", "all");
        check(&admission, "192.0.2.2", "a@off.example", "all");
        check(&admission, "192.0.2.7", "a@cert.example", "550 5.7.1");
        let names = [Box::from("mail.cert.example")];
        let who = Who {
            address: "192.0.2.9".parse().unwrap(),
            certificate_names: &names,
            login: None,
            is_tls: true,
        };
        let sender = ReversePath::Address(Address::parse("a@cert.example").unwrap());
        assert_eq!(admission.admit_mail(&who, &sender).unwrap().unwrap().name, "cert");
    }
}
