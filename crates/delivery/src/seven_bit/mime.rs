//! Encodes the parts of a message that hold octets above 127, and leaves all others as they are (RFC 2045, RFC 6152 §3).

use mail_builder::encoders::base64::Base64Encoder;
use mail_builder::encoders::quoted_printable::QuotedPrintableEncoder;
use mail_parser::{Header, HeaderName, Message, MessageParser, MimeHeaders};

/// Parts within parts.
const DEPTH_MAX: u16 = 20;
const PARTS_MAX: u16 = 1000;
/// Text with more wide octets than one in so many is shorter in base64.
const WIDE_SHARE: usize = 6;
const LINE_END: &[u8] = b"\r\n";

/// Why a message stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoWay {
    #[error("it is signed ({0}), and a change would break the signature")]
    Signed(&'static str),
    #[error("octets above 127 stand in a header, which only SMTPUTF8 allows")]
    Header,
    #[error("it is not well-formed MIME: {0}")]
    Malformed(&'static str),
}

/// The message with all its octets below 128.
pub(super) fn converted(message: &[u8]) -> Result<Vec<u8>, NoWay> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 2);
    let mut converter = Converter { out: &mut out, parts_left: PARTS_MAX };
    converter.entity(message, Kind::Message, DEPTH_MAX)?;
    Ok(out)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With a header of its own, and perhaps signed.
    Message,
    /// Of a multipart.
    Part,
}

struct Converter<'a> {
    out: &'a mut Vec<u8>,
    parts_left: u16,
}

impl Converter<'_> {
    fn entity(&mut self, entity: &[u8], kind: Kind, depth_left: u16) -> Result<(), NoWay> {
        if entity.is_ascii() {
            self.out.extend_from_slice(entity);
            return Ok(());
        }
        let (head, body) = head(entity);
        if !head.is_ascii() {
            return Err(NoWay::Header);
        }
        let fields = MessageParser::default().parse_headers(head);
        let head = Head { text: head, fields };
        if kind == Kind::Message {
            head.may_change()?;
        }
        let content_type = head.fields.as_ref().and_then(MimeHeaders::content_type);
        let (main, sub) = content_type
            .map_or(("text", "plain"), |it| (it.ctype(), it.subtype().unwrap_or_default()));
        let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
        if depth_left == 0 {
            return Err(NoWay::Malformed("too many parts within parts"));
        }
        if is(main, "multipart") {
            if is(sub, "signed") || is(sub, "encrypted") {
                return Err(NoWay::Signed("multipart/signed or multipart/encrypted"));
            }
            let boundary = content_type.and_then(|it| it.attribute("boundary"));
            let boundary = boundary.ok_or(NoWay::Malformed("a multipart without a boundary"))?;
            head.write(self.out, "7bit")?;
            return self.parts(body, boundary.as_bytes(), depth_left - 1);
        }
        if is(main, "message") {
            if !is(sub, "rfc822") {
                return Err(NoWay::Malformed("a part of a type that must not be encoded"));
            }
            head.write(self.out, "7bit")?;
            return self.entity(body, Kind::Message, depth_left - 1);
        }
        let is_cryptographic = ["pkcs7-", "x-pkcs7-", "pgp-"]
            .iter()
            .any(|start| sub.get(..start.len()).is_some_and(|sub| is(sub, start)));
        if is(main, "application") && is_cryptographic {
            return Err(NoWay::Signed("S/MIME or OpenPGP"));
        }
        // Quoted-printable keeps lines, of which only text is made.
        let wide_max = if is(main, "text") { body.len() / WIDE_SHARE } else { 0 };
        self.leaf(&head, body, wide_max)
    }

    fn leaf(&mut self, head: &Head<'_>, body: &[u8], wide_max: usize) -> Result<(), NoWay> {
        const PGP: &[u8] = b"-----BEGIN PGP ";
        if body.windows(PGP.len()).any(|piece| piece == PGP) {
            return Err(NoWay::Signed("OpenPGP"));
        }
        let wide = body.iter().filter(|octet| !octet.is_ascii()).count();
        if wide <= wide_max {
            head.write(self.out, "quoted-printable")?;
            QuotedPrintableEncoder::new().preserve_line_breaks().encode_into(body, self.out);
        } else {
            head.write(self.out, "base64")?;
            Base64Encoder::new().wrap_lines().encode_into(body, self.out);
        }
        Ok(())
    }

    /// The parts of a multipart and what stands around them (RFC 2046 §5.1.1).
    fn parts(&mut self, body: &[u8], boundary: &[u8], depth_left: u16) -> Result<(), NoWay> {
        let mut rest = body;
        let mut is_within = false;
        loop {
            let delimiter = Delimiter::first(rest, boundary)
                .ok_or(NoWay::Malformed("a multipart without its end"))?;
            let (before, line, behind) = delimiter.cut(rest);
            if is_within {
                self.parts_left = self
                    .parts_left
                    .checked_sub(1)
                    .ok_or(NoWay::Malformed("more than 1000 parts"))?;
                self.entity(before, Kind::Part, depth_left)?;
            } else {
                self.outside(before)?;
            }
            self.out.extend_from_slice(line);
            if delimiter.is_last {
                return self.outside(behind);
            }
            (is_within, rest) = (true, behind);
        }
    }

    /// What belongs to no part and cannot be encoded.
    fn outside(&mut self, octets: &[u8]) -> Result<(), NoWay> {
        if !octets.is_ascii() {
            return Err(NoWay::Malformed("octets above 127 outside of all parts"));
        }
        self.out.extend_from_slice(octets);
        Ok(())
    }
}

