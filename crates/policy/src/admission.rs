//! Which inbound connector lets a client in, by its login, its certificate or its address.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use mail::{Address, Domain, Timestamp};

use crate::certificate::{Certificate, is_below};
use crate::config::{ClientNetwork, Feature, InboundConnector, Plan};
use crate::nearest::{Nearest, nearest};
use crate::sender::{Senders, Who};
use crate::suffix::{Suffix, SuffixError};

/// By what of a client a connector lets it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The account that it has logged in to.
    Login,
    /// A name in its certificate.
    CertificateName,
    /// Its address.
    Network,
}

/// A connector with what it asks of senders.
pub(crate) type Entry<'a> = (&'a InboundConnector, &'a Senders);

/// The networks, the holders of certificates and the accounts that may relay.
#[derive(Clone, Debug)]
pub struct Admission {
    connectors: Vec<InboundConnector>,
    /// The places of the enabled ones, by their names.
    by_name: HashMap<Box<str>, usize>,
    /// Each network with the place of its connector, most specific first; ties keep the order of the settings.
    networks: Vec<(ClientNetwork, usize)>,
    /// What each connector asks of senders.
    senders: Vec<Senders>,
    /// The connectors with a suffix for certified mail, by their names.
    suffixes: Vec<(Box<str>, Suffix)>,
    /// The places of the enabled connectors that have limits.
    limited: Vec<usize>,
    /// What comes with the plans that connectors name.
    pub(crate) plans: Vec<Plan>,
}

impl Admission {
    /// Makes the table; disabled connectors let nobody in.
    pub fn new(connectors: Vec<InboundConnector>) -> Self {
        let enabled = connectors.iter().enumerate().filter(|(_, connector)| connector.enabled);
        let mut by_name = HashMap::new();
        for (place, connector) in enabled.clone() {
            by_name.entry(connector.name.as_str().into()).or_insert(place);
        }
        let limited =
            enabled.clone().filter(|(_, it)| it.has_limits()).map(|(place, _)| place).collect();
        let mut networks: Vec<_> = enabled
            .flat_map(|(place, connector)| {
                connector
                    .sender_ip_addresses
                    .iter()
                    .map(move |it| (ClientNetwork { network: canonical(it.network), ..*it }, place))
            })
            .collect();
        networks.sort_by_key(|(it, _)| std::cmp::Reverse(it.network.prefix_len()));
        let senders = connectors.iter().map(|it| Senders::of(it, &[])).collect();
        let suffixes = connectors.iter().filter_map(|it| {
            let suffix = it.certified_suffix.as_deref().and_then(Suffix::parse)?;
            Some((it.name.as_str().into(), suffix))
        });
        let suffixes = suffixes.collect();
        Self { connectors, by_name, networks, senders, suffixes, limited, plans: Vec::new() }
    }

    /// The same knowing the domains that `*` in `sender_domains` stands for.
    #[must_use]
    pub fn with_verified(self, domains: &[Domain]) -> Self {
        let senders = self.connectors.iter().map(|it| Senders::of(it, domains)).collect();
        Self { senders, ..self }
    }

