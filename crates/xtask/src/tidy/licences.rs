//! Whether a licence expression (SPDX) can be met with licences that are allowed.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::slice::Iter;

/// Whether `expression` can be met; what is no expression cannot.
pub(crate) fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // Old manifests write `MIT/Apache-2.0`.
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: words.iter().peekable(), allowed };
    reader.either() == Some(true) && reader.words.peek().is_none()
}

struct Reader<'a> {
    words: Peekable<Iter<'a, &'a str>>,
    allowed: &'a BTreeSet<String>,
}

/// Each part is none if it is no expression.
impl Reader<'_> {
    fn either(&mut self) -> Option<bool> {
        let mut is_met = self.both()?;
        while self.takes("OR") {
            is_met |= self.both()?;
        }
        Some(is_met)
    }

    fn both(&mut self) -> Option<bool> {
        let mut is_met = self.one()?;
        while self.takes("AND") {
            is_met &= self.one()?;
        }
        Some(is_met)
    }

    fn one(&mut self) -> Option<bool> {
        if self.takes("(") {
            let is_met = self.either()?;
            return self.takes(")").then_some(is_met);
        }
        let mut name = (*self.words.next()?).to_owned();
        if self.takes("WITH") {
            name.extend([" WITH ", self.words.next()?]);
        }
        Some(self.allowed.contains(&name))
    }

    fn takes(&mut self, word: &str) -> bool {
        self.words.next_if(|next| **next == word).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_as_spdx_says() {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
        let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
        for (expression, want) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("Unlicense/MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("GPL-3.0-only AND MIT OR ISC", true),
            ("GPL-3.0-only AND (MIT OR ISC)", false),
            ("(GPL-3.0-only OR MIT) AND ISC", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("MIT WITH LLVM-exception", false),
            ("", false),
            ("MIT ISC", false),
            ("(MIT", false),
            ("MIT OR", false),
        ] {
            assert_eq!(is_met(expression, &allowed), want, "{expression}");
        }
    }
}
