//! Networks as an operator writes them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use mail::Timestamp;
use serde::de::Error as _;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Reads networks; an address alone means just that one. One with bits beyond its prefix length is refused: whoever wrote
/// it may have meant the network or the address.
pub fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| network(text).map_err(D::Error::custom)).collect()
}

/// A network whose clients may relay, perhaps only until a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNetwork {
    /// The network.
    pub network: IpNet,
    /// When it counts for the last time; none if it counts for ever.
    pub expires: Option<Expiry>,
}

impl ClientNetwork {
    /// Whether it has expired by `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expiry| expiry.is_over(now))
    }
}

impl From<IpNet> for ClientNetwork {
    fn from(network: IpNet) -> Self {
        Self { network, expires: None }
    }
}

impl FromStr for ClientNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        network(text).map(Self::from)
    }
}

impl Serialize for ClientNetwork {
    /// As text, or as a table if it expires.
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Some(expires) = self.expires else { return self.network.serialize(out) };
        Written { network: self.network.to_string(), expires: Some(expires) }.serialize(out)
    }
}

impl<'de> Deserialize<'de> for ClientNetwork {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextOrTable)
    }
}

/// The table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    network: String,
    expires: Option<Expiry>,
}

struct TextOrTable;

impl<'de> serde::de::Visitor<'de> for TextOrTable {
    type Value = ClientNetwork;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(
            "a network in quotes, such as \"192.0.2.0/24\", or { network = \"192.0.2.0/24\", expires = \"2027-01-31\" }",
        )
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ClientNetwork, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<ClientNetwork, A::Error> {
        let Written { network, expires } = Written::deserialize(MapAccessDeserializer::new(map))?;
        let network: ClientNetwork = network.parse().map_err(A::Error::custom)?;
        Ok(ClientNetwork { expires, ..network })
    }
}

/// The end of a permission: that of a day such as `2027-01-31` in UTC, or a moment such as `2027-01-31T18:00:00+01:00`
/// (RFC 3339 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(Timestamp);

impl Expiry {
    /// Reads a day or a moment; none for other texts.
    pub fn parse(text: &str) -> Option<Self> {
        let day = || Timestamp::from_rfc3339(&format!("{text}T00:00:00Z"));
        let end = || day().map(|begin| Timestamp::of_day(begin.day().saturating_add(1)));
        Timestamp::from_rfc3339(text).or_else(end).map(Self)
    }

    /// Whether it has passed by `now`.
    pub fn is_over(self, now: Timestamp) -> bool {
        self.0 <= now
    }

    /// The first moment after it.
    pub const fn at(self) -> Timestamp {
        self.0
    }
}

impl fmt::Display for Expiry {
    /// As it may be written: the end of a day as that day.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = self.0.day();
        match next.checked_sub(1) {
            Some(last) if Timestamp::of_day(next) == self.0 => {
                let text = Timestamp::of_day(last).rfc3339();
                out.write_str(text.split('T').next().unwrap_or_default())
            }
            _ => out.write_str(&self.0.rfc3339()),
        }
    }
}

impl Serialize for Expiry {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format_args!(
                "`{text}` is no time: write a day such as \"2027-01-31\", which counts to its end in UTC, or \"2027-01-31T18:00:00Z\""
            ))
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_may_expire_and_is_written_as_it_was_read() {
        let read = |text: &str| {
            serde_json::from_str::<ClientNetwork>(text).map_err(|error| error.to_string())
        };
        for (text, until) in [
            (r#""192.0.2.0/24""#, None),
            (r#"{"network":"::1/128","expires":"2027-01-31"}"#, Some("2027-02-01T00:00:00Z")),
            (
                r#"{"network":"192.0.2.7/32","expires":"2027-01-31T17:00:00Z"}"#,
                Some("2027-01-31T17:00:00Z"),
            ),
        ] {
            let network = read(text).unwrap();
            let at = network.expires.map(Expiry::at);
            assert_eq!(at.map(Timestamp::rfc3339).as_deref(), until, "{text}");
            assert_eq!(serde_json::to_string(&network).unwrap(), text);
            let Some(at) = at else { continue };
            assert!(network.is_over(at));
            assert!(!network.is_over(Timestamp::from_millis(at.as_millis() - 1)));
        }
        assert_eq!(read(r#"{"network":"192.0.2.7"}"#), read("\"192.0.2.7\""));
        for (text, want) in [
            (r#"{"network":"192.0.2.1/24"}"#, "did you mean"),
            (r#"{"network":"::1","expires":"tomorrow"}"#, "`tomorrow` is no time"),
            (r#"{"network":"::1","expiry":"2027-01-31"}"#, "unknown field `expiry`"),
            (r#"{"expires":"2027-01-31"}"#, "missing field `network`"),
            ("5", "expected a network in quotes"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(want), "{text}: {said}");
        }
    }
}
