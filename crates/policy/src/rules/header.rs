//! What stands in the fields of a header, decoded.

use std::borrow::Cow;

use mail::Address;
use mail::header::Field;
use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;
use memchr::{memchr, memmem};

use crate::rules::canonical::Canonical;

/// A mailbox of a `From`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    /// The display name, decoded.
    pub(crate) name: Option<Box<str>>,
    /// The address as it stands there.
    pub(crate) address: Box<str>,
    /// The same as rules compare it.
    pub(crate) canonical: Canonical,
}

/// The value on one line, without encoded words (RFC 2047).
pub(crate) fn decoded<'a>(field: &Field<'a>) -> Cow<'a, str> {
    let value = field.value().trim_ascii();
    let is_plain =
        value.is_ascii() && memchr(b'\n', value).is_none() && memmem::find(value, b"=?").is_none();
    if is_plain {
        return String::from_utf8_lossy(value);
    }
    match MessageStream::new(&ended(value)).parse_unstructured() {
        HeaderValue::Text(text) => Cow::Owned(text.into_owned()),
        _ => Cow::Borrowed(""),
    }
}

/// The mailboxes of all fields called `From`.
pub(crate) fn from(fields: &[Field<'_>]) -> Vec<Mailbox> {
    mailboxes(fields, "from")
}

/// The mailboxes of all fields of a name.
pub(crate) fn mailboxes(fields: &[Field<'_>], name: &str) -> Vec<Mailbox> {
    let mut mailboxes = Vec::new();
    for field in fields.iter().filter(|field| field.is(name)) {
        let value = ended(field.value());
        if let HeaderValue::Address(list) = MessageStream::new(&value).parse_address() {
            mailboxes.extend(list.iter().filter_map(mailbox));
        }
    }
    mailboxes
}

/// Whom a message says it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authors {
    /// These, at least one.
    Are(Vec<Address>),
    /// There is no `From`.
    Missing,
    /// There are several `From`.
    Several,
    /// Not every mailbox in it is an address.
    Unreadable,
}

/// Whom the one field called `From` names, if every mailbox in it can be read.
pub(crate) fn authors(fields: &[Field<'_>]) -> Authors {
    let mut all = fields.iter().filter(|field| field.is("from"));
    let Some(field) = all.next() else { return Authors::Missing };
    if all.next().is_some() {
        return Authors::Several;
    }
    let value = ended(field.value());
    let HeaderValue::Address(list) = MessageStream::new(&value).parse_address() else {
        return Authors::Unreadable;
    };
    let read = |one: &mail_parser::Addr<'_>| {
        let address = Address::parse(one.address()?).ok()?;
        address.domain().is_some().then_some(address)
    };
    let addresses = list.iter().map(read).collect::<Option<Vec<_>>>();
    addresses.filter(|it| !it.is_empty()).map_or(Authors::Unreadable, Authors::Are)
}

/// The address of the first mailbox of all fields called `From`, if it is one.
pub fn first_mailbox(fields: &[Field<'_>]) -> Option<Address> {
    from(fields).first().and_then(|it| Address::parse(&it.address).ok())
}

fn mailbox(one: &mail_parser::Addr<'_>) -> Option<Mailbox> {
    let address = one.address()?;
    Some(Mailbox {
        name: one.name().filter(|name| !name.is_empty()).map(Into::into),
        address: address.into(),
        canonical: Canonical::of_text(address),
    })
}

/// A value with the line end that the parser waits for.
fn ended(value: &[u8]) -> Vec<u8> {
    [value.trim_ascii(), b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use mail::header::Header;

    use super::*;

    #[test]
    fn values_are_unfolded_and_decoded() {
        let header = b"Received: a\r\n\tb\r\nSubject : =?utf-8?q?gr=C3=BC?=\r\n =?utf-8?b?w58=?= \
            you\r\nX:\r\n\r\nBody: no\r\n";
        let fields = Header::read(header).fields;
        let got: Vec<_> = fields.iter().map(|field| decoded(field).into_owned()).collect();
        assert_eq!(got, ["a b", "gr\u{fc}\u{df} you", ""]);
    }

    #[test]
    fn every_form_of_from_is_read() {
        for (text, want) in [
            ("alice@example.com", "alice@example.com"),
            ("Alice <Alice@Example.com>", "Alice+alice@example.com"),
            ("\"Bob, the <x@y>\" <bob@example.com>", "Bob, the <x@y>+bob@example.com"),
            ("(comment) bob@example.com", "bob@example.com"),
            ("=?utf-8?q?J=C3=B6rg?= <j@example.com>", "J\u{f6}rg+j@example.com"),
            ("a@example.com, B <b@example.com>", "a@example.com B+b@example.com"),
            ("Team: a@example.com, b@example.com;", "a@example.com b@example.com"),
            ("folded\r\n <f@example.com>", "folded+f@example.com"),
            ("nobody", ""),
            ("", ""),
        ] {
            let header = format!("To: x@y.example\r\nFROM: {text}\r\n\r\n");
            let mailboxes = from(&Header::read(header.as_bytes()).fields);
            let said = mailboxes.iter().map(|it| {
                let name = it.name.as_ref().map(|name| format!("{name}+")).unwrap_or_default();
                format!("{name}{}", it.canonical.as_str())
            });
            let said: Vec<_> = said.filter(|it| it.contains('@')).collect();
            assert!(said.join(" ").ends_with(want), "{text}: {said:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read(header in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(b":\r\n \t=?<>@,;\"(\\)".to_vec())], 0..200
        )) {
            let header = [b"From:".as_slice(), &header].concat();
            let fields = Header::read(&header).fields;
            for field in &fields {
                decoded(field);
            }
            prop_assert!(from(&fields).len() <= header.len());
        }
    }
}