/// Where a multipart's delimiter stands.
struct Delimiter {
    /// With the line end before it, which belongs to it.
    start: usize,
    /// Behind its own line end.
    end: usize,
    is_last: bool,
}

impl Delimiter {
    fn first(octets: &[u8], boundary: &[u8]) -> Option<Self> {
        let mut at = 0;
        while let Some(rest) = octets.get(at..).filter(|rest| !rest.is_empty()) {
            let (line, end) = match find(rest, LINE_END) {
                Some(length) => (rest.get(..length)?, at + length + LINE_END.len()),
                None => (rest, octets.len()),
            };
            let tail = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
            let is_last = match tail.map(<[u8]>::trim_ascii_end) {
                Some(b"") => Some(false),
                Some(b"--") => Some(true),
                _ => None,
            };
            if let Some(is_last) = is_last {
                return Some(Self { start: at.saturating_sub(LINE_END.len()), end, is_last });
            }
            at = end;
        }
        None
    }

    /// What stands before it, the delimiter, and what stands behind.
    fn cut<'a>(&self, octets: &'a [u8]) -> (&'a [u8], &'a [u8], &'a [u8]) {
        let (before, rest) = octets.split_at_checked(self.start).unwrap_or((octets, &[]));
        let (line, behind) =
            rest.split_at_checked(self.end.saturating_sub(self.start)).unwrap_or((rest, &[]));
        (before, line, behind)
    }
}

/// The header of an entity.
struct Head<'a> {
    /// With the empty line behind it.
    text: &'a [u8],
    /// None if there is no field.
    fields: Option<Message<'a>>,
}

impl Head<'_> {
    fn all(&self) -> &[Header<'_>] {
        self.fields.as_ref().map(Message::headers).unwrap_or_default()
    }

    /// Whether the message is MIME at all and nobody has signed it.
    fn may_change(&self) -> Result<(), NoWay> {
        const SIGNATURES: [&str; 3] =
            ["DKIM-Signature", "ARC-Message-Signature", "DomainKey-Signature"];
        for header in self.all() {
            let name = header.name.as_str();
            if let Some(signature) = SIGNATURES.iter().find(|it| it.eq_ignore_ascii_case(name)) {
                return Err(NoWay::Signed(signature));
            }
        }
        let is_mime = self.all().iter().any(|header| header.name == HeaderName::MimeVersion);
        if is_mime { Ok(()) } else { Err(NoWay::Malformed("it has no MIME-Version")) }
    }

    /// Writes the header with another encoding in place of the one it names.
    fn write(&self, out: &mut Vec<u8>, encoding: &str) -> Result<(), NoWay> {
        let mut named =
            self.all().iter().filter(|it| it.name == HeaderName::ContentTransferEncoding);
        let (first, second) = (named.next(), named.next());
        if second.is_some() {
            return Err(NoWay::Malformed("Content-Transfer-Encoding stands twice"));
        }
        let old = self.fields.as_ref().and_then(MimeHeaders::content_transfer_encoding);
        let is_identity = old.is_none_or(|old| {
            ["7bit", "8bit", "binary"].iter().any(|it| it.eq_ignore_ascii_case(old.trim()))
        });
        if !is_identity {
            return Err(NoWay::Malformed("an encoded part holds octets above 127"));
        }
        let end = self.text.len().saturating_sub(LINE_END.len());
        let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX).min(end);
        let (from, to) = match first {
            Some(field) => (at(field.offset_field), at(field.offset_end)),
            // Parts without a header of their own are text; multiparts need no encoding named.
            None if encoding == "7bit" => {
                out.extend_from_slice(self.text);
                return Ok(());
            }
            None => (end, end),
        };
        out.extend_from_slice(self.text.get(..from).unwrap_or_default());
        out.extend_from_slice(b"Content-Transfer-Encoding: ");
        out.extend_from_slice(encoding.as_bytes());
        out.extend_from_slice(LINE_END);
        out.extend_from_slice(self.text.get(to..).unwrap_or_default());
        Ok(())
    }
}