    /// The enabled connectors with what they ask of senders.
    pub(crate) fn enabled(&self) -> impl Iterator<Item = Entry<'_>> {
        self.connectors.iter().zip(&self.senders).filter(|(connector, _)| connector.enabled)
    }

    /// An enabled connector by its name.
    pub(crate) fn entry(&self, name: &str) -> Option<Entry<'_>> {
        let place = *self.by_name.get(name)?;
        self.connectors.get(place).zip(self.senders.get(place))
    }

    /// Whether there is an enabled connector of this name.
    pub fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// The enabled connectors that have limits.
    pub fn limited(&self) -> impl Iterator<Item = &InboundConnector> {
        self.limited.iter().filter_map(|place| self.connectors.get(*place))
    }

    /// The enabled connectors that let a client in, in the order in which they are asked: by its login, then by its
    /// certificate, then by its address. One that lets it in by several attributes comes several times.
    pub fn ways<'a>(
        &'a self,
        who: &Who<'a>,
    ) -> impl Iterator<Item = (Attribute, &'a InboundConnector)> + use<'a> {
        self.entries(who).map(|(by, (connector, _))| (by, connector))
    }

    /// Those whose plans the ways come with: the others let nobody in.
    pub fn open_ways<'a>(
        &'a self,
        who: &Who<'a>,
    ) -> impl Iterator<Item = (Attribute, &'a InboundConnector)> + use<'a> {
        self.ways(who).filter(|(by, connector)| self.includes(connector, (*by).into()).is_ok())
    }

    /// As [`Self::ways`], with what they ask of senders.
    pub(crate) fn entries<'a>(
        &'a self,
        who: &Who<'a>,
    ) -> impl Iterator<Item = (Attribute, Entry<'a>)> + use<'a> {
        let by_login = who.login.into_iter().flat_map(|account| self.by_login(account));
        let by_login = by_login.map(|entry| (Attribute::Login, entry));
        let by_name = self.by_certificate(who.certificate);
        let by_name = by_name.map(|entry| (Attribute::CertificateName, entry));
        let by_address =
            self.by_address(who.address, who.now).map(|entry| (Attribute::Network, entry));
        by_login.chain(by_name).chain(by_address)
    }

    /// Those that let whoever has logged in to `account` relay: a name goes before `*@` and a domain, that before `*`.
    fn by_login<'a>(&'a self, account: &'a str) -> impl Iterator<Item = Entry<'a>> {
        let fits: [fn(&str, &str) -> bool; 3] =
            [|login, account| login == account, is_of_domain, |login, _| login == "*"];
        fits.into_iter().flat_map(move |fits| {
            self.enabled().filter(move |(it, _)| it.logins.iter().any(|login| fits(login, account)))
        })
    }

    /// Those that let the holder of a certificate relay: an exact name goes before a pattern.
    fn by_certificate<'a>(
        &'a self,
        certificate: Certificate<'a>,
    ) -> impl Iterator<Item = Entry<'a>> {
        let fits: [fn(&str, &str) -> bool; 2] = [str::eq_ignore_ascii_case, is_below];
        let fits = fits.into_iter().filter(move |_| !certificate.names.is_empty());
        fits.flat_map(move |fits| {
            let holds =
                move |pattern: &String| certificate.names.iter().any(|name| fits(pattern, name));
            self.enabled().filter(move |(it, _)| {
                it.tls_sender_certificate_names.iter().any(holds)
                    && certificate.is_issued_by(&it.tls_sender_certificate_issuers)
            })
        })
    }

    /// Those that let a client of this address relay, the most specific network first.
    fn by_address(&self, client: IpAddr, now: Timestamp) -> impl Iterator<Item = Entry<'_>> {
        let client = client.to_canonical();
        let holding = self
            .networks
            .iter()
            .filter(move |(it, _)| it.network.contains(&client) && !it.is_over(now));
        holding.filter_map(|(_, place)| self.connectors.get(*place).zip(self.senders.get(*place)))
    }

    /// The recipient that an address stands for in mail that comes by `connector`, which is certified by that; none if it
    /// stands for itself.
    ///
    /// # Errors
    /// When it ends with the connector's suffix and stands for nobody, or certified mail does not come with the connector's
    /// plan; refuse it with [`SuffixError::reply`].
    pub fn certified(
        &self,
        connector: &str,
        address: &Address,
    ) -> Result<Option<Address>, SuffixError> {
        let suffix = self.suffixes.iter().find(|(name, _)| **name == *connector);
        let recipient = suffix.map_or(Ok(None), |(_, suffix)| suffix.recipient(address))?;
        if recipient.is_some()
            && let Err(denied) = self.includes_by_name(connector, Feature::Certify)
        {
            let (text, reason) = (denied.reply().text().into(), denied.reason().into());
            return Err(SuffixError::NotInPlan { text, reason });
        }
        Ok(recipient)
    }

    /// Whether a connector's networks hold the client's address.
    pub(crate) fn is_in_networks(&self, connector: &InboundConnector, who: &Who<'_>) -> bool {
        let holding = self.by_address(who.address, who.now);
        holding.map(|(it, _)| it).any(|it| std::ptr::eq(it, connector))
    }

    /// Whether the certificate is one of a connector's.
    pub(crate) fn is_holder(connector: &InboundConnector, certificate: Certificate<'_>) -> bool {
        certificate.has_name(&connector.tls_sender_certificate_names)
            && certificate.is_issued_by(&connector.tls_sender_certificate_issuers)
    }

    /// The connector that lets `client` relay at `now`; none if it may not, or that does not come with its plan.
    ///
    /// An IPv4 address that a dual-stack socket shows as `::ffff:192.0.2.1` counts as IPv4.
    pub fn admit(&self, client: IpAddr, now: Timestamp) -> Option<&InboundConnector> {
        let mut connectors = self.by_address(client, now).map(|(connector, _)| connector);
        connectors.find(|connector| self.includes(connector, Feature::Network).is_ok())
    }

    /// The connector that lets the holder of a certificate relay; none if it may not, or that does not come with its plan.
    ///
    /// The caller has seen to it that the certificate is trusted.
    pub fn admit_holder<'a>(
        &'a self,
        certificate: Certificate<'a>,
    ) -> Option<&'a InboundConnector> {
        let mut connectors = self.by_certificate(certificate).map(|(connector, _)| connector);
        connectors.find(|connector| self.includes(connector, Feature::Certificate).is_ok())
    }

    /// The connector that lets whoever has logged in to `account` relay; none if the login does not let in.
    pub fn admit_login<'a>(&'a self, account: &'a str) -> Option<&'a InboundConnector> {
        Some(self.by_login(account).next()?.0)
    }

    /// For a client that is let in by nothing: the connector that it was nearest to, if any is near.
    pub fn nearest(&self, who: &Who<'_>) -> Option<Nearest<'_>> {
        nearest(&self.connectors, who)
    }
}

