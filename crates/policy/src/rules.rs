//! Transport rules: what is done with some messages, decided from what is known of them.

mod action;
mod bits;
mod canonical;
mod compile;
mod condition;
pub(crate) mod encoded;
mod expression;
mod facts;
pub(crate) mod header;
mod index;
mod judgement;
mod members;
mod problem;
mod rule;
mod view;
mod words;

use mail::Address;
use mail::header::Edit;

use crate::config;
use crate::config::Mode;
use crate::rules::action::Rewrite;
use crate::rules::compile::Compiled;
use crate::rules::index::Index;
use crate::rules::rule::{Outcome, Rule};
use crate::rules::view::View;
use crate::rules::words::Scanner;

pub(crate) use canonical::Canonical;
pub use compile::Known;
pub use facts::{AuthResults, Facts, Protection};
pub use header::first_mailbox;
pub(crate) use header::{Authors, authors};
pub use judgement::{Ending, Judgement, Refusal, Verdict};
pub use members::{LineError, MemberError, Members};
pub use problem::RuleProblem;

/// The enabled rules, in the order of the settings. Made once, shared by `Arc`.
#[derive(Debug)]
pub struct Rules {
    all: Vec<Rule>,
    scanners: Vec<Scanner>,
    index: Index,
    warnings: Vec<RuleProblem>,
    wants_authentication: bool,
}

impl Rules {
    /// Makes the rules of the settings ready.
    ///
    /// # Errors
    /// All that is wrong with them; the operator mends the settings.
    pub fn compile(rules: &[config::Rule], known: Known) -> Result<Self, Vec<RuleProblem>> {
        let Compiled { rules, scanners, warnings } = compile::compile(rules, known)?;
        let index = Index::new(&rules, &scanners);
        let wants_authentication = rules.iter().any(Rule::wants_authentication);
        Ok(Self { all: rules, scanners, index, warnings, wants_authentication })
    }

    /// Whether there are none, so that nobody need be asked.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a rule asks for the results of mail authentication.
    pub const fn wants_authentication(&self) -> bool {
        self.wants_authentication
    }

    /// What is allowed and yet probably not meant.
    pub fn warnings(&self) -> &[RuleProblem] {
        &self.warnings
    }

    /// What is to be done with a message; [`Judgement::verdicts`] names the rules that applied or failed.
    pub fn judge(&self, facts: &Facts<'_>) -> Judgement {
        let view = View::new(facts, &self.scanners);
        let mut judgement = Judgement::default();
        for place in self.index.candidates(&view).numbers() {
            let Some(rule) = self.all.get(place) else { continue };
            match rule.ask(&view) {
                Outcome::Passes(_) => {}
                Outcome::Fails(words) => {
                    judgement.verdicts.push(verdict(rule, Ending::Failed, words));
                }
                Outcome::Applies(places) => {
                    judgement.verdicts.push(verdict(rule, Ending::Applied, String::new()));
                    if act(rule, &view, places.as_deref(), &mut judgement) == Next::Stop {
                        break;
                    }
                }
            }
        }
        judgement
    }

    /// Changes that put `address` in place of the From of a message; the display name stays, and what stood there goes
    /// into `Reply-To` unless the message has one.
    pub(crate) fn rewritten(&self, facts: &Facts<'_>, address: &Address) -> Vec<Edit> {
        let mut edits = Vec::new();
        if let Some(rewrite) = Rewrite::to(address.clone()) {
            rewrite.apply(&View::new(facts, &self.scanners), &mut edits);
        }
        edits
    }

    /// The same with a verdict of every rule, in words. It asks each, so it takes longer.
    pub fn explain(&self, facts: &Facts<'_>) -> Judgement {
        let view = View::new(facts, &self.scanners);
        let mut judgement = Judgement::default();
        let mut ended_by: Option<&Rule> = None;
        for rule in &self.all {
            if let Some(last) = ended_by {
                let words = format!("not asked: rule `{}` was the last", last.name);
                judgement.verdicts.push(verdict(rule, Ending::Passed, words));
                continue;
            }
            let (ending, words, places) = match rule.ask(&view) {
                Outcome::Passes(miss) => (Ending::Passed, rule.miss(&view, miss), None),
                Outcome::Fails(words) => (Ending::Failed, words, None),
                Outcome::Applies(places) => {
                    (Ending::Applied, rule.hit(&view, places.as_deref()), places)
                }
            };
            judgement.verdicts.push(verdict(rule, ending, words));
            let is_applied = ending == Ending::Applied;
            if is_applied && act(rule, &view, places.as_deref(), &mut judgement) == Next::Stop {
                ended_by = Some(rule);
            }
        }
        judgement
    }
}

impl Default for Rules {
    /// No rules.
    fn default() -> Self {
        Self {
            all: Vec::new(),
            scanners: Vec::new(),
            index: Index::new(&[], &[]),
            warnings: Vec::new(),
            wants_authentication: false,
        }
    }
}

/// Whether further rules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

/// Does what a rule says, if it is to act.
fn act(rule: &Rule, view: &View<'_>, places: Option<&[usize]>, judgement: &mut Judgement) -> Next {
    if rule.mode != Mode::Enforce {
        return Next::Go;
    }
    for action in &rule.actions {
        action.apply(&rule.name, view, places, judgement);
    }
    if rule.stop_processing || judgement.refusal.is_some() { Next::Stop } else { Next::Go }
}

fn verdict(rule: &Rule, ending: Ending, why: String) -> Verdict {
    Verdict {
        rule: rule.name.clone(),
        ending,
        why: why.into(),
        mode: rule.mode,
        severity: rule.severity,
        actions: rule.words.clone(),
    }
}

#[cfg(test)]
mod tests;
