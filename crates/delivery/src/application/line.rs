//! What an application wrote, as one line.

/// The first line of what an application wrote, fit for a reply.
pub(super) fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    clean(text.lines().map(str::trim).find(|line| !line.is_empty()))
}

/// The last one.
pub(super) fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    clean(text.lines().map(str::trim).rfind(|line| !line.is_empty()))
}

/// Words that somebody else chose, fit for a reply and the log.
pub(super) fn clean(line: Option<&str>) -> String {
    const CHARS_MAX: usize = 200;
    let line = line.unwrap_or_default();
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect()
}
