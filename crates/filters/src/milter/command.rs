//! What a milter is told.

use mail::header::Field;

use crate::facts::{Facts, Recipient};
use crate::milter::macros::add_text;
use crate::milter::packet;
use crate::question::Transaction;

/// What a piece of a body holds at most.
pub(crate) const BODY_OCTETS_MAX: usize = 65_535;

/// Who connected; the name of a client that has none is its address in brackets.
pub(crate) fn connect(out: &mut Vec<u8>, facts: &Facts) {
    let mut content = Vec::new();
    let Some(client) = facts.client else {
        add_text(&mut content, facts.client_name.as_deref().unwrap_or("localhost").as_bytes());
        content.push(b'U');
        return packet::write(out, b'C', &content);
    };
    let address = client.ip().to_canonical();
    let unknown = format!("[{address}]");
    add_text(&mut content, facts.client_name.as_deref().unwrap_or(&unknown).as_bytes());
    content.push(if address.is_ipv4() { b'4' } else { b'6' });
    content.extend_from_slice(&client.port().to_be_bytes());
    add_text(&mut content, address.to_string().as_bytes());
    packet::write(out, b'C', &content);
}

pub(crate) fn helo(out: &mut Vec<u8>, name: &str) {
    let mut content = Vec::new();
    add_text(&mut content, name.as_bytes());
    packet::write(out, b'H', &content);
}

pub(crate) fn mail(out: &mut Vec<u8>, transaction: &Transaction) {
    let sender = transaction.sender.address().map_or("", |address| address.as_str());
    path(out, b'M', sender, &transaction.parameters);
}

pub(crate) fn rcpt(out: &mut Vec<u8>, recipient: &Recipient) {
    path(out, b'R', recipient.address.as_str(), &recipient.parameters);
}

fn path(out: &mut Vec<u8>, kind: u8, address: &str, parameters: &[Box<str>]) {
    let mut content = Vec::new();
    add_text(&mut content, format!("<{address}>").as_bytes());
    for parameter in parameters {
        add_text(&mut content, parameter.as_bytes());
    }
    packet::write(out, kind, &content);
}

/// A field; line ends in it are LF, as milters expect them, and the space behind the colon is only sent to one that
/// wants it.
pub(crate) fn field(out: &mut Vec<u8>, field: &Field<'_>, leading: Leading) {
    let mut content = Vec::with_capacity(field.whole.len());
    add_text(&mut content, field.name());
    let value = field.value();
    let value = match leading {
        Leading::Kept => value,
        Leading::Dropped => value.strip_prefix(b" ").unwrap_or(value),
    };
    let mut rest = value;
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let (line, behind) = rest.split_at(at);
        content.extend(line.iter().filter(|byte| **byte != 0));
        rest = behind.get(1..).unwrap_or_default();
    }
    add_text(&mut content, rest);
    packet::write(out, b'L', &content);
}

/// Whether the space behind a field's colon is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leading {
    Kept,
    Dropped,
}

#[cfg(test)]
mod tests {
    use mail::ReversePath;
    use mail::header::Header;

    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Vec<u8>), want: &[u8]) {
        let mut out = Vec::new();
        write(&mut out);
        let (length, content) = out.split_at(4);
        assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, content.len());
        assert_eq!(content.escape_ascii().to_string(), want.escape_ascii().to_string());
    }

    #[test]
    fn a_client_is_told() {
        let client = |text: &str| Facts { client: text.parse().ok(), ..Facts::default() };
        check(|out| connect(out, &client("192.0.2.1:25")), b"C[192.0.2.1]\x004\0\x19192.0.2.1\0");
        check(
            |out| connect(out, &client("[::ffff:192.0.2.1]:25")),
            b"C[192.0.2.1]\x004\0\x19192.0.2.1\0",
        );
        let named = Facts { client_name: Some("a.example".into()), ..client("[2001:db8::1]:258") };
        check(|out| connect(out, &named), b"Ca.example\x006\x01\x022001:db8::1\0");
        check(|out| connect(out, &Facts::default()), b"Clocalhost\0U");
    }

    #[test]
    fn an_envelope_is_told() {
        let transaction = Transaction {
            sender: ReversePath::Null,
            parameters: ["SIZE=1".into(), "BODY=8BITMIME".into()].into(),
            recipients: Vec::new(),
        };
        check(|out| mail(out, &transaction), b"M<>\0SIZE=1\0BODY=8BITMIME\0");
        let recipient = Recipient::from(mail::Address::parse("a@b.example").unwrap());
        check(|out| rcpt(out, &recipient), b"R<a@b.example>\0");
        check(|out| helo(out, "a\0b"), b"Hab\0");
    }

    #[test]
    fn fields_are_told_with_and_without_their_space() {
        for (text, leading, want) in [
            ("A: b\r\n c\r\n", Leading::Dropped, &b"LA\0b\n c\0"[..]),
            ("A:  b\r\n", Leading::Dropped, b"LA\0 b\0"),
            ("A:b\n", Leading::Dropped, b"LA\0b\0"),
            ("A: b\r\n", Leading::Kept, b"LA\0 b\0"),
            ("A:\tb\rc\0d\r\n", Leading::Dropped, b"LA\0\tb\rcd\0"),
        ] {
            let header = Header::read(text.as_bytes());
            check(|out| field(out, &header.fields[0], leading), want);
        }
    }
}
