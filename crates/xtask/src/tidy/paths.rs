//! Paths such as `crate::a::{b, c::D}` in a text, each written out.

/// A path: its segments, the first of which is `crate`, `super`, `self` or a name of the caller's.
pub(crate) type Path = Vec<String>;

/// Every path in `text` that begins with one of `roots`.
pub(crate) fn paths(text: &str, roots: &[&str]) -> Vec<Path> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut found = Vec::new();
    for root in roots {
        let start = format!("{root}::");
        for (at, _) in code.match_indices(&start) {
            let before = code.get(..at).and_then(|text| text.chars().next_back());
            let is_inside = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if !is_inside {
                let rest = code.get(at + start.len()..).unwrap_or_default();
                tree(&mut rest.chars().peekable(), &mut vec![(*root).to_owned()], &mut found);
            }
        }
    }
    found
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Reads what follows a `::`: a name, `*`, or a list in braces.
fn tree(letters: &mut Letters<'_>, path: &mut Path, found: &mut Vec<Path>) {
    let depth = path.len();
    spaces(letters);
    if letters.next_if_eq(&'{').is_some() {
        loop {
            spaces(letters);
            match letters.peek() {
                None => break,
                Some('}') => {
                    letters.next();
                    break;
                }
                Some(',') => {
                    letters.next();
                }
                Some(_) => {
                    let before = letters.clone().count();
                    tree(letters, path, found);
                    path.truncate(depth);
                    if letters.clone().count() == before {
                        letters.next();
                    }
                }
            }
        }
        return;
    }
    let mut name = String::new();
    while let Some(letter) = letters.next_if(|c| c.is_alphanumeric() || *c == '_') {
        name.push(letter);
    }
    path.push(name);
    let mut ahead = letters.clone();
    if ahead.next() == Some(':') && ahead.next() == Some(':') {
        *letters = ahead;
        tree(letters, path, found);
    } else {
        found.push(path.clone());
    }
}

fn spaces(letters: &mut Letters<'_>) {
    while letters.next_if(|c| c.is_whitespace()).is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_out() {
        let text = "use crate::a::{b, c::{D, E}};\n// crate::no::X\nlet x = crate::f::g();\nmy_crate::h::I";
        let found: Vec<_> = paths(text, &["crate"]).iter().map(|path| path.join("::")).collect();
        assert_eq!(found, ["crate::a::b", "crate::a::c::D", "crate::a::c::E", "crate::f::g"]);
    }
}