/// The header with the empty line behind it, and the body.
fn head(entity: &[u8]) -> (&[u8], &[u8]) {
    const EMPTY_LINE: &[u8] = b"\r\n\r\n";
    let end = if entity.starts_with(LINE_END) {
        LINE_END.len()
    } else {
        find(entity, EMPTY_LINE).map_or(entity.len(), |at| at + EMPTY_LINE.len())
    };
    entity.split_at_checked(end).unwrap_or((entity, &[]))
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|piece| piece == what)
}

#[cfg(test)]
mod tests {
    use mail_parser::PartType;

    use super::*;

    fn text(message: &str) -> Result<String, String> {
        let converted = converted(message.as_bytes()).map_err(|error| error.to_string())?;
        assert!(converted.is_ascii());
        Ok(String::from_utf8(converted).unwrap())
    }

    #[test]
    fn a_text_becomes_quoted_printable_and_keeps_its_other_octets() {
        let message = "Subject: =?utf-8?q?=C3=A4?=\r\nMIME-Version: 1.0\r\n\
            Content-Type: text/plain;\r\n\tcharset=utf-8\r\ncontent-transfer-encoding:\r\n 8bit\r\nX-Odd:  b \r\n\r\n\
            Gr\u{fc}\u{df}e = 1. And more.\r\n.\r\nend \r\n";
        let want = "Subject: =?utf-8?q?=C3=A4?=\r\nMIME-Version: 1.0\r\n\
            Content-Type: text/plain;\r\n\tcharset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\nX-Odd:  b \r\n\r\n\
            Gr=C3=BC=C3=9Fe =3D 1. And more.\r\n.\r\nend=20\r\n";
        assert_eq!(text(message), Ok(want.to_owned()));
    }

    #[test]
    fn only_parts_that_need_it_are_changed() {
        let part = |encoding: &str, body: &str| {
            format!("--b\r\nContent-Type: text/plain; charset=utf-8\r\n{encoding}\r\n{body}\r\n")
        };
        let inner = "--i \r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\u{e9}\u{e9}\r\n--i--\r\n";
        let whole = |first: &str, inner: &str, outer: &str| {
            format!(
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\nContent-Transfer-Encoding: {outer}\r\n\r\n\
                 preamble\r\n{first}{}--b\r\nContent-Type: multipart/related; boundary=i\r\n\r\n{inner}--b--\r\nepilogue\r\n",
                part("", "  plain =20 text ")
            )
        };
        let message = whole(
            &part("Content-Transfer-Encoding: 8bit\r\n", "na\u{ef}ve, and so on"),
            inner,
            "8bit",
        );
        let want = whole(
            &part("Content-Transfer-Encoding: quoted-printable\r\n", "na=C3=AFve, and so on"),
            "--i \r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nw6nDqQ==\r\n\r\n--i--\r\n",
            "7bit",
        );
        assert_eq!(text(&message), Ok(want));
    }

