//! One thing that is measured.

use std::fmt;

/// Does what is measured once, again and again on the same state.
pub type Turn = Box<dyn FnMut()>;

/// One thing that is measured, and how to set it up.
pub struct Case {
    /// What is done.
    pub group: &'static str,
    /// To what.
    pub input: String,
    /// What one turn works through.
    pub amount: Amount,
    /// Who measures it.
    pub measured: Measured,
    prepare: Box<dyn Fn() -> Turn>,
}

/// What one turn works through, for rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Octets of content.
    Octets(usize),
    /// Commands, entries or whatever the group is about.
    Elements(usize),
}

/// Who measures a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Everyone.
    Always,
    /// Only the long run of the timings: its turns or its setting up take seconds.
    TimedAtLength,
}

impl Case {
    /// A case that everyone measures.
    pub fn new<T: FnMut() + 'static>(
        group: &'static str,
        input: impl Into<String>,
        amount: Amount,
        prepare: impl Fn() -> T + 'static,
    ) -> Self {
        Self {
            group,
            input: input.into(),
            amount,
            measured: Measured::Always,
            prepare: Box::new(move || Box::new(prepare())),
        }
    }

    /// The same, for the long run alone.
    #[must_use]
    pub fn timed_at_length(self) -> Self {
        Self { measured: Measured::TimedAtLength, ..self }
    }

    /// `group/input`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group, self.input)
    }

    /// Sets it up.
    pub fn prepare(&self) -> Turn {
        (self.prepare)()
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name())
    }
}
