//! What somebody may have meant.

/// The candidate nearest to `word`, if one is near enough to be meant: a third of its letters may differ.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let far = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= far || is_part(word, candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `message_max` for `message_octets_max`: the same words, some left out.
fn is_part(word: &str, candidate: &str) -> bool {
    let mut words = candidate.split('_');
    word.len() > 3 && word.split('_').all(|part| words.any(|word| word == part))
}

/// Letters to insert, remove, replace or swap with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (line, letter) in from.to_lowercase().chars().enumerate() {
        let mut next = vec![line + 1];
        let mut left = line + 1;
        for (column, other) in to.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
            let replaced = at(&row, column) + usize::from(letter != *other);
            let mut least = replaced.min(left + 1).min(at(&row, column + 1) + 1);
            let is_swap = column > 0 && last == Some(*other) && to.get(column - 1) == Some(&letter);
            if is_swap {
                least = least.min(at(&before, column - 1).saturating_add(1));
            }
            next.push(least);
            left = least;
        }
        before = std::mem::replace(&mut row, next);
        last = Some(letter);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, want) in [
            ("", "", 0),
            ("", "ab", 2),
            ("path", "pth", 1),
            ("path", "paht", 1),
            ("kitten", "sitting", 3),
            ("Path", "path", 0),
        ] {
            assert_eq!(distance(from, to), want, "{from} {to}");
            assert_eq!(distance(to, from), want, "{to} {from}");
        }
    }

    #[test]
    fn only_the_near_is_named() {
        let keys = ["path", "messages_max", "free_octets_min"];
        for (word, want) in [
            ("pathh", Some("path")),
            ("message_max", Some("messages_max")),
            ("free_min", Some("free_octets_min")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys), want, "{word}");
        }
    }
}
