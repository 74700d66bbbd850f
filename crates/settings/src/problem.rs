//! What is wrong with a settings file, and where.

use std::fmt;
use std::path::Path;

/// One thing that is wrong: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, if it is another than the main one.
    pub file: Option<Box<Path>>,
    /// Line and column, counted from 1; none if it is about something that is not there.
    pub position: Option<(usize, usize)>,
    /// The key it is about, such as `spool.path`.
    pub key: Option<String>,
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a place yet.
    pub fn new(error: impl Into<String>) -> Self {
        Self { file: None, position: None, key: None, error: error.into(), hint: None }
    }

    /// Says which key it is about.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Line and column of an octet, counted from 1, columns in characters.
pub(crate) fn position(text: &str, octet: usize) -> (usize, usize) {
    let before = text.get(..octet).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The main file, as it was named.
    pub file: Box<Path>,
    /// What is wrong with it, in the order of the files; never empty.
    pub list: Vec<Problem>,
}

impl Problems {
    /// One line for each: file, line and column, key, what is wrong, what to do.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|problem| self.line(problem))
    }

    fn line(&self, problem: &Problem) -> String {
        let mut line = problem.file.as_ref().unwrap_or(&self.file).display().to_string();
        if let Some((row, column)) = problem.position {
            line.extend([format!(":{row}:{column}")]);
        }
        line.push_str(": ");
        if let Some(key) = &problem.key {
            line.extend([key, ": "]);
        }
        line.push_str(&problem.error);
        if let Some(hint) = &problem.hint {
            line.extend(["; ", hint]);
        }
        line
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            out.write_str(&line)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        assert_eq!(position("a = 1\nbé = x", 11), (2, 5));
        assert_eq!(position("", 0), (1, 1));
    }
}
