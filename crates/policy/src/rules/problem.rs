//! What is wrong with rules.

use std::fmt;

/// What is wrong with a rule, where, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProblem {
    /// The rule's place in the settings, from 0.
    pub rule: usize,
    /// The key within the rule, such as `when.sender`; empty for the rule as a whole.
    pub key: String,
    /// What is wrong.
    pub words: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "rule {}", self.rule + 1)?;
        if !self.key.is_empty() {
            write!(out, ", {}", self.key)?;
        }
        write!(out, ": {}; {}", self.words, self.hint)
    }
}
