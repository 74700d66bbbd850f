//! Looks into the short texts of commands and replies.
//!
//! They go octet by octet: in so few octets a vectored search, as `str::split` makes one, costs more than it saves.

/// Splits `text` at the first `octet`, which is ASCII.
pub(crate) fn split_once(text: &str, octet: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == octet)?;
    Some((text.get(..at)?, text.get(at.saturating_add(1)..)?))
}

/// What stands between spaces.
pub(crate) fn words(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let start = text.bytes().position(|byte| byte != b' ')?;
        let word = text.get(start..)?;
        let end = word.bytes().position(|byte| byte == b' ').unwrap_or(word.len());
        let (word, rest) = word.split_at_checked(end)?;
        text = rest;
        Some(word)
    })
}

/// Whether all is printable ASCII, the space included.
pub(crate) fn is_printable(text: &str) -> bool {
    // Without a way out in the middle the compiler compares many octets at once.
    text.bytes().fold(true, |is, byte| is & (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn the_standard_library_says_the_same(text in "[aä =~\t\u{7f}]{0,12}") {
            prop_assert_eq!(split_once(&text, b'='), text.split_once('='));
            let want: Vec<_> = text.split(' ').filter(|word| !word.is_empty()).collect();
            prop_assert_eq!(words(&text).collect::<Vec<_>>(), want);
            prop_assert_eq!(is_printable(&text), text.chars().all(|c| (' '..='~').contains(&c)));
        }
    }
}
