//! XCLIENT, by which a proxy says whose session it passes on (an extension of Postfix).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::xtext;

/// What a proxy says of its client; what it leaves out stays as it was.
///
/// A text is empty where the proxy says that there is none or that it does not know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xclient {
    /// `ADDR`; unspecified (`0.0.0.0`) where the proxy does not know it.
    pub address: Option<IpAddr>,
    /// `PORT`; 0 where the proxy does not know it.
    pub port: Option<u16>,
    /// `NAME`: that of the address.
    pub name: Option<Box<str>>,
    /// `HELO`: what the client called itself.
    pub helo: Option<Box<str>>,
    /// `LOGIN`: as whom it has logged in.
    pub login: Option<Box<str>>,
    /// `PROTO`: whether it is `ESMTP` rather than `SMTP`.
    pub is_esmtp: Option<bool>,
    /// `DESTADDR` and `DESTPORT`: where the client had connected to.
    pub destination: (Option<IpAddr>, Option<u16>),
}

/// What EHLO says of it.
pub const XCLIENT_OFFER: &str = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";

const TEXT_OCTETS_MAX: usize = 255;

impl Xclient {
    /// Reads what follows the verb; none if an attribute is unknown, malformed or given twice.
    pub fn parse(argument: &str) -> Option<Self> {
        let mut all = Self::default();
        for word in argument.split(' ').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=')?;
            let value = xtext::decode(value)?;
            let is_known = !["[UNAVAILABLE]", "[TEMPUNAVAIL]"]
                .iter()
                .any(|none| value.eq_ignore_ascii_case(none));
            let value = is_known.then_some(&*value);
            let name = name.to_ascii_uppercase();
            match name.as_str() {
                "ADDR" => set(&mut all.address, value.map_or(UNKNOWN, address)?)?,
                "DESTADDR" => set(&mut all.destination.0, value.map_or(UNKNOWN, address)?)?,
                "PORT" => set(&mut all.port, value.map_or(Some(0), port)?)?,
                "DESTPORT" => set(&mut all.destination.1, value.map_or(Some(0), port)?)?,
                "NAME" => set(&mut all.name, text(value)?)?,
                "HELO" => set(&mut all.helo, text(value)?)?,
                "LOGIN" => set(&mut all.login, text(value)?)?,
                "PROTO" => set(&mut all.is_esmtp, protocol(value)?)?,
                _ => return None,
            }
        }
        Some(all)
    }
}

const UNKNOWN: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

fn set<T>(place: &mut Option<T>, value: T) -> Option<()> {
    if place.is_some() {
        return None;
    }
    *place = Some(value);
    Some(())
}

fn address(text: &str) -> Option<IpAddr> {
    const V6: &str = "IPV6:";
    match text.split_at_checked(V6.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(V6) => {
            rest.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => text.parse().ok(),
    }
}

fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|octet| octet.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn text(value: Option<&str>) -> Option<Box<str>> {
    let value = value.unwrap_or_default();
    let is_plain = value.bytes().all(|octet| octet.is_ascii_graphic());
    (is_plain && value.len() <= TEXT_OCTETS_MAX).then(|| value.into())
}

fn protocol(value: Option<&str>) -> Option<bool> {
    let value = value?;
    let is_esmtp = value.eq_ignore_ascii_case("ESMTP");
    (is_esmtp || value.eq_ignore_ascii_case("SMTP")).then_some(is_esmtp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read() {
        let read = Xclient::parse(
            "ADDR=192.0.2.1 port=4711 NAME=client.example HELO=a+2Bb PROTO=ESMTP LOGIN=ana@x.example DESTADDR=IPV6:::1 DESTPORT=25",
        );
        let want = Xclient {
            address: Some("192.0.2.1".parse().unwrap()),
            port: Some(4711),
            name: Some("client.example".into()),
            helo: Some("a+b".into()),
            login: Some("ana@x.example".into()),
            is_esmtp: Some(true),
            destination: (Some("::1".parse().unwrap()), Some(25)),
        };
        assert_eq!(read, Some(want));
        let read = Xclient::parse("NAME=[UNAVAILABLE] LOGIN=[tempunavail] ADDR=[UNAVAILABLE]");
        let want = Xclient {
            address: UNKNOWN,
            name: Some("".into()),
            login: Some("".into()),
            ..Xclient::default()
        };
        assert_eq!(read, Some(want));
        let v6 = Xclient::parse("ADDR=IPv6:2001:db8::1").unwrap();
        assert_eq!(v6.address, Some("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let long = format!("HELO={}", "a".repeat(256));
        for bad in [
            "ADDR",
            "ADDR=",
            "ADDR=1.2.3",
            "ADDR=IPV6:1.2.3.4",
            "ADDR=1.2.3.4 ADDR=1.2.3.4",
            "PORT=65536",
            "PORT=-1",
            "PORT=+1",
            "PROTO=HTTP",
            "PROTO=[UNAVAILABLE]",
            "HELO=a+0D+0Ab",
            "HELO=a+2",
            "COLOUR=red",
            long.as_str(),
        ] {
            assert_eq!(Xclient::parse(bad), None, "{bad}");
        }
    }
}
