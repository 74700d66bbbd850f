//! SMTP replies.

use std::fmt;

use crate::status::EnhancedStatus;

/// A reply as a server gives it and a client keeps it.
///
/// The text is what a person reads: without code, enhanced status and line ends; the lines of a
/// multi-line reply are joined by `\n`. It may come from an enemy: it holds no control character
/// other than that `\n` (see [`Reply::new`]). RFC 5321 §4.2, RFC 2034.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reply {
    code: u16,
    status: Option<EnhancedStatus>,
    text: Box<str>,
}

impl Reply {
    /// Makes a reply; control characters in `text` other than `\n` become `?`.
    pub fn new(code: u16, status: Option<EnhancedStatus>, text: impl Into<String>) -> Self {
        let text = text.into();
        let is_bad = |c: char| c.is_control() && c != '\n';
        // Without a way out in the middle the compiler compares many octets at once.
        let is_plain = text.bytes().fold(true, |is, byte| is & (b' '..=b'~').contains(&byte));
        let is_good = is_plain || !text.contains(is_bad);
        let text = if is_good { text } else { text.replace(is_bad, "?") };
        Self { code, status, text: text.into_boxed_str() }
    }

    /// The three-digit code.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status, where there was one.
    pub const fn status(&self) -> Option<EnhancedStatus> {
        self.status
    }

    /// The text, lines joined by `\n`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The enhanced status, or the plainest one that the code's class allows.
    pub fn status_or_default(&self) -> EnhancedStatus {
        self.status.unwrap_or(match self.code / 100 {
            2 | 3 => EnhancedStatus::new(2, 0, 0),
            5 => EnhancedStatus::new(5, 0, 0),
            _ => EnhancedStatus::new(4, 0, 0),
        })
    }

    /// Whether the command was done (2yz).
    pub const fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// Whether the answer will stay no (5yz).
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
}

impl fmt::Display for Reply {
    /// One line: `550 5.1.1 no such user`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(out, " {status}")?;
        }
        for line in self.text.split('\n').filter(|line| !line.is_empty()) {
            write!(out, " {line}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}
