//! What a milter answers.

use bytes::{Buf, Bytes};
use mail::header::{Edit, FieldName, FieldValue, Place, Which};
use mail::{Address, EnhancedStatus, ReversePath};

use crate::answer;
use crate::error::AskError;
use crate::milter::negotiation::{Agreement, action};
use crate::milter::packet::Packet;
use crate::verdict::Change;
use crate::words::shown;

/// An answer, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Continue,
    Accept,
    Reject,
    Tempfail,
    Discard,
    /// A reply in its own words.
    Code(mail::Reply),
    /// Only at the end of a message, before the answer proper.
    Change(Change),
    Quarantine(String),
    /// It needs more time.
    Progress,
    /// It has seen enough of the body.
    Skip,
    /// It cannot go on.
    GoingDown,
}

impl Reply {
    /// Reads a packet of a milter with which this was agreed on.
    pub(crate) fn read(packet: Packet, agreement: Agreement) -> Result<Self, AskError> {
        let Packet { kind, content } = packet;
        let may = |wanted| {
            let words =
                || wrong(format!("it makes a change that it did not announce ({wanted:#x})"));
            if agreement.allows(wanted) { Ok(()) } else { Err(words()) }
        };
        Ok(match kind {
            b'c' => Self::Continue,
            b'a' => Self::Accept,
            b'r' => Self::Reject,
            b't' => Self::Tempfail,
            b'd' => Self::Discard,
            b'y' => Self::Code(code(&content)?),
            b'p' => Self::Progress,
            b's' => Self::Skip,
            b'4' | b'f' => Self::GoingDown,
            b'h' => {
                may(action::ADD_HEADERS)?;
                let mut content = content;
                Self::Change(added(&mut content, Place::Bottom)?)
            }
            b'i' => {
                may(action::ADD_HEADERS)?;
                let mut content = content;
                let index =
                    content.try_get_u32().map_err(|_| wrong("a field's place is cut off"))?;
                // As Sendmail and Postfix count: 0 and 1 are both the top.
                let at = if index < 2 { Place::Top } else { Place::Behind(index - 1) };
                Self::Change(added(&mut content, at)?)
            }
            b'm' => {
                may(action::CHANGE_HEADERS)?;
                Self::Change(changed(content)?)
            }
            b'+' => {
                may(action::ADD_RECIPIENTS)?;
                Self::Change(Change::AddRecipient(recipient(content)?))
            }
            b'2' => {
                may(action::ADD_RECIPIENTS_WITH_PARAMETERS)?;
                Self::Change(Change::AddRecipient(recipient(content)?))
            }
            b'-' => {
                may(action::DELETE_RECIPIENTS)?;
                Self::Change(Change::RemoveRecipient(recipient(content)?))
            }
            b'e' => {
                may(action::CHANGE_SENDER)?;
                Self::Change(Change::Sender(sender(content)?))
            }
            b'q' => {
                may(action::QUARANTINE)?;
                let reason = string(&mut content.clone())?;
                Self::Quarantine(shown(&String::from_utf8_lossy(&reason)))
            }
            other => return Err(wrong(format!("an answer of kind `{}`", other.escape_ascii()))),
        })
    }
}

fn wrong(words: impl Into<String>) -> AskError {
    AskError::protocol(words)
}

/// Takes what stands before the next NUL, which must be there.
fn string(content: &mut Bytes) -> Result<Bytes, AskError> {
    let end = content.iter().position(|byte| *byte == 0);
    let end = end.ok_or_else(|| wrong("a text does not end"))?;
    let text = content.split_to(end);
    content.advance(1);
    Ok(text)
}

fn field(content: &mut Bytes) -> Result<(FieldName, Bytes), AskError> {
    let name = string(content)?;
    let name = std::str::from_utf8(&name).ok().and_then(|name| FieldName::parse(name).ok());
    Ok((name.ok_or_else(|| wrong("a field's name is none"))?, string(content)?))
}

fn value(text: &[u8]) -> Result<FieldValue, AskError> {
    FieldValue::parse(text).map_err(|error| wrong(format!("in a field {error}")))
}

