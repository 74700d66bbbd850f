//! Words of others made fit for a log: in one line, without anything that moves the cursor.

use std::error::Error;
use std::fmt;

/// Whether a character ends a line or turns the direction of text in some viewer.
pub fn garbles(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What is shown of words: at most `chars_max` characters, each that garbles as `?`.
pub fn shown(words: &str, chars_max: usize) -> String {
    let clean = |c: char| if garbles(c) { '?' } else { c };
    let mut short: String = words.chars().take(chars_max).map(clean).collect();
    if words.chars().nth(chars_max).is_some() {
        short.push('…');
    }
    short
}

/// An error with its causes, in one line; a cause that the words before it end in is not told twice.
#[derive(Debug)]
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = self.0.to_string();
        out.write_str(&before)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let words = cause.to_string();
            if !before.ends_with(&words) {
                write!(out, ": {words}")?;
                before = words;
            }
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_in_their_line() {
        let words = "a\r\n250 b\0\u{1b}[2J\u{85}\u{202e}\u{2066}\u{fc}";
        assert_eq!(shown(words, 80), "a??250 b??[2J???\u{fc}");
        assert_eq!(shown(&"é".repeat(81), 80), "é".repeat(80) + "…");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn each_cause_is_told_once() {
        let told = |words, cause: Option<Told>| Told(words, cause.map(Box::new));
        let error = told("no file: gone", Some(told("gone", Some(told("why", None)))));
        assert_eq!(Causes(&error).to_string(), "no file: gone: why");
    }
}
