//! Which inbound connector a refused client was nearest to: what changed is most often one address or one name.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::InboundConnector;

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
    /// Its address.
    Network,
    /// That the connector is enabled: all else matches.
    Enabled,
}

/// Labels that two names must end in alike to be near.
const LABELS_MIN: usize = 2;
/// Leading bits that an address must have in common with a network.
const V4_BITS_MIN: u32 = 16;
const V6_BITS_MIN: u32 = 32;

/// The nearest connector by name, else by address.
pub(crate) fn nearest<'a>(
    connectors: &'a [InboundConnector],
    client: IpAddr,
    names: &[Box<str>],
) -> Option<Nearest<'a>> {
    let by_name = connectors.iter().filter_map(|connector| {
        let pairs = connector
            .certificate_names
            .iter()
            .flat_map(|pattern| names.iter().map(move |name| labels_alike(pattern, name)));
        pairs.filter(|labels| *labels >= LABELS_MIN).max().map(|labels| (labels, connector))
    });
    let found = by_name.max_by_key(|(labels, _)| *labels);
    if let Some((_, connector)) = found {
        return Some(of(connector, Missed::CertificateName));
    }
    let by_address = connectors.iter().filter_map(|connector| {
        let bits = connector.networks.iter().filter_map(|network| bits_alike(*network, client));
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

    #[test]
    fn one_changed_name_or_address_finds_its_connector() {
        let connector = |name: &str, enabled, networks: &[&str], names: &[&str]| InboundConnector {
            name: name.to_owned(),
            enabled,
            networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
            certificate_names: names.iter().map(ToString::to_string).collect(),
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
            let got = nearest(&connectors, client.parse().unwrap(), &names);
            assert_eq!(got.map(|it| (it.connector, it.missed)), want, "{client} {names:?}");
        }
    }
}
