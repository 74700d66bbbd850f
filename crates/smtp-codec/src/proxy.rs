//! The header by which a proxy says whose connection it passes on (the PROXY protocol of `HAProxy`, versions 1 and 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// That of the client at this address.
    Client(SocketAddr),
    /// The proxy's own, such as a check of health, or one of which it knows nothing: the socket's address counts.
    Own,
}

/// What has come of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// It is not whole: at least so many octets more belong to it, and so many may be read. Never 0.
    More(usize),
    /// It is whole.
    Whole(Proxied),
}

/// Why octets are no such header. The connection is to be closed: nobody knows whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// They begin like neither version.
    #[error("it begins like neither version of the PROXY protocol")]
    NotProxy,
    /// The line of version 1 is too long or not as it must be.
    #[error("its line is not one of PROXY protocol version 1")]
    Line,
    /// Version 2 with a command, family or length that cannot be.
    #[error("it is not a header of PROXY protocol version 2")]
    Binary,
    /// Version 2 with more behind the addresses than is taken.
    #[error("it is longer than {} octets", ProxyHeader::OCTETS_MAX)]
    TooLong,
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const FIXED_OCTETS: usize = 16;
const LINE_OCTETS_MAX: usize = 107;

impl ProxyHeader {
    /// The longest header that is taken, with all that stands behind the addresses.
    pub const OCTETS_MAX: usize = 2048;

    /// Reads `octets`, all that came so far and nothing behind the header.
    pub fn read(octets: &[u8]) -> Result<Self, ProxyError> {
        if octets.is_empty() {
            // No header of either version is shorter.
            return Ok(Self::More(SIGNATURE.len()));
        }
        let common = octets.len().min(SIGNATURE.len());
        if octets.get(..common) == SIGNATURE.get(..common) {
            return binary(octets);
        }
        let start = b"PROXY ";
        let common = octets.len().min(start.len());
        if octets.get(..common) == start.get(..common) {
            return line(octets);
        }
        Err(ProxyError::NotProxy)
    }
}

fn line(octets: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let Some(end) = octets.iter().position(|octet| *octet == b'\n') else {
        // The shortest line has 15 octets, an unfinished one at least CRLF before it.
        let least = match octets {
            [.., b'\r'] => 1,
            _ => 15_usize.saturating_sub(octets.len()).max(2),
        };
        let is_too_long = octets.len().saturating_add(least) > LINE_OCTETS_MAX;
        return if is_too_long { Err(ProxyError::Line) } else { Ok(ProxyHeader::More(least)) };
    };
    let whole = octets.len() == end.saturating_add(1);
    let text = octets.strip_suffix(b"\r\n").filter(|_| whole).ok_or(ProxyError::Line)?;
    let text = std::str::from_utf8(text).map_err(|_| ProxyError::Line)?;
    let mut words = text.split(' ');
    let (Some("PROXY"), Some(family)) = (words.next(), words.next()) else {
        return Err(ProxyError::Line);
    };
    if family == "UNKNOWN" {
        return Ok(ProxyHeader::Whole(Proxied::Own));
    }
    let words: Vec<&str> = words.take(5).collect();
    let [source, destination, source_port, destination_port] = words.as_slice() else {
        return Err(ProxyError::Line);
    };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let source = address(source).zip(port(source_port));
    let destination = address(destination).zip(port(destination_port));
    let (source, _) = source.zip(destination).ok_or(ProxyError::Line)?;
    Ok(ProxyHeader::Whole(Proxied::Client(source.into())))
}

fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|octet| octet.is_ascii_digit());
    let is_plain = text == "0" || !text.starts_with('0');
    if is_number && is_plain { text.parse().ok() } else { None }
}

fn binary(octets: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let Some((fixed, rest)) = octets.split_at_checked(FIXED_OCTETS) else {
        return Ok(ProxyHeader::More(FIXED_OCTETS.saturating_sub(octets.len())));
    };
    let [.., command, family, high, low] = fixed else { return Err(ProxyError::Binary) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > ProxyHeader::OCTETS_MAX - FIXED_OCTETS {
        return Err(ProxyError::TooLong);
    }
    let is_own = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Binary),
    };
    // Family and transport. What is not TCP over IP has no address that counts here.
    let addresses = match family {
        0x11 => 12,
        0x21 => 36,
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => 0,
        _ => return Err(ProxyError::Binary),
    };
    if !is_own && length < addresses {
        return Err(ProxyError::Binary);
    }
    match length.checked_sub(rest.len()) {
        None => return Err(ProxyError::Binary),
        Some(0) => {}
        Some(more) => return Ok(ProxyHeader::More(more)),
    }
    let client = match (is_own, family) {
        (false, 0x11) => client::<4>(rest, addresses),
        (false, 0x21) => client::<16>(rest, addresses),
        _ => None,
    };
    Ok(ProxyHeader::Whole(client.map_or(Proxied::Own, Proxied::Client)))
}

