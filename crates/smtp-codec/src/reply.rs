//! Replies as a client reads them.

use std::borrow::Cow;

use bytes::Bytes;
use mail::{EnhancedStatus, Reply};

use crate::line::{LineError, LineReader};
use crate::text::split_once;

/// Reads replies: three digits on each line, the same on all lines of one reply (RFC 5321 §4.2).
///
/// After an error nothing behind it can be trusted: close the connection.
#[derive(Debug)]
pub struct ReplyReader {
    lines: LineReader,
    begun: Option<Begun>,
}

/// The lines of a multi-line reply so far.
#[derive(Debug)]
struct Begun {
    code: u16,
    status: Option<EnhancedStatus>,
    text: String,
    octets: usize,
}

/// Why what came is not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// No code, or another on a later line.
    #[error("what came is not an SMTP reply")]
    Malformed,
    /// The line is at fault.
    #[error("what came is not an SMTP reply")]
    Line(#[source] LineError),
    /// More text than any reply needs.
    #[error("the reply is longer than 16 KiB")]
    TooLong,
}

/// RFC 5321 §4.5.3.1.5 says 512; some servers write longer ones.
const LINE_OCTETS_MAX: usize = 2048;
const TEXT_OCTETS_MAX: usize = 16 * 1024;
/// Whole lines are kept up to here: the text may be kept for each of many recipients.
const TEXT_OCTETS_KEPT_MAX: usize = 4 * 1024;

impl ReplyReader {
    /// A reader at the start of a reply.
    pub fn new() -> Self {
        Self { lines: LineReader::new(LINE_OCTETS_MAX), begun: None }
    }

