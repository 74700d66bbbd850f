//! From the settings to rules that are ready, or to all that is wrong with them.

mod actions;
mod conditions;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cel::Env;

use crate::config;
use crate::config::Mode;
use crate::rules::action::Action;
use crate::rules::expression::{Expression, Groups, environment};
use crate::rules::members::Members;
use crate::rules::problem::RuleProblem;
use crate::rules::rule::Rule;
use crate::rules::words::{Scanner, Scanners};

/// What rules may name besides themselves.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The groups.
    pub groups: HashMap<Box<str>, Members>,
    /// Names of outbound connectors.
    pub outbound_connectors: HashSet<Box<str>>,
    /// Names of inbound connectors.
    pub inbound_connectors: HashSet<Box<str>>,
    /// Names of listeners.
    pub listeners: HashSet<Box<str>>,
}

/// What comes of the settings.
pub(crate) struct Compiled {
    pub(crate) rules: Vec<Rule>,
    pub(crate) scanners: Vec<Scanner>,
    pub(crate) warnings: Vec<RuleProblem>,
}

/// Names of things that rules name, and what was found wrong.
pub(crate) struct Compiler {
    groups: Groups,
    outbound_connectors: HashSet<Box<str>>,
    inbound_connectors: HashSet<Box<str>>,
    listeners: HashSet<Box<str>>,
    scanners: Scanners,
    env: Arc<Env>,
    problems: Vec<RuleProblem>,
    /// The place of the rule that is being compiled.
    rule: usize,
}

/// Compiles all; disabled rules are checked and left out.
pub(crate) fn compile(
    settings: &[config::Rule],
    known: Known,
) -> Result<Compiled, Vec<RuleProblem>> {
    let mut compiler = Compiler {
        groups: known.groups.into_iter().map(|(name, it)| (name, Arc::new(it))).collect(),
        outbound_connectors: known.outbound_connectors,
        inbound_connectors: known.inbound_connectors,
        listeners: known.listeners,
        scanners: Scanners::default(),
        env: environment(),
        problems: Vec::new(),
        rule: 0,
    };
    let mut names = HashSet::new();
    let mut rules = Vec::new();
    for (place, settings) in settings.iter().enumerate() {
        compiler.rule = place;
        if !settings.name.is_empty() && !names.insert(settings.name.as_str()) {
            let words = format!("there is another rule called `{}`", settings.name);
            compiler.problem("name", words, "give each rule a name of its own");
        }
        let rule = compiler.rule(settings);
        rules.extend(Some(rule).filter(|_| settings.enabled));
    }
    let scanners = compiler.scanners.build().unwrap_or_else(|words| {
        let hint = "use fewer or smaller words and patterns".to_owned();
        compiler.problems.push(RuleProblem { rule: 0, key: String::new(), words, hint });
        Vec::new()
    });
    if !compiler.problems.is_empty() {
        return Err(compiler.problems);
    }
    Ok(Compiled { rules, scanners, warnings: warnings(settings) })
}

impl Compiler {
    fn problem(&mut self, key: impl Into<String>, words: impl Into<String>, hint: &str) {
        let (key, words) = (key.into(), words.into());
        self.problems.push(RuleProblem { rule: self.rule, key, words, hint: hint.to_owned() });
    }

    fn rule(&mut self, settings: &config::Rule) -> Rule {
        if settings.name.is_empty() || settings.name.chars().any(char::is_control) {
            self.problem("name", "a rule needs a name of printable characters", "name it");
        }
        if settings.activation.zip(settings.expiry).is_some_and(|(from, to)| from >= to) {
            self.problem("expiry", "it expires before it is active", "set a later moment");
        }
        let location = settings.sender_address_location;
        let (when, recipients_when) = self.conditions("when", &settings.when, location);
        let (except, recipients_except) = self.conditions("except", &settings.except, location);
        let expression = settings.expression.as_ref().and_then(|text| self.expression(text));
        if settings.expression.is_some()
            && !(settings.when.is_empty() && settings.except.is_empty())
        {
            let hint = "write all of it in the expression, or nothing";
            self.problem("expression", "it stands beside `when` or `except`", hint);
        }
        let actions = self.actions(&settings.then);
        let words: Vec<_> = actions.iter().map(Action::words).collect();
        Rule {
            name: settings.name.as_str().into(),
            mode: settings.mode,
            severity: settings.severity,
            location,
            stop_processing: settings.stop_processing,
            activation: settings.activation.map(config::Moment::at),
            expiry: settings.expiry.map(config::Moment::at),
            when,
            except,
            recipients_when,
            recipients_except,
            expression,
            actions: actions.into(),
            words: words.join("; ").into(),
        }
    }

    fn expression(&mut self, text: &str) -> Option<Expression> {
        match Expression::compile(text, &self.env, &self.groups) {
            Ok(expression) => Some(expression),
            Err(words) => {
                self.problem("expression", words, "the reference of rules names what there is");
                None
            }
        }
    }
}

/// Rules that can never be asked, and those that do nothing.
fn warnings(settings: &[config::Rule]) -> Vec<RuleProblem> {
    let warning = |rule: usize, words: String, hint: &str| RuleProblem {
        rule,
        key: String::new(),
        words,
        hint: hint.to_owned(),
    };
    let mut warnings = Vec::new();
    let mut last: Option<&str> = None;
    for (place, rule) in settings.iter().enumerate().filter(|(_, rule)| rule.enabled) {
        if let Some(last) = last {
            let words = format!("`{}` is never asked, since `{last}` ends all before", rule.name);
            warnings.push(warning(place, words, "move it up, or give the earlier one a condition"));
        }
        if rule.then == config::Actions::default() && !rule.stop_processing {
            let words = format!("`{}` does nothing", rule.name);
            warnings.push(warning(place, words, "give it something in `then`"));
        }
        if is_last(rule) && last.is_none() {
            last = Some(&rule.name);
        }
    }
    warnings
}

/// Whether no message gets past it.
fn is_last(rule: &config::Rule) -> bool {
    let is_for_all = rule.when.is_empty() && rule.except.is_empty() && rule.expression.is_none();
    let is_always = rule.activation.is_none() && rule.expiry.is_none();
    let ends = rule.stop_processing || rule.then.reject.is_some();
    is_for_all && is_always && ends && rule.mode == Mode::Enforce
}

/// Names that there are, for a hint.
fn names<'a>(known: impl Iterator<Item = &'a Box<str>>) -> String {
    const SHOWN_MAX: usize = 10;
    let mut names: Vec<_> = known.map(|name| &**name).collect();
    names.sort_unstable();
    let more = if names.len() > SHOWN_MAX { " …" } else { "" };
    names.truncate(SHOWN_MAX);
    if names.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are {}{more}", names.join(", "))
    }
}
