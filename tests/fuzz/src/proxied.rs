//! What proxies say of their clients.

use smtp_codec::{ProxyHeader, Xclient};

/// A header is read up to its end and no further, whoever sends it; it is bounded.
pub(crate) fn proxy(input: &[u8]) {
    let mut at = 0;
    let mut asked = Vec::new();
    while let Some(octets) = input.get(..at) {
        match ProxyHeader::read(octets) {
            Ok(ProxyHeader::More(more)) => {
                assert!(more > 0);
                asked.push(at);
                at += more;
                assert!(at <= ProxyHeader::OCTETS_MAX, "{at} octets are asked for");
            }
            Ok(ProxyHeader::Whole(_)) => break,
            Err(_) => return,
        }
    }
    let Some(header) = input.get(..at) else { return };
    // Cut anywhere, it is not whole, and no octet behind it is asked for.
    for cut in 0..header.len() {
        match header.get(..cut).map(ProxyHeader::read) {
            Some(Ok(ProxyHeader::More(more))) => {
                assert!(more > 0 && cut + more <= at, "{more} behind {cut} of {at}: {header:?}");
            }
            other => panic!("{other:?} of {cut} octets of {header:?}"),
        }
    }
}

/// What is taken from a proxy holds nothing that could break a line of a log or a header.
pub(crate) fn xclient(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Some(said) = Xclient::parse(text) else { return };
    for text in [said.name, said.helo, said.login].into_iter().flatten() {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
