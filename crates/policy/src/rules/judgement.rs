//! What rules decide.

use std::sync::Arc;

use mail::header::Edit;
use mail::{Recipient, Reply};

use crate::config::{Mode, Severity};

/// What is to be done with a message. If it is refused, nothing else is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The message is refused.
    pub refusal: Option<Refusal>,
    /// The message is kept back; the text says why.
    pub held: Option<Box<str>>,
    /// Changes to the header, in the order in which they are done.
    pub edits: Vec<Edit>,
    /// The class that the message gets.
    pub class: Option<Box<str>>,
    /// The last rule that wants receipts made, if one does.
    pub certify: Option<Arc<str>>,
    /// The outbound connector of each recipient of the envelope, in their order, where a rule chose one. Empty if none did.
    pub routes: Vec<Option<Arc<str>>>,
    /// Further recipients, none of which is one of the envelope's.
    pub added: Vec<Recipient>,
    /// Further recipients of which nobody hears (`NOTIFY=NEVER`), none of which is one of the envelope's or `added`.
    pub copies: Vec<Recipient>,
    /// Of the rules that applied and those that failed; of all, if an explanation was asked for.
    pub verdicts: Vec<Verdict>,
}

/// A refusal and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub reply: Reply,
    /// The rule.
    pub rule: Arc<str>,
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The rule's name.
    pub rule: Arc<str>,
    /// Whether it applied.
    pub ending: Ending,
    /// Why, in words. Empty for a rule that applied, unless an explanation was asked for.
    pub why: Box<str>,
    /// Whether it acted; in the test modes nothing was done.
    pub mode: Mode,
    /// How much it matters.
    pub severity: Severity,
    /// What it does or would do, in words.
    pub actions: Arc<str>,
}

/// How a rule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It applied.
    Applied,
    /// Its conditions did not hold.
    Passed,
    /// Its expression could not be evaluated, so it did not apply.
    Failed,
}

impl Judgement {
    /// The names of the rules that acted.
    pub fn acted(&self) -> impl Iterator<Item = &Arc<str>> {
        let is_acting = |it: &&Verdict| it.ending == Ending::Applied && it.mode == Mode::Enforce;
        self.verdicts.iter().filter(is_acting).map(|verdict| &verdict.rule)
    }

    /// How many rules could not be evaluated.
    pub fn failures(&self) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.ending == Ending::Failed).count()
    }
}
