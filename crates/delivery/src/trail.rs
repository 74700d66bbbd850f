//! What an operator is shown of a connector that is tried, step by step.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use units::Clock;

/// What a host says is shown so far.
const WORDS_MAX: usize = 1000;

/// What to do where mail goes in clear text.
pub(crate) const CLEAR_TEXT: &str = "whoever is on the way can read the mail; with `tls = \"encrypt\"` or `\"verify\"` it would wait";

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It was not needed, or another one failed before.
    Skipped,
    /// As it should be.
    Pass,
    /// Mail goes, but something is not as it could be.
    Warn,
    /// Mail does not go.
    Fail,
}

impl Verdict {
    /// Its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which: one of [`Step::NAMES`].
    pub name: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
    /// With which host, as far as there is one.
    pub host: Option<Box<str>>,
    /// What was found, in the host's words where it said something; one line.
    pub words: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

impl Step {
    /// All steps, in their order; with implicit TLS, `tls` goes before `greeting`.
    pub const NAMES: [&str; 13] = [
        "source",
        "dns",
        "tlsa",
        "tcp",
        "greeting",
        "tls",
        "ehlo",
        "auth",
        "mail",
        "rcpt",
        "reset",
        "probe",
        Self::APPLICATION,
    ];
    /// The only step where an application takes the mail.
    pub const APPLICATION: &str = "application";
}

/// Notes what is done on the way to a host. Deliveries have none.
pub(crate) struct Trail {
    clock: Clock,
    notes: Mutex<Notes>,
}

struct Notes {
    since: Instant,
    host: Option<Box<str>>,
    steps: Vec<Step>,
}

impl Trail {
    pub(crate) fn new(clock: &Clock) -> Self {
        let notes = Notes { since: clock.now(), host: None, steps: Vec::new() };
        Self { clock: clock.clone(), notes: Mutex::new(notes) }
    }

    /// What follows is done with `host`.
    pub(crate) fn at(&self, host: String) {
        self.notes.lock().host = Some(host.into());
    }

    /// A step that began when the last one ended is over.
    pub(crate) fn note(&self, name: &'static str, verdict: Verdict, words: &str) {
        self.advise(name, verdict, (words, None));
    }

    /// The same with what to do.
    pub(crate) fn advise(
        &self,
        name: &'static str,
        verdict: Verdict,
        (words, advice): (&str, Option<&'static str>),
    ) {
        let now = self.clock.now();
        let words = words.chars().take(WORDS_MAX).collect::<String>();
        let words = words.replace('\n', ", ").replace(char::is_control, "?");
        let mut notes = self.notes.lock();
        let took = now.saturating_duration_since(notes.since);
        let host = notes.host.clone();
        notes.since = now;
        notes.steps.push(Step { name, verdict, took, host, words, advice });
    }

    /// The steps so far; those that failed are warnings if another host serves.
    pub(crate) fn forgive(&self) {
        for step in &mut self.notes.lock().steps {
            if step.verdict == Verdict::Fail {
                step.verdict = Verdict::Warn;
            }
        }
    }

    /// All steps.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.notes.lock().steps.clone()
    }
}
