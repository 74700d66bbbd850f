//! Which inbound connector a refused client was nearest to: what changed is most often one address or one name.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::{Expiry, InboundConnector};
use crate::sender::Who;

/// The connector that a client just missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest<'a> {
    /// Its name.
    pub connector: &'a str,
    /// What did not match.
    pub missed: Missed,
}

/// What of a client a connector looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// The names of its certificate.
    CertificateName,
    /// Who issued its certificate, which has the right name.
    CertificateIssuer,
    /// Its address.
    Network,
    /// That its network had not expired, which it did then.
    Expired(Expiry),
    /// That the connector is enabled: all else matches.
    Enabled,
}

impl fmt::Display for Missed {
    /// What the connector would have taken.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificateName => out.write_str("another certificate name"),
            Self::CertificateIssuer => {
                out.write_str("a certificate of that name from another issuer")
            }
            Self::Network => out.write_str("another address"),
            Self::Expired(at) => write!(out, "this address until {at}, when that expired"),
            Self::Enabled => out.write_str("that connector enabled"),
        }
    }
}

/// Labels that two names must end in alike to be near.
const LABELS_MIN: usize = 2;
/// Leading bits that an address must have in common with a network.
const V4_BITS_MIN: u32 = 16;
const V6_BITS_MIN: u32 = 32;

/// The connector that would still let the client in, had its network not expired; else the nearest by name, else by
/// address.
pub(crate) fn nearest<'a>(
    connectors: &'a [InboundConnector],
    who: &Who<'_>,
) -> Option<Nearest<'a>> {
    let client = who.address.to_canonical();
    let expired = connectors.iter().filter(|it| it.enabled).flat_map(|connector| {
        let over = connector.sender_ip_addresses.iter().filter(|it| it.is_over(who.now));
        let held = over.filter(|it| it.network.contains(&client));
        held.filter_map(move |it| Some((it.expires?, connector)))
    });
    if let Some((at, connector)) = expired.max_by_key(|(at, _)| *at) {
        return Some(of(connector, Missed::Expired(at)));
    }
    let of_another = connectors.iter().filter(|it| it.enabled).find(|connector| {
        who.certificate.has_name(&connector.tls_sender_certificate_names)
            && !who.certificate.is_issued_by(&connector.tls_sender_certificate_issuers)
    });
    if let Some(connector) = of_another {
        return Some(of(connector, Missed::CertificateIssuer));
    }
    let by_name = connectors.iter().filter_map(|connector| {
        let pairs = connector.tls_sender_certificate_names.iter().flat_map(|pattern| {
            who.certificate.names.iter().map(move |name| labels_alike(pattern, name))
        });
        pairs.filter(|labels| *labels >= LABELS_MIN).max().map(|labels| (labels, connector))
    });
    let found = by_name.max_by_key(|(labels, _)| *labels);
    if let Some((_, connector)) = found {
        return Some(of(connector, Missed::CertificateName));
    }
    let by_address = connectors.iter().filter_map(|connector| {
        let bits =
            connector.sender_ip_addresses.iter().filter_map(|it| bits_alike(it.network, client));
        bits.max().map(|bits| (bits, connector))
    });
    let (_, connector) = by_address.max_by_key(|(bits, _)| *bits)?;
    Some(of(connector, Missed::Network))
}

fn of(connector: &InboundConnector, missed: Missed) -> Nearest<'_> {
    let missed = if connector.enabled { missed } else { Missed::Enabled };
    Nearest { connector: &connector.name, missed }
}

fn labels_alike(pattern: &str, name: &str) -> usize {
    let pairs = pattern.rsplit('.').zip(name.rsplit('.'));
    pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
}

