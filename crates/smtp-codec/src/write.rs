//! Commands and replies as they go out.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use mail::{Address, Reply, ReversePath};

use crate::mail_params::MailParam;
use crate::rcpt_params::RcptParam;
use crate::text::is_printable;

/// Longest line of a reply without its CRLF (RFC 5321 §4.5.3.1.5).
const REPLY_LINE_OCTETS_MAX: usize = 510;

/// Appends `reply`, one line or several, with its enhanced status on each.
///
/// What is not printable ASCII becomes `?`; a line that is too long is cut.
pub fn write_reply(out: &mut BytesMut, reply: &Reply) {
    let mut lines = reply.text().split('\n').peekable();
    while let Some(line) = lines.next() {
        let separator = if lines.peek().is_some() { '-' } else { ' ' };
        let start = out.len();
        append(out, format_args!("{}{separator}", reply.code()));
        if let Some(status) = reply.status() {
            append(out, format_args!("{status} "));
        }
        let room = REPLY_LINE_OCTETS_MAX.saturating_sub(out.len().saturating_sub(start));
        if is_printable(line) {
            out.put_slice(line.get(..room).unwrap_or(line).as_bytes());
        } else {
            out.extend(line.chars().take(room).map(printable));
        }
        out.put_slice(b"\r\n");
    }
}

fn printable(c: char) -> u8 {
    u8::try_from(c).ok().filter(|byte| (b' '..=b'~').contains(byte)).unwrap_or(b'?')
}

/// Appends `MAIL FROM:<path> …`; each parameter only if the next hop offers its extension.
pub fn write_mail(
    out: &mut BytesMut,
    path: &ReversePath,
    params: impl IntoIterator<Item = MailParam>,
) {
    append(out, format_args!("MAIL FROM:{path}"));
    for param in params {
        append(out, format_args!(" {param}"));
    }
    out.put_slice(b"\r\n");
}

/// Appends `RCPT TO:<path> …`.
pub fn write_rcpt(out: &mut BytesMut, path: &Address, params: impl IntoIterator<Item = RcptParam>) {
    out.put_slice(b"RCPT TO:<");
    out.put_slice(path.as_str().as_bytes());
    out.put_slice(b">");
    for param in params {
        append(out, format_args!(" {param}"));
    }
    out.put_slice(b"\r\n");
}

/// Appends the line before a chunk of so many octets, which may be the last one (RFC 3030 §2).
pub fn write_bdat(out: &mut BytesMut, (octets, is_last): (u64, bool)) {
    append(out, format_args!("BDAT {octets}{}\r\n", if is_last { " LAST" } else { "" }));
}

fn append(out: &mut BytesMut, words: std::fmt::Arguments<'_>) {
    // A buffer that grows takes all.
    out.write_fmt(words).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use mail::{BodyType, Notify};
    use proptest::prelude::*;

    use super::*;
    use crate::command::Command;

    #[test]
    fn a_reply_is_safe_on_the_wire() {
        let mut out = BytesMut::new();
        write_reply(&mut out, &Reply::new(550, "5.7.1".parse().ok(), "nö\r\n250 OK"));
        assert_eq!(out, "550-5.7.1 n??\r\n550 5.7.1 250 OK\r\n");
        out.clear();
        write_reply(&mut out, &Reply::new(250, None, "x".repeat(2000)));
        assert_eq!(out.len(), 512);
    }

    fn path() -> impl Strategy<Value = String> {
        let local = prop_oneof![
            "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\\.[a-z]{1,5}){0,2}",
            "\"([ a-z@.>,]|\\\\[ -~]){0,10}\"",
            "[äöüß]{1,8}"
        ];
        let domain = prop_oneof![
            "[a-zA-Z0-9]{1,10}(\\.[a-z]{1,8}){0,3}",
            Just("[127.0.0.1]".to_owned()),
            Just("[IPv6:::1]".to_owned()),
            Just("bücher.example".to_owned())
        ];
        (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn printed_and_parsed_is_the_same(
            sender in prop::option::of(path()),
            recipient in path(),
            size in prop::option::of(any::<u64>()),
            is_eight_bit in any::<bool>(),
            smtputf8 in any::<bool>(),
        ) {
            let sender = sender.map_or(ReversePath::Null, |text| ReversePath::Address(Address::parse(&text).unwrap()));
            let params = [
                size.map(MailParam::Size),
                is_eight_bit.then_some(MailParam::Body(BodyType::EightBitMime)),
                smtputf8.then_some(MailParam::SmtpUtf8),
            ];
            let mut out = BytesMut::new();
            write_mail(&mut out, &sender, params.into_iter().flatten());
            let line = out.strip_suffix(b"\r\n").unwrap();
            let Ok(Command::Mail { path, params }) = Command::parse(line) else { panic!("{line:?}") };
            prop_assert_eq!(path, sender);
            let found: Vec<_> = params.iter().map(|param| (param.keyword, param.value)).collect();
            let octets = size.map(|octets| octets.to_string());
            let mut want = Vec::new();
            want.extend(octets.as_deref().map(|octets| ("SIZE", Some(octets))));
            want.extend(is_eight_bit.then_some(("BODY", Some("8BITMIME"))));
            want.extend(smtputf8.then_some(("SMTPUTF8", None)));
            prop_assert_eq!(found, want);

            let recipient = Address::parse(&recipient).unwrap();
            let mut out = BytesMut::new();
            write_rcpt(&mut out, &recipient, [RcptParam::Notify(Notify::NEVER)]);
            let line = out.strip_suffix(b"\r\n").unwrap();
            let Ok(Command::Rcpt { path, params }) = Command::parse(line) else { panic!("{line:?}") };
            prop_assert_eq!(path, recipient);
            let found: Vec<_> = params.iter().map(|param| (param.keyword, param.value)).collect();
            prop_assert_eq!(found, [("NOTIFY", Some("NEVER"))]);
        }
    }
}
