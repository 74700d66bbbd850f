//! Lines, replies and payload.

use bytes::{Bytes, BytesMut};
use mail::{Address, Reply};
use smtp_codec::{
    BdatDecoder, Command, DataDecoder, Decoded, DotStuffer, Extension, ExtensionSet, HeaderScan,
    LineScan, MailParam, RcptParam, ReplyReader, write_mail, write_rcpt, write_reply,
};

use crate::cut::cut;

const EXTENSIONS: [Extension; 12] = [
    Extension::Size,
    Extension::EightBitMime,
    Extension::SmtpUtf8,
    Extension::Chunking,
    Extension::BinaryMime,
    Extension::Dsn,
    Extension::Auth,
    Extension::RequireTls,
    Extension::Limits,
    Extension::FutureRelease,
    Extension::DeliverBy,
    Extension::MtPriority,
];

/// An address is what it was read from, on one line, and is read again as itself.
pub(crate) fn address(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(address) = Address::parse(text) else { return };
    assert!(!address.as_str().bytes().any(|octet| octet.is_ascii_control()), "{address:?}");
    assert_eq!(Address::parse(address.as_str()).as_ref(), Ok(&address));
}

/// A chunk is as long as was said, and what follows is left alone.
pub(crate) fn bdat(input: &[u8]) {
    let (size, pieces) = input.split_at(input.len().min(1));
    let size = size.first().copied().map_or(0, u64::from);
    let (rest, pieces) = cut(pieces);
    let (mut decoder, mut payload, mut left) = (BdatDecoder::new(size), Vec::new(), Vec::new());
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(octets) = decoder.decode(&mut piece) {
            assert!(!octets.is_empty());
            payload.extend_from_slice(&octets);
        }
        left.extend_from_slice(&piece);
    }
    let taken = usize::from(u8::try_from(size).unwrap_or(u8::MAX)).min(rest.len());
    assert_eq!((payload.as_slice(), left.as_slice()), rest.split_at(taken));
    assert_eq!(decoder.is_whole(), payload.len() as u64 == size);
}

/// What MAIL and RCPT ask for is the same after it was passed on.
pub(crate) fn command(input: &[u8]) {
    let all: ExtensionSet = EXTENSIONS.into_iter().collect();
    match Command::parse(input) {
        Ok(Command::Mail { path, params }) => {
            let Ok(asked) = params.mail(all).collect::<Result<Vec<MailParam>, _>>() else { return };
            let mut line = BytesMut::new();
            write_mail(&mut line, &path, asked.clone());
            let line = one_line(&line);
            let Ok(Command::Mail { path: again, params }) = Command::parse(line) else {
                panic!("not read again: {line:?}");
            };
            assert_eq!((params.mail(all).collect(), again), (Ok(asked), path));
        }
        Ok(Command::Rcpt { path, params }) => {
            let Ok(asked) = params.rcpt(all).collect::<Result<Vec<RcptParam>, _>>() else { return };
            // An address that is too long as it is written is not passed on.
            let passed_on = |param| match param {
                RcptParam::Original(original) => RcptParam::original(&original),
                param @ RcptParam::Notify(_) => Some(param),
            };
            let asked: Vec<RcptParam> = asked.into_iter().filter_map(passed_on).collect();
            let mut line = BytesMut::new();
            write_rcpt(&mut line, &path, asked.clone());
            let line = one_line(&line);
            let Ok(Command::Rcpt { path: again, params }) = Command::parse(line) else {
                panic!("not read again: {line:?}");
            };
            assert_eq!((params.rcpt(all).collect(), again), (Ok(asked), path));
        }
        Ok(Command::Ehlo(name) | Command::Helo(name)) => {
            assert!(!name.bytes().any(|octet| octet.is_ascii_control()), "{name:?}");
        }
        _ => {}
    }
}

fn one_line(line: &[u8]) -> &[u8] {
    let Some(line) = line.strip_suffix(b"\r\n") else { panic!("no line: {line:?}") };
    assert!(!line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "{line:?}");
    line
}

/// The scans of content do not mind how it is cut.
pub(crate) fn content(input: &[u8]) {
    let (whole, pieces) = cut(input);
    let mut headers = [HeaderScan::new(), HeaderScan::new()];
    let mut lines = [LineScan::new(40), LineScan::new(40)];
    headers[0].scan(whole);
    lines[0].scan(whole);
    for piece in pieces {
        headers[1].scan(piece);
        lines[1].scan(piece);
    }
    let [one, other] = headers.map(|it| (it.octets(), it.received(), it.is_ended()));
    assert_eq!(one, other);
    assert!(one.0 <= whole.len() as u64);
    // Where a CR or LF stands alone, what a line is depends on the cut.
    let [one, other] = lines.map(|it| {
        let is_long = it.has_long_line() && !it.has_bare_end();
        (it.has_bare_end(), is_long, it.has_nul())
    });
    assert_eq!(one, other);
    assert_eq!(one.2, whole.contains(&0));
}

/// The end of DATA is where it is, however it is cut; what is sent on holds no other end, and comes out the same.
pub(crate) fn data(input: &[u8]) {
    let (whole, pieces) = cut(input);
    let payload = unstuffed(&[whole]);
    assert_eq!(unstuffed(&pieces), payload);
    let mut stuffer = DotStuffer::new();
    let mut wire = BytesMut::new();
    for piece in &pieces {
        wire.extend_from_slice(&stuffer.stuff(Bytes::copy_from_slice(piece)));
    }
    wire.extend_from_slice(stuffer.end());
    let (again, left) = unstuffed(&[&wire]);
    assert_eq!(left, Some(0), "the end is the last of it");
    let again = again.as_slice();
    let is_same =
        [&b""[..], b"\n", b"\r\n"].iter().any(|end| again.strip_suffix(*end) == Some(whole));
    assert!(is_same, "{again:?} of {whole:?}");
}

/// The payload, and how much lies behind its end if there was one.
fn unstuffed(pieces: &[&[u8]]) -> (Vec<u8>, Option<usize>) {
    let (mut decoder, mut payload) = (DataDecoder::new(), Vec::new());
    let mut left = None;
    for piece in pieces {
        if let Some(left) = &mut left {
            *left += piece.len();
            continue;
        }
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(decoded) = decoder.decode(&mut piece) {
            match decoded {
                Decoded::Payload(octets) => payload.extend_from_slice(&octets),
                Decoded::End => {
                    left = Some(piece.len());
                    break;
                }
            }
        }
    }
    (payload, left)
}

/// Replies are the same however they are cut, bounded, and are written as whole lines.
pub(crate) fn reply(input: &[u8]) {
    let (whole, pieces) = cut(input);
    let replies = read(&[whole]);
    assert_eq!(read(&pieces), replies);
    for reply in replies {
        let mut wire = BytesMut::new();
        write_reply(&mut wire, &reply);
        assert!(wire.ends_with(b"\r\n"));
        assert!(wire.len() <= 128 * 1024, "{} octets", wire.len());
        assert!(wire.iter().all(|octet| octet.is_ascii_graphic() || b" \r\n".contains(octet)));
    }
}

fn read(pieces: &[&[u8]]) -> Vec<Reply> {
    let (mut reader, mut replies) = (ReplyReader::new(), Vec::new());
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(read) = reader.read(&mut piece) {
            // Behind an error nothing is read: the connection is closed.
            let Ok(reply) = read else { return replies };
            replies.push(reply);
        }
    }
    replies
}
