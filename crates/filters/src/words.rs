//! A filter's words, made fit for replies and logs.

/// More of a filter's words than this stands in no log.
const SHOWN_CHARS_MAX: usize = 200;
/// A line of a reply with its code and status is at most 512 octets (RFC 5321 §4.5.3.1.5).
const REPLY_LINE_OCTETS_MAX: usize = 480;
/// A reply has no more lines.
const REPLY_LINES_MAX: usize = 20;

/// A filter's words for a log.
pub(crate) fn shown(words: &str) -> String {
    telemetry::shown(words, SHOWN_CHARS_MAX)
}

/// The text of a reply: ASCII, since a client without SMTPUTF8 may read it (RFC 6531 §3.7.4.1), in lines that are not
/// too long.
pub(crate) fn reply_text(words: &str) -> String {
    let clean = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    let line =
        |line: &str| -> String { line.chars().take(REPLY_LINE_OCTETS_MAX).map(clean).collect() };
    let lines = words.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.take(REPLY_LINES_MAX).map(line).collect();
    if lines.is_empty() { "refused by a filter".to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_in_their_line() {
        assert_eq!(shown("a\r\n250 b\0\u{1b}[2J\u{85}\u{202e}"), "a??250 b??[2J??");
        assert_eq!(shown(&"é".repeat(201)), "é".repeat(200) + "…");
        assert_eq!(reply_text("one\r\ntwo\tü\r\n\r\n"), "one\ntwo??");
        assert_eq!(reply_text("\r\n"), "refused by a filter");
        assert_eq!(reply_text(&"x".repeat(1000)).len(), REPLY_LINE_OCTETS_MAX);
        assert_eq!(reply_text(&"x\n".repeat(1000)).lines().count(), REPLY_LINES_MAX);
    }
}