fn bits_alike(network: IpNet, client: IpAddr) -> Option<u32> {
    let (bits, least) = match (network.network(), client) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            ((a.to_bits() ^ b.to_bits()).leading_zeros(), V4_BITS_MIN)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            ((a.to_bits() ^ b.to_bits()).leading_zeros(), V6_BITS_MIN)
        }
        _ => return None,
    };
    (bits >= least).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;
    use crate::config::ClientNetwork;

    fn who<'a>(client: &str, names: &'a [Box<str>]) -> Who<'a> {
        let address = client.parse().unwrap();
        let now = mail::Timestamp::from_rfc3339("2027-02-01T00:00:00Z").unwrap();
        let certificate = Certificate { names, issuer: &[] };
        Who { address, certificate, login: None, is_tls: false, now }
    }

    /// What has expired is nearer than what is only like it.
    #[test]
    fn oc_17_a_network_that_has_expired_is_named_with_its_end() {
        let until = |network: &str, expires: &str| ClientNetwork {
            expires: Expiry::parse(expires),
            ..network.parse().unwrap()
        };
        let connector = |name: &str, networks| InboundConnector {
            name: name.to_owned(),
            sender_ip_addresses: networks,
            tls_sender_certificate_names: vec![format!("mail.{name}.example")],
            ..InboundConnector::default()
        };
        let connectors = [
            connector("near", vec!["192.0.2.0/26".parse().unwrap()]),
            connector("old", vec![until("192.0.2.0/24", "2026-12-31")]),
            connector("older", vec![until("192.0.2.128/25", "2026-11-30")]),
            connector("good", vec![until("203.0.113.0/24", "2027-02-01")]),
        ];
        let names = [Box::from("mx.near.example")];
        let got = nearest(&connectors, &who("192.0.2.200", &names)).unwrap();
        assert_eq!(
            (got.connector, got.missed.to_string().as_str()),
            ("old", "this address until 2026-12-31, when that expired")
        );
        let admission = crate::Admission::new(connectors.to_vec());
        let admits = |client: &str, now: &str| {
            let now = mail::Timestamp::from_rfc3339(now).unwrap();
            admission.admit(client.parse().unwrap(), now).map(|it| it.name.as_str())
        };
        assert_eq!(admits("192.0.2.200", "2026-11-30T23:59:59.999Z"), Some("older"));
        assert_eq!(admits("192.0.2.200", "2026-12-31T23:59:59.999Z"), Some("old"));
        assert_eq!(admits("192.0.2.200", "2027-01-01T00:00:00Z"), None);
        assert_eq!(admits("203.0.113.1", "2027-02-01T00:00:00Z"), Some("good"));
    }

    #[test]
    fn oc_17_a_certificate_of_another_issuer_is_named_so() {
        let connector = InboundConnector {
            name: "partner".to_owned(),
            tls_sender_certificate_names: vec!["*.partner.example".to_owned()],
            tls_sender_certificate_issuers: vec!["New CA".to_owned()],
            ..InboundConnector::default()
        };
        let names = [Box::from("mail.partner.example")];
        let who = who("198.51.100.7", &names);
        let admission = crate::Admission::new(vec![connector]);
        assert_eq!(admission.ways(&who).count(), 0);
        let got = admission.nearest(&who).unwrap();
        assert_eq!((got.connector, got.missed), ("partner", Missed::CertificateIssuer));
        let issuer = crate::issuer_attributes("O=Partner, CN=new ca");
        let certificate = Certificate { issuer: &issuer, ..who.certificate };
        assert_eq!(admission.ways(&Who { certificate, ..who }).count(), 1);
    }

    #[test]
    fn one_changed_name_or_address_finds_its_connector() {
        let connector = |name: &str, enabled, networks: &[&str], names: &[&str]| InboundConnector {
            name: name.to_owned(),
            enabled,
            sender_ip_addresses: networks.iter().map(|text| text.parse().unwrap()).collect(),
            tls_sender_certificate_names: names.iter().map(ToString::to_string).collect(),
            ..InboundConnector::default()
        };
        let connectors = [
            connector("office", true, &["192.0.2.0/28", "2001:db8:1::/48"], &[]),
            connector("partner", true, &["198.51.100.7/32"], &["mail.partner.example"]),
            connector("old", false, &["203.0.113.0/24"], &[]),
        ];
        for (client, names, want) in [
            ("192.0.2.77", &[][..], Some(("office", Missed::Network))),
            ("2001:db8:2::1", &[], Some(("office", Missed::Network))),
            ("198.51.100.8", &[], Some(("partner", Missed::Network))),
            ("203.0.113.5", &[], Some(("old", Missed::Enabled))),
            ("192.0.2.77", &["mx2.partner.example"], Some(("partner", Missed::CertificateName))),
            ("10.0.0.1", &["mail.other.example"], None),
            ("10.0.0.1", &[], None),
        ] {
            let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
            let got = nearest(&connectors, &who(client, &names));
            assert_eq!(got.map(|it| (it.connector, it.missed)), want, "{client} {names:?}");
        }
    }
}
