//! Which inbound connector takes a message, by its client and its sender.

use mail::ReversePath;

use crate::admission::Admission;
use crate::config::InboundConnector;
use crate::sender::{Denied, NOT_PERMITTED, Who, fits, holds};

impl Admission {
    /// The connector that takes mail of `sender` from `who`; none if the client is let in by nothing.
    ///
    /// # Errors
    /// When it is let in, but not with mail of this sender, or another connector keeps the sender's domain for itself.
    pub fn admit_mail<'a>(
        &'a self,
        who: &Who<'a>,
        sender: &ReversePath,
    ) -> Result<Option<&'a InboundConnector>, Denied> {
        self.may_use_domain(who, sender)?;
        let mut first_denied = None;
        for (_, (connector, senders)) in self.entries(who) {
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

#[cfg(test)]
mod tests {
    use mail::{Address, Domain};

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
