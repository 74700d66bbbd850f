//! One rule, ready to be asked.

use std::sync::Arc;

use mail::Timestamp;

use crate::config::{Mode, SenderAddressLocation, Severity};
use crate::rules::action::Action;
use crate::rules::canonical::Canonical;
use crate::rules::condition::{Asks, Condition, OfRecipient};
use crate::rules::expression::Expression;
use crate::rules::view::View;

/// One rule, ready to be asked.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) mode: Mode,
    pub(crate) severity: Severity,
    pub(crate) location: SenderAddressLocation,
    pub(crate) stop_processing: bool,
    pub(crate) activation: Option<Timestamp>,
    pub(crate) expiry: Option<Timestamp>,
    /// Conditions on the message, the cheapest first.
    pub(crate) when: Box<[Condition]>,
    pub(crate) except: Box<[Condition]>,
    pub(crate) recipients_when: Box<[OfRecipient]>,
    pub(crate) recipients_except: Box<[OfRecipient]>,
    pub(crate) expression: Option<Expression>,
    pub(crate) actions: Box<[Action]>,
    /// The actions in words.
    pub(crate) words: Arc<str>,
}

/// Whether a rule applies, and to whom.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// To these recipients, by their places; none means all.
    Applies(Option<Vec<usize>>),
    /// It does not.
    Passes(Miss),
    /// Its expression cannot be evaluated.
    Fails(String),
}

/// What kept a rule from applying.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Miss {
    NotActiveYet,
    Expired,
    /// The condition at this place of `when`.
    When(usize),
    /// The exception at this place of `except`.
    Except(usize),
    Recipients,
    Expression,
}

impl Rule {
    /// Whether it asks for results of mail authentication.
    pub(crate) fn wants_authentication(&self) -> bool {
        let is_one =
            |it: &Condition| matches!(it.asks, Asks::Spf(_) | Asks::Dkim(_) | Asks::Dmarc(_));
        self.when.iter().chain(&self.except).any(is_one)
            || self.expression.as_ref().is_some_and(Expression::wants_authentication)
    }

    /// Asks it.
    pub(crate) fn ask(&self, view: &View<'_>) -> Outcome {
        let now = view.facts.now;
        if self.activation.is_some_and(|at| now < at) {
            return Outcome::Passes(Miss::NotActiveYet);
        }
        if self.expiry.is_some_and(|at| now >= at) {
            return Outcome::Passes(Miss::Expired);
        }
        if let Some(place) = self.when.iter().position(|it| !it.holds(view)) {
            return Outcome::Passes(Miss::When(place));
        }
        if let Some(place) = self.except.iter().position(|it| it.holds(view)) {
            return Outcome::Passes(Miss::Except(place));
        }
        if let Some(expression) = &self.expression {
            return match expression.ask(view) {
                Ok(Some(places)) if places.is_empty() => Outcome::Passes(Miss::Expression),
                Ok(places) => Outcome::Applies(places),
                Err(words) => Outcome::Fails(words),
            };
        }
        if self.recipients_when.is_empty() && self.recipients_except.is_empty() {
            return Outcome::Applies(None);
        }
        let named = view.recipients().iter().enumerate().filter(|(_, it)| self.is_for(it));
        let places: Vec<_> = named.map(|(place, _)| place).collect();
        if places.is_empty() {
            Outcome::Passes(Miss::Recipients)
        } else {
            Outcome::Applies(Some(places))
        }
    }

    fn is_for(&self, recipient: &Canonical) -> bool {
        self.recipients_when.iter().all(|it| it.holds(recipient))
            && !self.recipients_except.iter().any(|it| it.holds(recipient))
    }

    /// Why it applies, in words.
    pub(crate) fn hit(&self, view: &View<'_>, places: Option<&[usize]>) -> String {
        let mut words: Vec<_> =
            self.when.iter().map(|it| format!("{}: {}", it.key, it.seen(view))).collect();
        if self.expression.is_some() {
            words.push("expression: true".to_owned());
        }
        match places {
            None if words.is_empty() => words.push("it is for all messages".to_owned()),
            None => {}
            Some(places) => {
                let all = view.recipients();
                let named = places.iter().filter_map(|place| all.get(*place));
                let named: Vec<_> = named.map(Canonical::as_str).collect();
                words.push(format!(
                    "{} of {} recipients: {}",
                    named.len(),
                    all.len(),
                    named.join(", ")
                ));
            }
        }
        words.join("; ")
    }

    /// Why it does not, in words.
    pub(crate) fn miss(&self, view: &View<'_>, miss: Miss) -> String {
        let say = |conditions: &[Condition], place: usize, verb: &str| {
            let condition = conditions.get(place);
            condition
                .map_or_else(String::new, |it| format!("{} {verb} ({})", it.key, it.seen(view)))
        };
        match miss {
            Miss::NotActiveYet => "its activation is still to come".to_owned(),
            Miss::Expired => "it has expired".to_owned(),
            Miss::When(place) => say(&self.when, place, "does not hold"),
            Miss::Except(place) => say(&self.except, place, "of except holds"),
            Miss::Recipients => {
                let keys = self.recipients_when.iter().chain(&self.recipients_except);
                let keys: Vec<_> = keys.map(|it| it.key).collect();
                format!("{} leaves no recipient", keys.join(", "))
            }
            Miss::Expression => "the expression says false".to_owned(),
        }
    }
}
