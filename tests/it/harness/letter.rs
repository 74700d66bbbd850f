//! Messages that can be told apart, and the trace header that a relay puts before them.

use std::fmt::Write as _;

/// A message that carries `id` in a header and has about `octets` octets in all.
pub(crate) fn letter(id: &str, octets: usize) -> Vec<u8> {
    let mut text = format!(
        "From: Ana <ana@sender.example>\r\nTo: Bo <bo@receiver.example>\r\n\
         Date: Thu, 20 Aug 2026 10:00:00 +0000\r\nMessage-ID: <{id}@sender.example>\r\n\
         Subject: letter {id}\r\nX-Letter: {id}\r\n\r\n"
    );
    let mut line = 0u32;
    while text.len() < octets {
        // The line's number and the id in it: a mixed-up body cannot pass for a right one.
        write!(text, "{line:08} {id} the quick brown fox jumps over the lazy dog\r\n")
            .expect("a string that grows");
        line += 1;
    }
    text.push_str("The end.\r\n");
    text.into_bytes()
}

/// The id that [`letter`] put into a message.
pub(crate) fn letter_id(content: &[u8]) -> Option<String> {
    // The header is at the top, whatever the size of the rest.
    let text = String::from_utf8_lossy(&content[..content.len().min(4096)]);
    // A report quotes the header of another letter in its body.
    let text = text.split("\r\n\r\n").next()?;
    let line = text.lines().find_map(|line| line.strip_prefix("X-Letter: "))?;
    Some(line.trim().to_owned())
}

/// The first header field (with its folded lines) and everything behind it.
#[track_caller]
pub(crate) fn split_first_field(content: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    loop {
        let rest = &content[end..];
        let line = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line that ends") + 2;
        end += line;
        if !matches!(content.get(end), Some(b' ' | b'\t')) {
            return content.split_at(end);
        }
    }
}

/// Fails unless a message is `original` behind one `Received` field, octet for octet.
#[track_caller]
pub(crate) fn assert_relayed(name: &str, content: &[u8], original: &[u8]) {
    let split = content.len().saturating_sub(original.len());
    let (trace, rest) = content.split_at(split);
    let is_one_field = trace.starts_with(b"Received: ")
        && trace.ends_with(b"\r\n")
        && trace
            .split_inclusive(|&octet| octet == b'\n')
            .skip(1)
            .all(|line| line.starts_with(b"\t"));
    if !is_one_field {
        // Shows the first difference, whatever the lengths.
        assert_same(name, behind_trace(content), original);
    }
    assert_same(name, rest, original);
}

/// What stands behind the one `Received` field that a relay must have put first.
#[track_caller]
pub(crate) fn behind_trace(content: &[u8]) -> &[u8] {
    let (field, rest) = split_first_field(content);
    assert!(field.starts_with(b"Received: "), "no trace header: {}", show(content));
    rest
}

/// Everything behind all the `Received` fields at the top, and how many there were.
pub(crate) fn behind_all_traces(mut content: &[u8]) -> (usize, &[u8]) {
    let mut count = 0;
    while content.starts_with(b"Received:") {
        content = split_first_field(content).1;
        count += 1;
    }
    (count, content)
}

/// Octets for a failure message: printable, and not too many of them.
pub(crate) fn show(octets: &[u8]) -> String {
    let part = &octets[..octets.len().min(600)];
    format!("{} octets: {}", octets.len(), part.escape_ascii())
}

/// Fails with the first difference when two messages are not the same octets.
#[track_caller]
pub(crate) fn assert_same(name: &str, got: &[u8], want: &[u8]) {
    if got == want {
        return;
    }
    let place = got.iter().zip(want).position(|(a, b)| a != b).unwrap_or(got.len().min(want.len()));
    let from = place.saturating_sub(60);
    panic!(
        "{name}: differs at octet {place} (got {} octets, want {})\n got: …{}\nwant: …{}",
        got.len(),
        want.len(),
        got[from..got.len().min(place + 60)].escape_ascii(),
        want[from..want.len().min(place + 60)].escape_ascii(),
    );
}
