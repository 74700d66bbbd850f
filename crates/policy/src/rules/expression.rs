//! Conditions in CEL: parsed once, checked so that none takes long, asked of one message after the other.

mod check;
mod scope;

use std::collections::HashMap;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, Env, ExecutionError, IdedExpr as Tree, Value};
use regex::Regex;

use crate::rules::canonical::Canonical;
use crate::rules::condition::is_in_any;
use crate::rules::expression::check::{Findings, check};
use crate::rules::expression::scope::Scope;
use crate::rules::members::Members;
use crate::rules::view::View;

/// The groups that an expression may name.
pub(crate) type Groups = HashMap<Box<str>, Arc<Members>>;

/// A condition in CEL.
pub(crate) struct Expression {
    tree: Tree,
    env: Arc<Env>,
    findings: Findings,
    patterns: Arc<HashMap<Box<str>, Regex>>,
    groups: Arc<Groups>,
}

/// What parses expressions and knows the functions of CEL.
pub(crate) fn environment() -> Arc<Env> {
    Arc::new(Env::stdlib())
}

impl Expression {
    /// Parses and checks it.
    ///
    /// # Errors
    /// When it is no expression, names what is not there or could take too long; the words say what and at which column.
    pub(crate) fn compile(text: &str, env: &Arc<Env>, groups: &Groups) -> Result<Self, String> {
        check::shape(text)?;
        let parsed = env.parser().parse(text);
        let tree = parsed.map_err(|errors| {
            let first = errors.errors.first();
            first.map_or_else(
                || "it cannot be read".to_owned(),
                |it| format!("line {}, column {}: {}", it.pos.0, it.pos.1, it.msg),
            )
        })?;
        let findings = check(&tree)?;
        let mut patterns = HashMap::new();
        for pattern in &findings.patterns {
            let compiled = crate::rules::words::pattern(pattern);
            let compiled = compiled.map_err(|error| format!("`{pattern}`: {error}"))?;
            patterns.insert(pattern.clone(), compiled);
        }
        let mut named = Groups::new();
        for name in &findings.groups {
            let members = groups.get(name).ok_or_else(|| format!("there is no group `{name}`"))?;
            named.insert(name.clone(), Arc::clone(members));
        }
        Ok(Self {
            tree,
            env: Arc::clone(env),
            findings,
            patterns: Arc::new(patterns),
            groups: Arc::new(named),
        })
    }

    /// Whether it names results of mail authentication.
    pub(crate) fn wants_authentication(&self) -> bool {
        ["spf", "dkim", "dmarc"].iter().any(|name| self.findings.variables.contains(*name))
    }

    /// The recipients that it holds for, by their places; none if it holds for all.
    ///
    /// # Errors
    /// When it cannot be evaluated, in words.
    pub(crate) fn ask(&self, view: &View<'_>) -> Result<Option<Vec<usize>>, String> {
        if !self.findings.asks_each() {
            let holds = self.evaluate(&Scope { view, recipient: None })?;
            return Ok(if holds { None } else { Some(Vec::new()) });
        }
        let mut places = Vec::new();
        for (place, recipient) in view.recipients().iter().enumerate() {
            if self.evaluate(&Scope { view, recipient: Some(recipient) })? {
                places.push(place);
            }
        }
        Ok(Some(places))
    }

    fn evaluate(&self, scope: &Scope<'_, '_>) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.set_variable_resolver(scope);
        self.add_functions(&mut context).map_err(|error| plain(&error.to_string()))?;
        match Value::resolve(&self.tree, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => {
                Err(format!("it says {}, not true or false", plain(&format!("{other:?}"))))
            }
            Err(error) => Err(plain(&error.to_string())),
        }
    }

    fn add_functions(&self, context: &mut Context<'_, '_>) -> Result<(), cel::DeclarationError> {
        if !self.patterns.is_empty() {
            let patterns = Arc::clone(&self.patterns);
            context.add_function(
                "matches",
                move |This(text): This<Arc<String>>, pattern: Arc<String>| {
                    let found = patterns.get(pattern.as_str()).map(|it| it.is_match(&text));
                    found.ok_or_else(|| ExecutionError::function_error("matches", "no such regex"))
                },
            )?;
        }
        if !self.groups.is_empty() {
            let groups = Arc::clone(&self.groups);
            context.add_function("in_group", move |address: Arc<String>, name: Arc<String>| {
                let canonical = Canonical::of_text(&address);
                groups.get(name.as_str()).is_some_and(|members| members.contains(&canonical))
            })?;
        }
        if self.findings.has_networks {
            context.add_function("in_network", |client: Arc<String>, network: Arc<String>| {
                let network = check::network(&network);
                let both = network.zip(client.parse().ok());
                both.is_some_and(|(network, client)| is_in_any(&[network], client))
            })?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Expression")
    }
}

/// Words that may hold what a sender wrote, fit for a log.
fn plain(words: &str) -> String {
    const CHARS_MAX: usize = 200;
    words.chars().take(CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}