    #[test]
    fn a_message_within_is_converted_too() {
        let inner = |encoding: &str, body: &str| {
            format!("Subject: x\r\nMIME-Version: 1.0\r\n{encoding}\r\n{body}\r\n")
        };
        let outer = |encoding: &str, inner: &str| {
            format!(
                "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{inner}"
            )
        };
        let message = outer("8bit", &inner("", "one \u{e9} among many others"));
        let encoding = "Content-Transfer-Encoding: quoted-printable\r\n";
        let want = outer("7bit", &inner(encoding, "one =C3=A9 among many others"));
        assert_eq!(text(&message), Ok(want));
    }

    #[test]
    fn what_comes_out_says_what_went_in() {
        let body = "\u{442}\u{435}\u{43a}\u{441}\u{442} = \t\r\n\r\n".repeat(500)
            + &"long line \u{e9} ".repeat(200)
            + " \r\n";
        for kind in ["text/plain; charset=utf-8", "application/octet-stream"] {
            let message = format!("MIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n{body}");
            let converted = text(&message).unwrap();
            assert!(converted.lines().all(|line| line.len() <= 78));
            let parsed = MessageParser::default().parse(converted.as_bytes()).unwrap();
            let got = match &parsed.parts[0].body {
                PartType::Text(text) => text.as_bytes(),
                PartType::Binary(octets) => octets.as_ref(),
                other => panic!("{other:?}"),
            };
            assert_eq!(got, body.as_bytes(), "{kind}");
        }
    }

    #[test]
    fn what_cannot_be_converted_says_why() {
        let wide = "MIME-Version: 1.0\r\n";
        let cases = [
            (
                "DKIM-Signature: v=1\r\nMIME-Version: 1.0\r\n\r\n\u{e9}\r\n".to_owned(),
                "signed (DKIM-Signature)",
            ),
            (
                format!("arc-message-signature: i=1\r\n{wide}\r\n\u{e9}\r\n"),
                "signed (ARC-Message-Signature)",
            ),
            (
                format!(
                    "{wide}Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\u{e9}\r\n--b--\r\n"
                ),
                "multipart/signed",
            ),
            (format!("{wide}Content-Type: application/pkcs7-mime\r\n\r\n\u{e9}\r\n"), "S/MIME"),
            (format!("{wide}\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\u{e9}\r\n"), "OpenPGP"),
            ("Subject: x\r\n\r\n\u{e9}\r\n".to_owned(), "no MIME-Version"),
            (format!("{wide}Subject: \u{e9}\r\n\r\nx\r\n"), "stand in a header"),
            (format!("{wide}Subject: \u{e9}"), "stand in a header"),
            (
                format!("{wide}Content-Type: multipart/mixed\r\n\r\n\u{e9}\r\n"),
                "without a boundary",
            ),
            (
                format!(
                    "{wide}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\u{e9}\r\n"
                ),
                "without its end",
            ),
            (
                format!(
                    "{wide}Content-Type: multipart/mixed; boundary=b\r\n\r\n\u{e9}\r\n--b\r\n\r\nx\r\n--b--\r\n"
                ),
                "outside of all parts",
            ),
            (
                format!("{wide}Content-Type: message/global\r\n\r\n\u{e9}\r\n"),
                "must not be encoded",
            ),
            (
                format!("{wide}Content-Transfer-Encoding: base64\r\n\r\n\u{e9}\r\n"),
                "an encoded part",
            ),
            (
                format!(
                    "{wide}Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{e9}\r\n"
                ),
                "stands twice",
            ),
        ];
        for (message, want) in cases {
            let error = text(&message).unwrap_err();
            assert!(error.contains(want), "{message}: {error}");
        }
        let mut deep = "\u{e9}\r\n".to_owned();
        for _ in 0..=DEPTH_MAX {
            deep = format!("{wide}Content-Type: message/rfc822\r\n\r\n{deep}");
        }
        assert!(text(&deep).unwrap_err().contains("parts within parts"));
        let many = "--b\r\n\r\nx\r\n".repeat(usize::from(PARTS_MAX) + 1);
        let many = format!(
            "{wide}Content-Type: multipart/mixed; boundary=b\r\n\r\n{many}--b\r\n\r\n\u{e9}\r\n--b--\r\n"
        );
        assert!(text(&many).unwrap_err().contains("more than 1000"));
    }
}