fn added(content: &mut Bytes, at: Place) -> Result<Change, AskError> {
    let (name, text) = field(content)?;
    Ok(Change::Header(Edit::Add { name, value: value(&text)?, at }))
}

/// An empty value takes the field out.
fn changed(mut content: Bytes) -> Result<Change, AskError> {
    let number = content.try_get_u32().map_err(|_| wrong("a field's number is cut off"))?;
    let (name, text) = field(&mut content)?;
    // Sendmail takes 0 for 1.
    let which = Which::FromTop(number.max(1));
    Ok(Change::Header(if text.is_empty() {
        Edit::Remove { name, which }
    } else {
        Edit::Set { name, which, value: value(&text)? }
    }))
}

/// An address with or without its angle brackets; parameters that may follow are passed over.
fn address_text(mut content: Bytes) -> Result<String, AskError> {
    let text = string(&mut content)?;
    let text = String::from_utf8(text.to_vec()).map_err(|_| wrong("an address is not UTF-8"))?;
    let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    Ok(bare.map(str::to_owned).unwrap_or(text))
}

fn recipient(content: Bytes) -> Result<Address, AskError> {
    let text = address_text(content)?;
    Address::parse(&text).map_err(|error| wrong(format!("`{}`: {error}", shown(&text))))
}

fn sender(content: Bytes) -> Result<ReversePath, AskError> {
    let text = address_text(content)?;
    if text.is_empty() {
        return Ok(ReversePath::Null);
    }
    let address = Address::parse(&text);
    let wrong = |error| wrong(format!("`{}`: {error}", shown(&text)));
    address.map(ReversePath::Address).map_err(wrong)
}

