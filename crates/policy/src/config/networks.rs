//! Networks as an operator writes them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// Reads networks; an address alone means just that one.
pub fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| network(text).ok_or_else(|| wrong(text))).collect()
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn wrong<E: serde::de::Error>(text: &str) -> E {
    E::custom(format_args!(
        "`{text}` is not a network: write an address or an address and a prefix length, such as \"192.0.2.0/24\""
    ))
}