/// The first of two addresses, and the first of the two ports behind them.
fn client<const OCTETS: usize>(block: &[u8], octets: usize) -> Option<SocketAddr>
where
    [u8; OCTETS]: Into<IpAddr>,
{
    let (address, _) = block.split_first_chunk::<OCTETS>()?;
    let ports = block.get(..octets)?.split_last_chunk::<4>()?.1;
    let [high, low, ..] = *ports;
    Some(SocketAddr::new((*address).into(), u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(octets: &[u8]) -> Result<ProxyHeader, ProxyError> {
        // Read in the pieces that it asks for itself: never past the end, never nothing.
        let mut taken = 0;
        loop {
            match ProxyHeader::read(&octets[..taken])? {
                ProxyHeader::More(0) => panic!("it asks for nothing"),
                ProxyHeader::More(more) if taken + more > octets.len() => {
                    return Ok(ProxyHeader::More(taken + more - octets.len()));
                }
                ProxyHeader::More(more) => taken += more,
                whole @ ProxyHeader::Whole(_) => {
                    assert_eq!(taken, octets.len(), "octets left or taken too many");
                    return Ok(whole);
                }
            }
        }
    }

    fn client(text: &str) -> ProxyHeader {
        ProxyHeader::Whole(Proxied::Client(text.parse().unwrap()))
    }

    const OWN: Result<ProxyHeader, ProxyError> = Ok(ProxyHeader::Whole(Proxied::Own));

    #[test]
    fn lines() {
        let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
        let longer = format!("PROXY UNKNOWN {}\r\n", "f".repeat(108 - 16));
        for (text, want) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n", Ok(client("192.0.2.1:56324"))),
            ("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", Ok(client("[2001:db8::1]:1"))),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 0 0\r\n", Ok(client("1.1.1.1:0"))),
            ("PROXY UNKNOWN\r\n", OWN),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", OWN),
            (long.as_str(), OWN),
            (longer.as_str(), Err(ProxyError::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\n", Err(ProxyError::Line)),
            ("PROXY TCP4  192.0.2.1 198.51.100.2 56324 25\r\n", Err(ProxyError::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25 \r\n", Err(ProxyError::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n", Err(ProxyError::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 +1 25\r\n", Err(ProxyError::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 01 25\r\n", Err(ProxyError::Line)),
            ("PROXY TCP4 192.0.2.01 198.51.100.2 1 25\r\n", Err(ProxyError::Line)),
            ("PROXY TCP4 ::1 ::2 1 25\r\n", Err(ProxyError::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", Err(ProxyError::Line)),
            ("PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n", Err(ProxyError::Line)),
            ("PROXY \r\n       ", Err(ProxyError::Line)),
            ("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", Err(ProxyError::NotProxy)),
            ("EHLO client.example\r\n", Err(ProxyError::NotProxy)),
            ("PROXY TCP4 192.0.2.12", Ok(ProxyHeader::More(2))),
            ("PROXY TCP4 192.0.2.1", Ok(ProxyHeader::More(1))),
        ] {
            assert_eq!(whole(text.as_bytes()), want, "{text:?}");
        }
    }

    fn header(command: u8, family: u8, length: u16, block: &[u8]) -> Vec<u8> {
        let mut octets = SIGNATURE.to_vec();
        octets.extend([command, family]);
        octets.extend(length.to_be_bytes());
        octets.extend(block);
        octets
    }

    #[test]
    fn binary_headers() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 0, 25];
        let mut v6 = [0; 36];
        (v6[0], v6[15], v6[32], v6[33]) = (0x20, 1, 1, 2);
        let with_more = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
        for (octets, want) in [
            (header(0x21, 0x11, 12, &v4), Ok(client("192.0.2.1:56324"))),
            (header(0x21, 0x11, 18, &with_more), Ok(client("192.0.2.1:56324"))),
            (header(0x21, 0x21, 36, &v6), Ok(client("[2000::1]:258"))),
            (header(0x20, 0x11, 12, &v4), OWN),
            (header(0x20, 0x00, 0, &[]), OWN),
            (header(0x21, 0x00, 0, &[]), OWN),
            (header(0x21, 0x31, 216, &[0; 216]), OWN),
            (header(0x21, 0x12, 12, &v4), OWN),
            (header(0x21, 0x11, 11, &v4[..11]), Err(ProxyError::Binary)),
            (header(0x22, 0x11, 12, &v4), Err(ProxyError::Binary)),
            (header(0x11, 0x11, 12, &v4), Err(ProxyError::Binary)),
            (header(0x21, 0x41, 12, &v4), Err(ProxyError::Binary)),
            (header(0x21, 0x11, 2033, &v4), Err(ProxyError::TooLong)),
            (header(0x21, 0x11, 2032, &v4), Ok(ProxyHeader::More(2020))),
        ] {
            assert_eq!(whole(&octets), want, "{octets:?}");
        }
        let mut wrong = header(0x21, 0x11, 12, &v4);
        wrong[11] = b'\r';
        assert_eq!(whole(&wrong), Err(ProxyError::NotProxy));
    }

    #[test]
    fn whatever_comes_it_ends() {
        proptest::proptest!(|(octets: Vec<u8>, start in 0_usize..3)| {
            let start: &[u8] = [&b""[..], b"PROXY ", SIGNATURE][start];
            let octets = [start, &octets].concat();
            if let Ok(ProxyHeader::More(more)) = ProxyHeader::read(&octets) {
                assert!(more > 0 && octets.len() + more <= ProxyHeader::OCTETS_MAX);
            }
        });
    }
}
