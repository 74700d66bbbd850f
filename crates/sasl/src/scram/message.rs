//! SCRAM messages, read before rsasl reads them.
//!
//! rsasl 2.3 takes two octets of each attribute without looking how many there are, and panics on fewer; it also keeps
//! a name's `=2C` and `=3D`, takes SCRAM-…-PLUS without a binding, and obeys any number of iterations. What passes
//! here has none of that.

use std::num::NonZeroU32;

use crate::scram::SALT_OCTETS_MAX;
use crate::text;

/// A longer nonce would not fit into the reply's line that repeats it.
const NONCE_OCTETS_MAX: usize = 200;

/// What a client says of channel binding (RFC 5802 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// `n`: it knows none.
    Unknown,
    /// `y`: it would, but thinks that the server does not.
    Unused,
    /// `p=`: it uses one.
    Used,
}

/// A client's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst {
    pub(crate) flag: Flag,
    /// Whom it wants to act for; empty for itself.
    pub(crate) authorization: String,
    pub(crate) name: String,
}

/// What a server's first message asks a client to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerFirst {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: NonZeroU32,
}

/// The value of an attribute `letter=value`.
fn value(part: &str, letter: char) -> Option<&str> {
    part.strip_prefix(letter)?.strip_prefix('=')
}

/// Whether every part is an attribute.
fn are_attributes<'a>(mut parts: impl Iterator<Item = &'a str>) -> bool {
    parts.all(|part| {
        let mut octets = part.bytes();
        octets.next().is_some_and(|letter| letter.is_ascii_alphabetic())
            && octets.next() == Some(b'=')
    })
}

/// Undoes `=2C` and `=3D`.
pub(crate) fn unescaped(name: &str) -> Option<String> {
    let mut pieces = name.split('=');
    let mut plain = pieces.next()?.to_owned();
    for piece in pieces {
        let (letter, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        plain.push(letter);
        plain.push_str(rest);
    }
    Some(plain)
}

/// Reads a client's first message; none if it is malformed.
pub(crate) fn client_first(message: &[u8]) -> Option<ClientFirst> {
    let mut parts = std::str::from_utf8(message).ok()?.split(',');
    let flag = match parts.next()? {
        "n" => Flag::Unknown,
        "y" => Flag::Unused,
        used => value(used, 'p').filter(|name| !name.is_empty()).map(|_| Flag::Used)?,
    };
    let authorization = match parts.next()? {
        "" => String::new(),
        part => unescaped(value(part, 'a')?)?,
    };
    let name = unescaped(value(parts.next()?, 'n')?).filter(|name| !name.is_empty())?;
    let nonce = value(parts.next()?, 'r')?;
    let is_nonce = (1..=NONCE_OCTETS_MAX).contains(&nonce.len())
        && nonce.bytes().all(|octet| octet.is_ascii_graphic());
    let is_whole = is_nonce && are_attributes(parts);
    is_whole.then_some(ClientFirst { flag, authorization, name })
}

/// Whether a client's last message can be handed on. One with an extension cannot: rsasl would leave it out of what the
/// proof is about.
pub(crate) fn is_client_final(message: &[u8]) -> bool {
    let parts: Vec<_> = std::str::from_utf8(message).unwrap_or_default().split(',').collect();
    matches!(parts.as_slice(), [binding, nonce, proof]
        if value(binding, 'c').is_some() && value(nonce, 'r').is_some() && value(proof, 'p').is_some())
}

/// Reads a server's first message; none if it is malformed.
pub(crate) fn server_first(message: &[u8]) -> Option<ServerFirst> {
    let mut parts = std::str::from_utf8(message).ok()?.split(',');
    value(parts.next()?, 'r')?;
    let salt = text::decoded(value(parts.next()?, 's')?.as_bytes())?;
    let iterations = value(parts.next()?, 'i')?.parse().ok()?;
    let is_whole = (1..=16 * SALT_OCTETS_MAX).contains(&salt.len()) && are_attributes(parts);
    is_whole.then_some(ServerFirst { salt, iterations })
}

/// Whether a server's last message can be handed on.
pub(crate) fn is_server_final(message: &[u8]) -> bool {
    std::str::from_utf8(message).is_ok_and(|text| are_attributes(text.split(',')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages_of_clients() {
        for (message, flag, authorization, name) in [
            ("n,,n=user,r=abc", Flag::Unknown, "", "user"),
            ("y,a=boss,n=user,r=abc,x=extension", Flag::Unused, "boss", "user"),
            ("p=tls-exporter,,n=a=2Cb=3Dc,r=abc", Flag::Used, "", "a,b=c"),
            ("n,,n=jösé,r=a", Flag::Unknown, "", "jösé"),
        ] {
            let read = client_first(message.as_bytes()).unwrap();
            assert_eq!(
                (read.flag, &*read.authorization, &*read.name),
                (flag, authorization, name),
                "{message}"
            );
        }
        let long = format!("n,,n=user,r={}", "a".repeat(201));
        for bad in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n",
            "n,,n=",
            "n,,n=user",
            "n,,n=user,",
            "n,,n=user,r",
            "n,,n=user,r=",
            "n,,n=user,r=a b",
            "n,,n=user,r=abc,",
            "n,,n=user,r=abc,x",
            "n,a,n=user,r=abc",
            "p=,,n=user,r=abc",
            "p,,n=user,r=abc",
            "x,,n=user,r=abc",
            "n,,m=x,n=user,r=abc",
            "n,,n=us=er,r=abc",
            "n,,n=us=2cer,r=abc",
            "n,,n=user=,r=abc",
            "n,,r=abc,n=user",
            &long,
        ] {
            assert_eq!(client_first(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(client_first(b"n,,n=us\xffer,r=abc"), None);
    }

    #[test]
    fn last_messages_of_clients() {
        assert!(is_client_final(b"c=biws,r=abc,p=AA=="));
        for bad in [
            "",
            "c",
            "c=biws",
            "c=biws,r=abc",
            "c=biws,r=abc,",
            "c=biws,r=abc,p",
            "c=biws,,p=A",
            "c=biws,r=abc,x=y,p=AA==",
            "c=biws,r=a,p=A,x",
            "r=a,c=b,p=A",
        ] {
            assert!(!is_client_final(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn messages_of_servers() {
        let read = server_first(b"r=abcdef,s=c2FsdA==,i=4096,x=y").unwrap();
        assert_eq!((read.salt.as_slice(), read.iterations.get()), (&b"salt"[..], 4096));
        for bad in [
            "",
            "r",
            "r=a",
            "r=a,s=",
            "r=a,s=c2FsdA==",
            "r=a,s=c2FsdA==,i=0",
            "r=a,s=c2FsdA==,i=-4096",
            "r=a,s=c2FsdA==,i=4096,",
            "m=x,r=a,s=c2FsdA==,i=4096",
            "r=a,s=c2FsdA,i=4096",
        ] {
            assert_eq!(server_first(bad.as_bytes()), None, "{bad}");
        }
        assert!(is_server_final(b"v=AA==") && is_server_final(b"e=other-error"));
        assert!(!is_server_final(b"") && !is_server_final(b"v") && !is_server_final(b"v=a,"));
    }
}