    /// Takes the next whole reply from `input`; none when `input` is used up.
    pub fn read(&mut self, input: &mut Bytes) -> Option<Result<Reply, ReplyError>> {
        loop {
            let line = match self.lines.read(input)? {
                Ok(line) => line,
                Err(error) => return Some(Err(ReplyError::Line(error))),
            };
            match self.take(&line) {
                Ok(Some(reply)) => return Some(Ok(reply)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Whether nothing of a next reply has come.
    pub const fn is_between_replies(&self) -> bool {
        self.begun.is_none()
    }

    fn take(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let (code, is_last, text) = split(line).ok_or(ReplyError::Malformed)?;
        // Looking for what is not UTF-8 takes long, and there hardly ever is any.
        let text = match str::from_utf8(text) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(text),
        };
        let Some(mut begun) = self.begun.take() else {
            let (status, text) = status(code, &text);
            let text = text.to_owned();
            if is_last {
                return Ok(Some(Reply::new(code, status, text)));
            }
            let octets = text.len();
            self.begun = Some(Begun { code, status, text, octets });
            return Ok(None);
        };
        if begun.code != code {
            return Err(ReplyError::Malformed);
        }
        let (again, rest) = status(code, &text);
        let line = if again == begun.status { rest } else { &text };
        begun.octets = begun.octets.saturating_add(text.len()).saturating_add(1);
        if begun.text.len().saturating_add(line.len()) < TEXT_OCTETS_KEPT_MAX {
            begun.text.push('\n');
            begun.text.push_str(line);
        }
        if begun.octets > TEXT_OCTETS_MAX {
            return Err(ReplyError::TooLong);
        }
        if is_last {
            return Ok(Some(Reply::new(begun.code, begun.status, begun.text)));
        }
        self.begun = Some(begun);
        Ok(None)
    }
}

impl Default for ReplyReader {
    fn default() -> Self {
        Self::new()
    }
}

/// Splits a line into code, whether it is the last, and text.
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (&[first @ b'2'..=b'5', second @ b'0'..=b'5', third @ b'0'..=b'9'], rest) =
        line.split_first_chunk::<3>()?
    else {
        return None;
    };
    let digit = |byte: u8| u16::from(byte.wrapping_sub(b'0'));
    let code = digit(first) * 100 + digit(second) * 10 + digit(third);
    match rest {
        [] => Some((code, true, rest)),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

/// Takes an enhanced status off the front of a text, if its class is the code's (RFC 2034 §4).
fn status(code: u16, text: &str) -> (Option<EnhancedStatus>, &str) {
    let (word, rest) = split_once(text, b' ').unwrap_or((text, ""));
    let status = word.parse().ok();
    match status.filter(|status: &EnhancedStatus| u16::from(status.class()) == code / 100) {
        Some(status) => (Some(status), rest),
        None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::write::write_reply;

    fn read(text: &[u8]) -> Vec<Result<Reply, ReplyError>> {
        let mut whole = Bytes::copy_from_slice(text);
        let mut reader = ReplyReader::new();
        std::iter::from_fn(|| reader.read(&mut whole)).collect()
    }

    fn status(text: &str) -> Option<EnhancedStatus> {
        text.parse().ok()
    }

    #[test]
    fn replies_are_read() {
        for (text, want) in [
            ("250 OK\r\n", Reply::new(250, None, "OK")),
            ("250\r\n", Reply::new(250, None, "")),
            ("250 2.1.5 Fine\r\n", Reply::new(250, status("2.1.5"), "Fine")),
            ("250 5.1.5 Odd\r\n", Reply::new(250, None, "5.1.5 Odd")),
            (
                "550-5.1.1 no\r\n550 5.1.1 such user\r\n",
                Reply::new(550, status("5.1.1"), "no\nsuch user"),
            ),
            ("550-5.1.1 no\r\n550 such\r\n", Reply::new(550, status("5.1.1"), "no\nsuch")),
            ("250-a\r\n250\r\n", Reply::new(250, None, "a\n")),
            ("250 a\tb\x1b[0m\r\n", Reply::new(250, None, "a?b?[0m")),
        ] {
            assert_eq!(read(text.as_bytes()), [Ok(want)], "{text:?}");
        }
    }

    #[test]
    fn others_are_not_replies() {
        for text in [
            "ok\r\n",
            "\r\n",
            "25 OK\r\n",
            "2500 OK\r\n",
            "250_OK\r\n",
            "150 OK\r\n",
            "650 OK\r\n",
            "260 OK\r\n",
            " 250 OK\r\n",
            "250-a\r\n251 b\r\n",
            "250-a\r\nok\r\n",
        ] {
            assert_eq!(read(text.as_bytes()), [Err(ReplyError::Malformed)], "{text:?}");
        }
        assert_eq!(read(b"250 OK\n"), [Err(ReplyError::Line(LineError::BareLf))]);
        let endless = [&b"250 "[..], &[b'x'; 5000]].concat();
        assert_eq!(read(&endless), [Err(ReplyError::Line(LineError::TooLong))]);
        let long = "250-0123456789\r\n".repeat(1000) + "250 end\r\n";
        assert!(read(long.as_bytes())[0].as_ref().unwrap().text().len() <= TEXT_OCTETS_KEPT_MAX);
        let many = "250-0123456789\r\n".repeat(2000);
        assert_eq!(read(many.as_bytes())[0], Err(ReplyError::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn printed_and_read_is_the_same(
            code in 200_u16..556,
            detail in prop::option::of(0_u16..1000),
            lines in prop::collection::vec("[!-~][ -~]{0,60}[!-~]", 1..5),
            cut in 0_usize..400,
        ) {
            prop_assume!(code / 10 % 10 < 6);
            let class = u8::try_from(code / 100).unwrap();
            let status = detail.filter(|_| class != 3).map(|detail| EnhancedStatus::new(class, 1, detail));
            // A text that looks like a status would be read as one.
            prop_assume!(lines.iter().all(|line| !line.as_bytes()[0].is_ascii_digit()));
            let reply = Reply::new(code, status, lines.join("\n"));
            let mut wire = BytesMut::new();
            write_reply(&mut wire, &reply);
            prop_assert_eq!(read(&wire), [Ok(reply.clone())]);

            let mut reader = ReplyReader::new();
            let mut head = wire.freeze();
            let mut tail = head.split_off(cut.min(head.len()));
            let found = reader.read(&mut head).or_else(|| reader.read(&mut tail));
            prop_assert_eq!(found, Some(Ok(reply)));
            prop_assert!(reader.is_between_replies());
        }
    }
}