/// Whether `pattern` is `*@` and the domain of `account`.
fn is_of_domain(pattern: &str, account: &str) -> bool {
    let domains = pattern.strip_prefix("*@").zip(account.rsplit_once('@'));
    domains.is_some_and(|(domain, (_, own))| domain.eq_ignore_ascii_case(own))
}

/// Turns a network of IPv4-mapped addresses into the IPv4 network it means.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED_BITS));
    mapped.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        let connector = |name: &str, enabled, networks: &[&str]| InboundConnector {
            name: name.to_owned(),
            enabled,
            sender_ip_addresses: networks.iter().map(|text| text.parse().unwrap()).collect(),
            ..InboundConnector::default()
        };
        Admission::new(vec![
            connector("wide", true, &["10.0.0.0/8", "2001:db8::/32"]),
            connector("off", false, &["0.0.0.0/0", "::/0"]),
            connector("narrow", true, &["10.1.0.0/16", "10.0.0.0/8"]),
            connector("mapped", true, &["::ffff:192.0.2.0/120"]),
        ])
    }

    #[test]
    fn the_most_specific_network_wins() {
        let admission = admission();
        for (client, want) in [
            ("10.2.3.4", Some("wide")),
            ("10.1.3.4", Some("narrow")),
            ("::ffff:10.1.3.4", Some("narrow")),
            ("192.0.2.9", Some("mapped")),
            ("2001:db8::1", Some("wide")),
            ("192.0.3.1", None),
            ("2001:db9::1", None),
            ("127.0.0.1", None),
        ] {
            let got = admission.admit(client.parse().unwrap(), Timestamp::default());
            assert_eq!(got.map(|connector| connector.name.as_str()), want, "{client}");
        }
    }

    #[test]
    fn a_holder_is_let_in_by_name_or_by_one_label() {
        let connector = |name: &str, enabled, names: &[&str]| InboundConnector {
            name: name.to_owned(),
            enabled,
            tls_sender_certificate_names: names.iter().map(ToString::to_string).collect(),
            ..InboundConnector::default()
        };
        let admission = Admission::new(vec![
            connector("below", true, &["*.example.com"]),
            connector("off", false, &["off.example.org"]),
            connector("exact", true, &["Mail.example.com", "example.net"]),
        ]);
        for (names, want) in [
            (&["mail.example.com"][..], Some("exact")),
            (&["a.example.com"], Some("below")),
            (&["A.EXAMPLE.COM"], Some("below")),
            (&["other.test", "a.example.com"], Some("below")),
            (&["*.example.com"], Some("below")),
            (&["a.b.example.com"], None),
            (&["example.com"], None),
            (&[".example.com"], None),
            (&["off.example.org"], None),
            (&["a.example.net"], None),
            (&[], None),
        ] {
            let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
            let got = admission.admit_holder(Certificate { names: &names, issuer: &[] });
            assert_eq!(got.map(|connector| connector.name.as_str()), want, "{names:?}");
        }
    }

    #[test]
    fn a_login_lets_in_where_it_is_named() {
        let connector = |name: &str, enabled, logins: &[&str]| InboundConnector {
            name: name.to_owned(),
            enabled,
            logins: logins.iter().map(ToString::to_string).collect(),
            ..InboundConnector::default()
        };
        let domain = connector("domain", true, &["*@example.com"]);
        let alice = connector("alice", true, &["carol", "alice@example.com", "*x"]);
        let off = connector("off", false, &["*", "off"]);
        let any = connector("any", true, &["*"]);
        let some = Admission::new(vec![off.clone(), domain.clone(), alice.clone()]);
        let all = Admission::new(vec![any, off, domain, alice]);
        for (login, want) in [
            ("alice@example.com", Some("alice")),
            ("carol", Some("alice")),
            ("bob@EXAMPLE.com", Some("domain")),
            ("Alice@example.com", Some("domain")),
            ("a@b@example.com", Some("domain")),
            ("bob@sub.example.com", None),
            ("bob@evilexample.com", None),
            ("*@example.net", None),
            ("carol2", None),
            ("off", None),
            ("x", None),
            ("", None),
        ] {
            let name = |connector: Option<&InboundConnector>| connector.map(|it| it.name.clone());
            assert_eq!(name(some.admit_login(login)).as_deref(), want, "{login}");
            assert_eq!(name(all.admit_login(login)).as_deref(), want.or(Some("any")), "{login}");
        }
    }

    #[test]
    fn nothing_is_open_by_default() {
        let admission = Admission::new(vec![InboundConnector::default()]);
        assert_eq!(admission.admit("127.0.0.1".parse().unwrap(), Timestamp::default()), None);
    }
}
