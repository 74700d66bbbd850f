//! The text of a message as it goes on the wire.

/// Makes every line end CRLF: an LF alone gets its CR, a CR alone gets its LF.
pub(crate) fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(content.len() + content.len() / 32 + 2);
    let mut octets = content.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' => {
                octets.next_if_eq(&b'\n');
                text.extend_from_slice(b"\r\n");
            }
            b'\n' => text.extend_from_slice(b"\r\n"),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_in_crlf() {
        for (content, want) in [
            ("", ""),
            ("a\nb\n", "a\r\nb\r\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\rb\r\r\n\n", "a\r\nb\r\n\r\n\r\n"),
            ("no end", "no end"),
        ] {
            assert_eq!(with_crlf(content.as_bytes()), want.as_bytes(), "{content:?}");
        }
    }
}
