//! What a session knows and filters are told.

use std::net::SocketAddr;

use bytes::Bytes;
use mail::header::Header;
use mail::{Address, MessageId};

/// What is known of a session, and grows while it goes on; the caller fills in what it learns, before the stage.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The relay's own name.
    pub relay: Box<str>,
    /// The listener that took the connection, or the connector that a message goes out by.
    pub scope: Box<str>,
    /// Where a message goes that goes out: the connector, and the recipients' domain if it goes by MX.
    pub destination: Option<Box<str>>,
    /// The session's name in logs.
    pub session: Box<str>,
    /// Where the client is; none for what the relay wrote itself. Of a message that goes out the port is not known.
    pub client: Option<SocketAddr>,
    /// The client's verified name in DNS.
    pub client_name: Option<Box<str>>,
    /// Where it connected to.
    pub local: Option<SocketAddr>,
    /// What it called itself in EHLO or HELO; [`crate::Session::helo`] fills it in.
    pub helo: Box<str>,
    /// TLS version and cipher suite, if there is TLS: `TLS1_3 TLS_AES_256_GCM_SHA384`.
    pub tls: Option<Box<str>>,
    /// Whom it logged in as.
    pub login: Option<Login>,
    /// The message's id, once it has one.
    pub message: Option<MessageId>,
}

/// A login of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub account: Box<str>,
    /// How it logged in, such as `PLAIN`; empty if that is not known.
    pub mechanism: Box<str>,
}

/// A recipient with what RCPT said besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address.
    pub address: Address,
    /// RCPT's parameters, such as `NOTIFY=NEVER`.
    pub parameters: Box<[Box<str>]>,
}

impl From<Address> for Recipient {
    fn from(address: Address) -> Self {
        Self { address, parameters: Box::default() }
    }
}

/// A content to show to filters, in the pieces in which it is kept.
#[derive(Clone, Debug)]
pub struct Content {
    octets: u64,
    header: Option<Bytes>,
    body: Vec<Bytes>,
}

/// The end of a header is first looked for in so many octets.
const HEADER_OCTETS: usize = 16 << 10;

impl Content {
    /// Takes a content, header and body; copies the header alone.
    pub fn new(pieces: Vec<Bytes>) -> Self {
        let octets = pieces.iter().map(Bytes::len).sum::<usize>();
        let mut beginning = HEADER_OCTETS;
        let header = loop {
            let mut text = Bytes::from(first(&pieces, beginning));
            let rest = Header::read(&text).rest;
            // What a line is can be said once all of it is there.
            if rest.contains(&b'\n') || text.len() == octets {
                break text.split_to(text.len().saturating_sub(rest.len()));
            }
            beginning = beginning.saturating_mul(4);
        };
        let body = behind(pieces, header.len());
        Self { octets: octets as u64, header: Some(header), body }
    }

    /// A content of which only the size is known, because it is too large to be shown to any filter
    /// ([`crate::Session::content_octets_max`]).
    pub const fn unseen(octets: u64) -> Self {
        Self { octets, header: None, body: Vec::new() }
    }

    /// Its size.
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// Its header without the empty line that ends it; none if it is not shown.
    pub(crate) const fn header(&self) -> Option<&Bytes> {
        self.header.as_ref()
    }

    /// What stands behind the header: the empty line, and the body.
    pub(crate) fn rest(&self) -> &[Bytes] {
        &self.body
    }

    /// The same with another header.
    pub(crate) fn set_header(&mut self, header: Vec<u8>) {
        let before = self.header.as_ref().map_or(0, Bytes::len) as u64;
        self.octets = self.octets.saturating_sub(before).saturating_add(header.len() as u64);
        self.header = Some(header.into());
    }
}

fn first(pieces: &[Bytes], octets: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for piece in pieces {
        let room = octets.saturating_sub(text.len()).min(piece.len());
        text.extend_from_slice(piece.get(..room).unwrap_or_default());
    }
    text
}

fn behind(pieces: Vec<Bytes>, octets: usize) -> Vec<Bytes> {
    let mut left = octets;
    let tail = |mut piece: Bytes| {
        let gone = left.min(piece.len());
        left -= gone;
        piece.split_off(gone)
    };
    pieces.into_iter().map(tail).filter(|piece| !piece.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(content: &[u8], octets: usize) -> Vec<Bytes> {
        content.chunks(octets.max(1)).map(Bytes::copy_from_slice).collect()
    }

    #[test]
    fn a_header_larger_than_the_first_look_is_found() {
        for field in ["X: y\r\n", "Xxxxxxxxxxxxxxxxxxxxxxxxxxx:\r\n\ty\r\n"] {
            let header = field.repeat(40_000);
            let text = format!("{header}\r\nbody: 1\r\n");
            let content = Content::new(pieces(text.as_bytes(), 1000));
            assert_eq!(content.header().unwrap(), header.as_bytes());
            assert_eq!(content.rest().concat(), b"\r\nbody: 1\r\n");
            assert_eq!(content.octets(), text.len() as u64);
        }
    }

    proptest! {
        #[test]
        fn header_and_rest_are_the_content(
            text in "(a|b: c|From|:| |\t|\r\n|\n){0,20}", octets in 1_usize..9
        ) {
            let content = Content::new(pieces(text.as_bytes(), octets));
            let header = content.header().unwrap();
            prop_assert_eq!([&header[..], &content.rest().concat()].concat(), text.as_bytes());
            prop_assert_eq!(Header::read(text.as_bytes()).rest, content.rest().concat());
        }
    }
}
