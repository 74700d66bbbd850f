//! Networks as an operator writes them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// Reads networks; an address alone means just that one. One with bits beyond its prefix length is refused: whoever wrote
/// it may have meant the network or the address.
pub fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| network(text).map_err(serde::de::Error::custom)).collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let Some(network) = text.parse().ok().or_else(address) else {
        return Err(format!(
            "`{text}` is not a network: write an address or an address and a prefix length, such as \"192.0.2.0/24\""
        ));
    };
    if network == network.trunc() {
        return Ok(network);
    }
    let (whole, one) = (network.trunc(), network.addr());
    Err(format!(
        "`{text}` is an address within a network: did you mean \"{whole}\", or just \"{one}\"?"
    ))
}
