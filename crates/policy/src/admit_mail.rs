//! Which inbound connector takes a message, by its client and its sender.

use mail::{Address, ReversePath};

use crate::admission::{Admission, Entry};
use crate::config::{AuthResult, Feature, InboundAuth, InboundConnector};
use crate::sender::{Denied, NOT_PERMITTED, Who, fits, holds};

/// What is to be found out before an answer can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Whether the sender's domain lets the client send (RFC 7208).
    Spf,
}

/// What was found out, as far as somebody looked. It counts only where it is asked for, so the same answers come to the same
/// verdict, whenever each came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Answers {
    /// That of [`Lookup::Spf`].
    pub spf: Option<AuthResult>,
}

/// Who takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted<'a> {
    /// This connector.
    By(&'a InboundConnector),
    /// None: the client is let in by nothing.
    Nobody,
    /// That depends on this.
    Needs(Lookup),
}

/// RFC 7372 §3.2.
const SPF_FAILED: (u16, (u8, u16, u16)) = (550, (5, 7, 23));
const SPF_BROKEN: (u16, (u8, u16, u16)) = (550, (5, 7, 24));
const SPF_UNKNOWN: (u16, (u8, u16, u16)) = (451, (4, 4, 3));

impl Admission {
    /// The connector that takes mail of `sender` from `who`, going by the `answers` that are there.
    ///
    /// # Errors
    /// When the client is let in, but not with mail of this sender, or another connector keeps the sender's domain for
    /// itself, or its domain does not let the client send, or the way in does not come with the connector's plan.
    pub fn admit_mail<'a>(
        &'a self,
        who: &Who<'a>,
        sender: &ReversePath,
        answers: Answers,
    ) -> Result<Admitted<'a>, Denied> {
        self.may_use_domain(who, sender)?;
        let (mut not_in_plan, mut first_denied) = (None, None);
        for (by, (connector, senders)) in self.entries(who) {
            match fits(connector, senders, who, sender) {
                Ok(()) => match self.includes(connector, by.into()) {
                    Ok(()) => return Ok(Admitted::By(connector)),
                    Err(denied) => not_in_plan = not_in_plan.or(Some(denied)),
                },
                Err(denied) => first_denied = first_denied.or(Some(denied)),
            }
        }
        let Some((connector, senders)) = self.entry_by_spf(sender) else {
            // Who lacks no more than the plan is told so.
            let lacking = || {
                let mut by_spf = sender.address().into_iter().flat_map(|it| self.by_spf(it));
                by_spf.find_map(|(it, _)| self.includes(it, Feature::Spf).err())
            };
            let denied = not_in_plan.or(first_denied).or_else(lacking);
            return denied.map_or(Ok(Admitted::Nobody), Err);
        };
        fits(connector, senders, who, sender)?;
        match answers.spf {
            None => Ok(Admitted::Needs(Lookup::Spf)),
            Some(AuthResult::Pass) => Ok(Admitted::By(connector)),
            Some(result) => Err(not_by_spf(connector, who, sender, result)),
        }
    }

    /// The one connector that takes mail of `sender` if [`Lookup::Spf`] says so, and if nothing else lets its client in.
    pub fn by_lookup(&self, sender: &ReversePath) -> Option<&InboundConnector> {
        self.entry_by_spf(sender).map(|(connector, _)| connector)
    }

    fn entry_by_spf(&self, sender: &ReversePath) -> Option<Entry<'_>> {
        let mut by_spf = self.by_spf(sender.address()?);
        by_spf.find(|(it, _)| self.includes(it, Feature::Spf).is_ok())
    }

    /// The connectors that let clients in by SPF with mail of this sender.
    fn by_spf(&self, sender: &Address) -> impl Iterator<Item = Entry<'_>> {
        self.enabled().filter(move |(connector, senders)| {
            connector.auth == Some(InboundAuth::Spf) && senders.name(sender)
        })
    }

    /// The connector whose `registered_senders` hold a sender, and that would take its mail if it let clients in by SPF.
    pub fn registers(&self, sender: &ReversePath) -> Option<&InboundConnector> {
        let sender = sender.address()?;
        let mut enabled = self.enabled();
        let found = enabled.find(|(connector, senders)| {
            connector.auth.is_none()
                && !connector.registered_senders.is_empty()
                && senders.name(sender)
        });
        found.map(|(connector, _)| connector)
    }

    /// Whether a connector's mail is checked for SPF, DKIM, DMARC and ARC.
    pub fn checks_mail_auth(&self, connector: &str) -> bool {
        self.is_one(connector, |it| it.checks_mail_auth)
    }

    /// Whether fields that speak inside the organisation are removed from a connector's mail; without a connector, it is
    /// that of strangers, and they are.
    pub fn strips_internal_fields(&self, connector: &str) -> bool {
        if connector.is_empty() {
            return true;
        }
        self.is_one(connector, InboundConnector::strips_internal_fields)
    }

    /// Whether a connector's mail may name the outbound connector that it leaves by.
    pub fn names_connector(&self, connector: &str) -> bool {
        self.is_one(connector, |it| it.names_connector)
    }

    /// The outbound connector of the application whose threads a connector's mail may belong to.
    pub fn threads(&self, connector: &str) -> Option<&str> {
        self.enabled().find(|(it, _)| it.name == connector)?.0.threads.as_deref()
    }

    fn is_one(&self, connector: &str, has: impl Fn(&InboundConnector) -> bool) -> bool {
        self.entry(connector).is_some_and(|(it, _)| has(it))
    }

    /// Whether the sender's domain is kept by a connector for clients that this one is none of.
    fn may_use_domain(&self, who: &Who<'_>, sender: &ReversePath) -> Result<(), Denied> {
        let Some(address) = sender.address() else { return Ok(()) };
        let keeps = |connector: &InboundConnector| {
            connector.restrict_domains_to_ip_addresses || connector.restrict_domains_to_certificate
        };
        for (connector, senders) in self.enabled().filter(|(connector, _)| keeps(connector)) {
            let is_kept = holds(&senders.own, address);
            let by_address = is_kept && connector.restrict_domains_to_ip_addresses;
            let by_certificate = is_kept && connector.restrict_domains_to_certificate;
            let attribute = if by_address && !self.is_in_networks(connector, who) {
                "address"
            } else if by_certificate && !Self::is_holder(connector, who.certificate) {
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

/// Why a client is not let in by SPF.
fn not_by_spf(
    connector: &InboundConnector,
    who: &Who<'_>,
    sender: &ReversePath,
    result: AuthResult,
) -> Denied {
    let (client, word) = (who.address.to_canonical(), result.as_str());
    let domain = sender.address().and_then(Address::domain);
    let domain = domain.map_or_else(|| sender.to_string(), |it| it.as_str().to_owned());
    let (status, words) = match result {
        AuthResult::TempError => (
            SPF_UNKNOWN,
            format!("SPF {word} for {domain}: its record could not be looked up; try again later"),
        ),
        AuthResult::PermError => {
            (SPF_BROKEN, format!("SPF {word} for {domain}: its record cannot be used"))
        }
        _ => (SPF_FAILED, format!("SPF {word} for {domain}: its record does not name {client}")),
    };
    let reason =
        format!("connector {} lets in by SPF, which is {word} for {domain}", connector.name);
    Denied::new(status, words, reason)
}

#[cfg(test)]
mod tests {
    use mail::{Address, Domain};

    use super::*;
    use crate::certificate::Certificate;
    use crate::config::Plan;

    fn connector(name: &str, network: &str) -> InboundConnector {
        InboundConnector {
            name: name.to_owned(),
            sender_ip_addresses: vec![network.parse().unwrap()],
            ..InboundConnector::default()
        }
    }

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(ToString::to_string).collect()
    }

    fn who(address: std::net::IpAddr) -> Who<'static> {
        let now = mail::Timestamp::default();
        Who { address, certificate: Certificate::default(), login: None, is_tls: false, now }
    }

    #[track_caller]
    fn check(admission: &Admission, client: &str, sender: &str, want: &str) {
        // A client that is under TLS is written with a `+`.
        let (client, is_tls) = client.strip_prefix('+').map_or((client, false), |it| (it, true));
        let address = client.parse().unwrap();
        let who = Who { is_tls, ..who(address) };
        let path = match sender {
            "" => ReversePath::Null,
            sender => ReversePath::Address(Address::parse(sender).unwrap()),
        };
        let seen = match admission.admit_mail(&who, &path, Answers::default()) {
            Ok(Admitted::By(connector)) => connector.name.clone(),
            Ok(other) => format!("{other:?}").to_lowercase(),
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
            tls_sender_certificate_names: list(&["mail.cert.example"]),
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
        let certificate = Certificate { names: &names, issuer: &[] };
        let who = Who { certificate, is_tls: true, ..who("192.0.2.9".parse().unwrap()) };
        let sender = ReversePath::Address(Address::parse("a@cert.example").unwrap());
        let admitted = admission.admit_mail(&who, &sender, Answers::default()).unwrap();
        assert!(matches!(admitted, Admitted::By(connector) if connector.name == "cert"));
    }
    #[test]
    fn spf_lets_in_who_is_registered_and_let_in_by_nothing_else() {
        let by_spf = InboundConnector {
            auth: Some(InboundAuth::Spf),
            registered_senders: list(&["bob@b.example", "c.example"]),
            ..connector("spf", "203.0.113.9/32")
        };
        let plain = InboundConnector {
            registered_senders: list(&["carol@c.example", "d.example"]),
            ..connector("plain", "192.0.2.0/24")
        };
        let admission = Admission::new(vec![plain, by_spf]);
        let ask = |client: &str, sender: &str, spf| {
            let address = client.parse().unwrap();
            let who = who(address);
            let sender = match sender {
                "" => ReversePath::Null,
                sender => ReversePath::Address(Address::parse(sender).unwrap()),
            };
            match admission.admit_mail(&who, &sender, Answers { spf }) {
                Ok(Admitted::By(connector)) => connector.name.clone(),
                Ok(other) => format!("{other:?}"),
                Err(denied) => denied.reply().to_string(),
            }
        };
        let pass = Some(AuthResult::Pass);
        assert_eq!(ask("198.51.100.1", "bob@b.example", None), "Needs(Spf)");
        assert_eq!(ask("198.51.100.1", "bob@b.example", pass), "spf");
        assert_eq!(ask("198.51.100.1", "eve@b.example", pass), "Nobody");
        assert_eq!(ask("198.51.100.1", "", pass), "Nobody");
        // What lets in without a look-up is not worth one; what does not take the sender is.
        assert_eq!(ask("192.0.2.1", "carol@c.example", None), "plain");
        assert_eq!(ask("192.0.2.1", "bob@b.example", None), "Needs(Spf)");
        assert_eq!(ask("203.0.113.9", "bob@b.example", None), "spf");
        for (result, want) in [
            (AuthResult::Fail, "550 5.7.23 SPF fail for b.example"),
            (AuthResult::SoftFail, "550 5.7.23 SPF softfail for b.example"),
            (AuthResult::Neutral, "550 5.7.23 SPF neutral for b.example"),
            (AuthResult::None, "550 5.7.23 SPF none for b.example"),
            (AuthResult::PermError, "550 5.7.24 SPF permerror for b.example"),
            (AuthResult::TempError, "451 4.4.3 SPF temperror for b.example"),
        ] {
            let seen = ask("198.51.100.1", "bob@b.example", Some(result));
            assert!(seen.starts_with(want), "{seen}");
        }
        let sender = |text| ReversePath::Address(Address::parse(text).unwrap());
        assert_eq!(admission.registers(&sender("a@d.example")).unwrap().name, "plain");
        assert_eq!(admission.registers(&sender("bob@b.example")), None);
        assert_eq!(admission.registers(&ReversePath::Null), None);
    }

    proptest::proptest! {
        /// However early an answer is there, the verdict is the same: it never depends on the order of look-ups.
        #[test]
        fn a_verdict_does_not_depend_on_the_order_of_look_ups(
            spf in 0..7_usize,
            shapes in proptest::collection::vec(
                (0..3_usize, 0..3_usize, proptest::bool::ANY, proptest::bool::ANY, 0..4_usize), 0..5),
            client in 0..3_usize,
            sender in 0..3_usize,
        ) {
            const RESULTS: [AuthResult; 7] = [
                AuthResult::None, AuthResult::Pass, AuthResult::Fail, AuthResult::SoftFail,
                AuthResult::Neutral, AuthResult::TempError, AuthResult::PermError,
            ];
            let networks = ["192.0.2.0/24", "198.51.100.0/24", "0.0.0.0/0"];
            let clients = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
            let senders = ["a@a.example", "b@b.example", "c@c.example"];
            let names = [None, Some("network"), Some("spf"), Some("none")];
            let connectors = shapes.iter().enumerate().map(|(place, (network, from, spf, tls, plan))| {
                InboundConnector {
                    auth: spf.then_some(InboundAuth::Spf),
                    require_tls: *tls,
                    registered_senders: list(&[senders[*from]]),
                    plan: names[*plan].map(str::to_owned),
                    ..connector(&place.to_string(), networks[*network])
                }
            });
            let plan = |name: &str, includes: &[Feature]| Plan {
                name: name.to_owned(),
                includes: includes.to_vec(),
                ..Plan::default()
            };
            let plans = vec![
                plan("network", &[Feature::Network]),
                plan("spf", &[Feature::Spf]),
                plan("none", &[]),
            ];
            let admission = Admission::new(connectors.collect()).with_plans(plans);
            let who = who(clients[client].parse().unwrap());
            let sender = ReversePath::Address(Address::parse(senders[sender]).unwrap());
            let known = Answers { spf: Some(RESULTS[spf]) };
            let eager = admission.admit_mail(&who, &sender, known);
            let lazy = match admission.admit_mail(&who, &sender, Answers::default()) {
                Ok(Admitted::Needs(Lookup::Spf)) => admission.admit_mail(&who, &sender, known),
                answer => answer,
            };
            proptest::prop_assert_eq!(eager, lazy);
        }
    }
}