/// A reply such as `550 5.7.1 no`, in lines as SMTP writes them or in one.
fn code(content: &[u8]) -> Result<mail::Reply, AskError> {
    let text = String::from_utf8_lossy(content.strip_suffix(&[0]).unwrap_or(content));
    let unfit = || wrong(format!("`{}` is no reply that refuses", shown(&text)));
    let (mut first, mut words): (Option<(u16, Option<EnhancedStatus>)>, Vec<&str>) =
        (None, Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (code, rest) = line.split_at_checked(3).ok_or_else(unfit)?;
        let is_code = code.bytes().all(|byte| byte.is_ascii_digit());
        let code = code.parse().ok().filter(|_| is_code).ok_or_else(unfit)?;
        let rest = match rest.as_bytes() {
            [] => rest,
            [b' ' | b'-', ..] => rest.get(1..).unwrap_or_default(),
            _ => return Err(unfit()),
        };
        let status = rest.split(' ').next().and_then(|word| Some((word, word.parse().ok()?)));
        let rest = status.map_or(rest, |(word, _)| rest.get(word.len()..).unwrap_or_default());
        let found = *first.get_or_insert((code, status.map(|(_, status)| status)));
        if found.0 != code {
            return Err(unfit());
        }
        words.push(rest.trim_start());
    }
    let (code, status) = first.ok_or_else(unfit)?;
    // Milters write `%%` where they mean `%`.
    answer::reply(code, status, &words.join("\n").replace("%%", "%")).ok_or_else(unfit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all() -> Agreement {
        let numbers = [6_u32, 0xfd, 0].map(u32::to_be_bytes);
        Agreement::read(Bytes::copy_from_slice(numbers.as_flattened())).unwrap()
    }

    fn read(kind: u8, content: &[u8]) -> Result<Reply, AskError> {
        Reply::read(Packet { kind, content: Bytes::copy_from_slice(content) }, all())
    }

    #[track_caller]
    fn replies(text: &str, want: Option<&str>) {
        let found = read(b'y', text.as_bytes()).ok().map(|reply| match reply {
            Reply::Code(reply) => format!("{reply}"),
            other => format!("{other:?}"),
        });
        assert_eq!(found.as_deref(), want, "{text:?}");
    }

    #[test]
    fn codes_refuse_and_stay_in_their_reply() {
        replies("550 5.7.1 no\0", Some("550 5.7.1 no"));
        replies("450 later 100%%\0", Some("450 4.7.1 later 100%"));
        replies("421\0", Some("421 4.7.1 refused by a filter"));
        replies("550-5.7.1 one\r\n550 5.7.1 two\0", Some("550 5.7.1 one two"));
        replies("550 no\x07\r550 x\0", Some("550 5.7.1 no??550 x"));
        for bad in [
            "",
            "\0",
            "250 ok\0",
            "354 go\0",
            "550 4.7.1 no\0",
            "550 a\n250 b\0",
            "5x0 a\0",
            "+50 a\0",
            "590 x\0",
            "550a\0",
            "é\0",
        ] {
            replies(bad, None);
        }
    }

    #[test]
    fn changes_are_read() {
        let header = |kind, content: &[u8]| match read(kind, content).unwrap() {
            Reply::Change(Change::Header(edit)) => format!("{edit:?}"),
            other => format!("{other:?}"),
        };
        assert_eq!(
            header(b'h', b"X-A\0 b\n\tc\0"),
            "Add { name: X-A, value: \"b\\r\\n\\tc\", at: Bottom }"
        );
        assert_eq!(header(b'i', b"\0\0\0\x01X-A\0b\0"), "Add { name: X-A, value: \"b\", at: Top }");
        assert_eq!(
            header(b'i', b"\0\0\0\x03X-A\0b\0"),
            "Add { name: X-A, value: \"b\", at: Behind(2) }"
        );
        assert_eq!(
            header(b'm', b"\0\0\0\x02X-A\0b\0"),
            "Set { name: X-A, which: FromTop(2), value: \"b\" }"
        );
        assert_eq!(header(b'm', b"\0\0\0\0X-A\0\0"), "Remove { name: X-A, which: FromTop(1) }");
        let address = || Address::parse("a@b.example").unwrap();
        for (kind, content, want) in [
            (b'+', &b"<a@b.example>\0"[..], Change::AddRecipient(address())),
            (b'2', b"a@b.example\0NOTIFY=NEVER\0", Change::AddRecipient(address())),
            (b'-', b"<a@b.example>\0", Change::RemoveRecipient(address())),
            (b'e', b"<>\0", Change::Sender(ReversePath::Null)),
            (b'e', b"a@b.example\0SIZE=1\0", Change::Sender(ReversePath::Address(address()))),
        ] {
            assert_eq!(read(kind, content).unwrap(), Reply::Change(want));
        }
        assert_eq!(read(b'q', b"a\nb\0").unwrap(), Reply::Quarantine("a?b".to_owned()));
    }

    #[test]
    fn what_breaks_out_is_refused() {
        for (kind, content) in [
            (b'h', &b"X-A\0b\r\nBcc: c\0"[..]),
            (b'h', b"X-A\r\nBcc\0b\0"),
            (b'h', b"X-A\0b"),
            (b'h', b"\0b\0"),
            (b'i', b"\0\0"),
            (b'm', b"\0\0\0\x01X\0b\rc\0"),
            (b'+', b"<a@b>\r\nRCPT TO:<c@d>\0"),
            (b'+', b"nobody\0"),
            (b'-', b"\xff\0"),
            (b'e', b"a@b"),
            (b'b', b"another body"),
            (b'O', b""),
            (0, b""),
        ] {
            assert!(read(kind, content).is_err(), "{kind} {content:?}");
        }
        let nothing =
            Agreement::read(Bytes::from_static(&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0])).unwrap();
        for kind in *b"him+2-eq" {
            let packet = Packet { kind, content: Bytes::from_static(b"\0\0\0\x01a\0b\0") };
            let error = Reply::read(packet, nothing).unwrap_err().to_string();
            assert!(error.contains("did not announce"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(kind in prop::sample::select(b"cartdyps4fhim+2-eqb".to_vec()),
                content in "[\0-\u{9}<>@a.0-9 \r\n\u{e9}%-]{0,40}") {
            if let Ok(Reply::Code(reply)) = read(kind, content.as_bytes()) {
                prop_assert!(matches!(reply.code(), 400..=599));
                prop_assert!(!reply.text().contains('\r'));
            }
        }
    }
}
