//! What an expression names, and that it cannot take long.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cel::IdedExpr as Tree;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue};
use ipnet::IpNet;

/// What an expression names.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Its variables.
    pub(crate) variables: BTreeSet<String>,
    /// Regular expressions in `matches`.
    pub(crate) patterns: BTreeSet<Box<str>>,
    /// Groups in `in_group`.
    pub(crate) groups: BTreeSet<Box<str>>,
    /// Whether it calls `in_network`.
    pub(crate) has_networks: bool,
}

impl Findings {
    /// Whether it is about each recipient by itself.
    pub(crate) fn asks_each(&self) -> bool {
        EACH.iter().any(|name| self.variables.contains(*name))
    }
}

const OCTETS_MAX: usize = 4096;
const BRACKETS_MAX: usize = 12;
const OPERATORS_MAX: usize = 200;
/// Loops within loops, those over written lists among them.
const LOOPS_MAX: usize = 2;

/// Variables that hold one value for the message.
const SINGLE: &[&str] = &[
    "sender",
    "sender_domain",
    "client",
    "helo",
    "listener",
    "connector",
    "account",
    "class",
    "subject",
    "spf",
    "dkim",
    "dmarc",
    "weekday",
    "octets",
    "now",
    "hour",
    "minute",
    "tls",
];
/// Variables that are about one recipient.
const EACH: &[&str] = &["recipient", "recipient_domain"];
/// Variables whose length the sender decides.
const LISTS: &[&str] =
    &["from", "from_domains", "recipients", "recipient_domains", "certificate_names", "headers"];
/// Functions besides operators.
const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "in_group",
    "in_network",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "type",
    "dyn",
];

/// Refuses what would take the parser too deep, before it parses.
pub(crate) fn shape(text: &str) -> Result<(), String> {
    if text.len() > OCTETS_MAX {
        return Err(format!("it has {} octets; {OCTETS_MAX} are the limit", text.len()));
    }
    if text.contains("\"\"\"") || text.contains("'''") {
        return Err("it has a text in triple quotes; write single ones".to_owned());
    }
    let (mut depth, mut operators, mut quote) = (0_usize, 0_usize, None);
    let mut is_raw = false;
    let mut before = ' ';
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', Some(_)) if !is_raw => drop(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                is_raw = matches!(before, 'r' | 'R');
            }
            ('(' | '[' | '{', None) => {
                depth += 1;
                operators += 1;
            }
            (')' | ']' | '}', None) => depth = depth.saturating_sub(1),
            (c, None) if c.is_ascii_punctuation() && !matches!(c, ',' | '_') => operators += 1,
            _ => {}
        }
        before = c;
        if depth > BRACKETS_MAX {
            return Err(format!("it has brackets {depth} deep; {BRACKETS_MAX} are the limit"));
        }
    }
    if operators > OPERATORS_MAX {
        return Err(format!("it has {operators} operators; {OPERATORS_MAX} are the limit"));
    }
    Ok(())
}

/// Finds what the expression names.
pub(crate) fn check(tree: &Tree) -> Result<Findings, String> {
    let mut walk = Walk::default();
    walk.tree(tree)?;
    let lists = LISTS.iter().find(|name| walk.findings.variables.contains(**name));
    match lists.filter(|_| walk.findings.asks_each()) {
        Some(list) => Err(format!(
            "`{list}` cannot stand beside `recipient`, since the expression is then asked for each recipient"
        )),
        None => Ok(walk.findings),
    }
}

/// The network that `text` writes.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[derive(Default)]
struct Walk<'a> {
    findings: Findings,
    /// Names that loops give.
    own: Vec<&'a str>,
    loops: usize,
    /// Loops whose length the sender decides.
    long_loops: usize,
}

impl<'a> Walk<'a> {
    fn tree(&mut self, tree: &'a Tree) -> Result<(), String> {
        match &tree.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.tree(&select.operand),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.tree(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.tree(&entry.key)?;
                    self.tree(&entry.value)
                }
                EntryExpr::StructField(field) => self.tree(&field.value),
            }),
            Expr::Struct(it) => Err(format!("there is no type `{}`", it.type_name)),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(it) => self.looped(it),
        }
    }

    fn variable(&mut self, name: &'a str) -> Result<(), String> {
        if self.own.contains(&name) {
            return Ok(());
        }
        let is_list = LISTS.contains(&name);
        if is_list && self.long_loops > 0 {
            return Err(format!(
                "`{name}` cannot be named in a loop over another list of the message"
            ));
        }
        if !is_list && !SINGLE.contains(&name) && !EACH.contains(&name) {
            return Err(format!("there is no variable `{name}`"));
        }
        self.findings.variables.insert(name.to_owned());
        Ok(())
    }

    fn call(&mut self, call: &'a CallExpr) -> Result<(), String> {
        let name = call.func_name.as_str();
        let is_operator = !name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_operator && !FUNCTIONS.contains(&name) {
            return Err(format!("there is no function `{name}`"));
        }
        let written = || {
            call.args
                .last()
                .and_then(text)
                .ok_or_else(|| format!("the last argument of `{name}` must stand in quotes"))
        };
        match name {
            "matches" => drop(self.findings.patterns.insert(written()?.into())),
            "in_group" => drop(self.findings.groups.insert(written()?.into())),
            "in_network" => {
                let text = written()?;
                network(text).ok_or_else(|| format!("`{text}` is not a network"))?;
                self.findings.has_networks = true;
            }
            _ => {}
        }
        call.target.iter().try_for_each(|target| self.tree(target))?;
        call.args.iter().try_for_each(|argument| self.tree(argument))
    }

    fn looped(&mut self, it: &'a ComprehensionExpr) -> Result<(), String> {
        self.tree(&it.iter_range)?;
        self.tree(&it.accu_init)?;
        let is_long = !matches!(&it.iter_range.expr, Expr::List(_));
        self.loops += 1;
        self.long_loops += usize::from(is_long);
        if self.loops > LOOPS_MAX || self.long_loops > 1 {
            return Err("only loops over written lists may stand in a loop, and one of them".into());
        }
        let known = self.own.len();
        self.own.extend([it.iter_var.as_str(), it.accu_var.as_str()]);
        self.own.extend(it.iter_var2.as_deref());
        for part in [&it.loop_cond, &it.loop_step, &it.result] {
            self.tree(part)?;
        }
        self.own.truncate(known);
        self.loops -= 1;
        self.long_loops -= usize::from(is_long);
        Ok(())
    }
}

fn text(tree: &Tree) -> Option<&str> {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
