//! What others find wrong with settings that are right by themselves, such as a file that is not there.

use crate::problem::Problem;
use crate::read::Places;
use crate::tree::Step;

/// Something is wrong with the value of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub(crate) way: Vec<Step>,
    pub(crate) error: String,
    pub(crate) hint: Option<String>,
}

impl Finding {
    /// Nothing, if nothing was found.
    ///
    /// # Errors
    /// What was found.
    pub fn none_of(all: Vec<Self>) -> Result<(), Vec<Self>> {
        if all.is_empty() { Ok(()) } else { Err(all) }
    }

    /// About a section, or a key that stands in none.
    pub fn about(section: &str, error: impl Into<String>) -> Self {
        Self { way: vec![Step::Key(section.to_owned())], error: error.into(), hint: None }
    }

    /// About the key of a section, such as `roots` of `[tls]`; `login.user` is the key of a table in it.
    pub fn in_section(section: &str, key: &str, error: impl Into<String>) -> Self {
        let keys = std::iter::once(section).chain(key.split('.'));
        let way = keys.map(|key| Step::Key(key.to_owned())).collect();
        Self { way, error: error.into(), hint: None }
    }

    /// About the key of one of several sections, such as `certificate` of the second `[[listener]]`, which has the
    /// number 1.
    pub fn in_item(section: &str, number: usize, key: &str, error: impl Into<String>) -> Self {
        let mut finding = Self::in_section(section, key, error);
        finding.way.insert(1, Step::Item(number));
        finding
    }

    /// The same with its place.
    pub(crate) fn placed(self, places: &Places<'_>) -> Problem {
        let Self { way, error, hint } = self;
        places.locate(Problem { hint, ..Problem::new(error) }, &way)
    }

    /// The key it is about, whichever of several sections that stands in.
    pub(crate) fn key(&self) -> Vec<&str> {
        let keys = self.way.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        });
        keys.collect()
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
