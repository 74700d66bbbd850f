//! Words and patterns in the fields of one name, of all rules at once.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;
use mail::header::Field;
use regex::RegexSet;

use crate::rules::bits::Bits;
use crate::rules::header::decoded;

/// Looks for words and patterns in all fields called `name`. Each has a number, its needle.
#[derive(Debug)]
pub(crate) struct Scanner {
    name: Box<str>,
    words: Option<AhoCorasick>,
    /// The needle of each word.
    word_needles: Box<[u32]>,
    /// Patterns, some at a time, and the needles of each.
    sets: Vec<(RegexSet, Box<[u32]>)>,
    needles: usize,
}

/// Which needle of which scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needle {
    pub(crate) scanner: usize,
    pub(crate) number: usize,
}

/// What the scanners will look for.
#[derive(Debug, Default)]
pub(crate) struct Scanners {
    plans: Vec<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    name: String,
    words: HashMap<String, u32>,
    patterns: Vec<(String, u32)>,
    needles: u32,
}

/// What one pattern may take when it is compiled. Time grows with it.
const PATTERN_OCTETS_MAX: usize = 64 * 1024;
/// Patterns that are looked for in one pass.
const PATTERNS_PER_SET: usize = 64;

/// A regular expression with the limits that all have.
pub(crate) fn pattern(text: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(text).size_limit(PATTERN_OCTETS_MAX).build()
}

impl Scanners {
    /// The needle of a word in fields called `name`.
    pub(crate) fn word(&mut self, name: &str, word: &str) -> Needle {
        let (scanner, plan) = self.plan(name);
        let next = plan.needles;
        let number = *plan.words.entry(word.to_lowercase()).or_insert(next);
        plan.needles = plan.needles.max(number + 1);
        Needle { scanner, number: number as usize }
    }

    /// The needle of a pattern in fields called `name`.
    ///
    /// # Errors
    /// When it is no regular expression, or too large.
    pub(crate) fn pattern(&mut self, name: &str, text: &str) -> Result<Needle, regex::Error> {
        pattern(text)?;
        let (scanner, plan) = self.plan(name);
        let number = plan.needles;
        plan.needles += 1;
        plan.patterns.push((text.to_owned(), number));
        Ok(Needle { scanner, number: number as usize })
    }

    fn plan(&mut self, name: &str) -> (usize, &mut Plan) {
        let name = name.to_ascii_lowercase();
        let place = self.plans.iter().position(|plan| plan.name == name);
        let place = place.unwrap_or_else(|| {
            self.plans.push(Plan { name, ..Plan::default() });
            self.plans.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the place was just found")]
        (place, &mut self.plans[place])
    }

    /// Makes the scanners.
    ///
    /// # Errors
    /// When the words or patterns of one name are too many.
    pub(crate) fn build(self) -> Result<Vec<Scanner>, String> {
        self.plans.into_iter().map(Plan::build).collect()
    }
}

impl Plan {
    fn build(self) -> Result<Scanner, String> {
        let (words, word_needles): (Vec<_>, Vec<_>) = self.words.into_iter().unzip();
        let words = match words.as_slice() {
            [] => None,
            words => Some(AhoCorasick::new(words).map_err(|error| error.to_string())?),
        };
        let mut sets = Vec::new();
        for some in self.patterns.chunks(PATTERNS_PER_SET) {
            let set = regex::RegexSetBuilder::new(some.iter().map(|(text, _)| text))
                .size_limit(PATTERN_OCTETS_MAX * 2 * PATTERNS_PER_SET)
                .build();
            let needles = some.iter().map(|(_, number)| *number).collect();
            sets.push((set.map_err(|error| error.to_string())?, needles));
        }
        Ok(Scanner {
            name: self.name.into(),
            words,
            word_needles: word_needles.into(),
            sets,
            needles: self.needles as usize,
        })
    }
}

impl Scanner {
    /// How many needles there are.
    pub(crate) const fn needles(&self) -> usize {
        self.needles
    }

    /// The needles that are in the fields.
    pub(crate) fn hits(&self, fields: &[Field<'_>]) -> Bits {
        let mut hits = Bits::new(self.needles);
        for field in fields.iter().filter(|field| field.is(&self.name)) {
            let value = decoded(field);
            for (set, needles) in &self.sets {
                let found = set.matches(&value);
                for number in found.iter().filter_map(|place| needles.get(place)) {
                    hits.set(*number as usize);
                }
            }
            if let Some(words) = &self.words {
                self.find(words, &value.to_lowercase(), &mut hits);
            }
        }
        hits
    }

    fn find(&self, words: &AhoCorasick, value: &str, hits: &mut Bits) {
        for found in words.find_overlapping_iter(value) {
            let needle = self.word_needles.get(found.pattern().as_usize());
            if let Some(number) = needle.filter(|_| stands_alone(value, found.start(), found.end()))
            {
                hits.set(*number as usize);
            }
        }
    }
}

/// Whether no letter or digit goes on over either end.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let Some((before, rest)) = text.split_at_checked(start) else { return false };
    let Some((word, behind)) = rest.split_at_checked(end.saturating_sub(start)) else {
        return false;
    };
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let goes_on = |one: Option<char>, next: Option<char>| is_part(one) && is_part(next);
    !goes_on(before.chars().next_back(), word.chars().next())
        && !goes_on(word.chars().next_back(), behind.chars().next())
}

#[cfg(test)]
mod tests {
    use mail::header::Header;

    use super::*;

    #[test]
    fn words_stand_alone_and_patterns_anywhere() {
        let mut scanners = Scanners::default();
        let needles = [
            scanners.word("Subject", "order"),
            scanners.word("subject", "ÄRGER im Büro"),
            scanners.word("subject", "$$$"),
            scanners.pattern("Subject", "[0-9]{4}").unwrap(),
            scanners.pattern("subject", "^RE:").unwrap(),
        ];
        let scanner = scanners.build().unwrap().remove(0);
        for (subject, want) in [
            ("Your ORDER, 12345", "10010"),
            ("Your orders", "00000"),
            ("reorder", "00000"),
            ("win$$$now", "00100"),
            ("=?utf-8?q?=C3=84rger_im?= =?utf-8?q?_b=C3=BCro?=", "01000"),
            ("RE: order", "10001"),
            ("re: x", "00000"),
        ] {
            let header = format!("Subject: {subject}\r\nX: order\r\n\r\n");
            let hits = scanner.hits(&Header::read(header.as_bytes()).fields);
            let got: String =
                needles.iter().map(|it| if hits.has(it.number) { '1' } else { '0' }).collect();
            assert_eq!(got, want, "{subject}");
        }
    }

    #[test]
    fn a_pattern_has_a_limit() {
        let mut scanners = Scanners::default();
        assert!(scanners.pattern("subject", "(").is_err());
        assert!(scanners.pattern("subject", "(?:a{1000}){1000}").is_err());
    }
}
