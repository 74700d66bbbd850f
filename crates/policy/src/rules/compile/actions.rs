//! Actions.

use mail::header::{Edit, FieldName, FieldValue, Place, Which};
use mail::{Address, EnhancedStatus, Reply};

use super::{Compiler, names};
use crate::config::{Actions, HeaderField, Reject};
use crate::rules::action::{Action, Rewrite};
use crate::rules::encoded;

/// Octets of a refusal's text: more would not fit into one line of a reply.
const TEXT_OCTETS_MAX: usize = 400;
/// What shows that a message goes round in circles, and the way it came.
const KEPT: [&str; 2] = ["Received", "Return-Path"];

impl Compiler {
    /// What `then` does, in an order in which the header's changes make sense.
    pub(super) fn actions(&mut self, from: &Actions) -> Vec<Action> {
        let mut actions = Vec::new();
        actions.extend(from.route.as_ref().and_then(|name| self.route(name)));
        actions.extend(from.reject.as_ref().and_then(|reject| self.reject(reject)));
        actions.extend(from.hold.then_some(Action::Hold));
        for name in &from.remove_header {
            let name = self.name("then.remove_header", name);
            actions.extend(name.map(|name| Action::Edit(Edit::Remove { name, which: Which::All })));
        }
        for field in &from.set_header {
            let field = self.field("then.set_header", field);
            let set = |(name, value)| Edit::Set { name, which: Which::All, value };
            actions.extend(field.map(set).map(Action::Edit));
        }
        for field in &from.add_header {
            let field = self.field("then.add_header", field);
            let add = |(name, value)| Edit::Add { name, value, at: Place::Top };
            actions.extend(field.map(add).map(Action::Edit));
        }
        actions.extend(from.rewrite_from.as_ref().and_then(|address| self.rewrite(address)));
        let added = self.recipients("then.add_recipients", &from.add_recipients);
        actions.extend(added.map(Action::AddRecipients));
        let copies = self.recipients("then.copy_to", &from.copy_to);
        actions.extend(copies.map(Action::CopyTo));
        if let Some(class) = &from.set_class {
            if class.is_empty() || class.chars().any(|c| c.is_control() || c.is_whitespace()) {
                self.problem("then.set_class", "a class needs a name without spaces", "name it");
            }
            actions.push(Action::SetClass(class.as_str().into()));
        }
        actions.extend(from.certify.then_some(Action::Certify));
        actions
    }

    fn route(&mut self, name: &str) -> Option<Action> {
        if self.outbound_connectors.contains(name) {
            return Some(Action::Route(name.into()));
        }
        let hint = names(self.outbound_connectors.iter());
        self.problem("then.route", format!("there is no outbound connector `{name}`"), &hint);
        None
    }

    fn reject(&mut self, reject: &Reject) -> Option<Action> {
        let status = reject.status.parse::<EnhancedStatus>().ok().filter(|it| it.class() != 2);
        let Some(status) = status else {
            let words = format!("`{}` is no enhanced status of a refusal", reject.status);
            self.problem("then.reject.status", words, "write one such as 5.7.1 or 4.7.1");
            return None;
        };
        let text = reject.text.trim();
        let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if text.is_empty() || text.len() > TEXT_OCTETS_MAX || !is_printable {
            let words =
                format!("the text is not one line of 1 to {TEXT_OCTETS_MAX} ASCII characters");
            self.problem("then.reject.text", words, "shorten or rewrite it");
            return None;
        }
        let code = if status.is_transient() { 450 } else { 550 };
        Some(Action::Reject(Reply::new(code, Some(status), text)))
    }

    fn name(&mut self, key: &str, text: &str) -> Option<FieldName> {
        if KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(text)) {
            let words = format!("`{text}` may not be changed: it shows which way a message came");
            self.problem(key, words, "leave it out");
            return None;
        }
        let name = FieldName::parse(text);
        name.map_err(|error| {
            let words = format!("`{text}` is no field's name: {error}");
            self.problem(key, words, "write a name such as X-Origin");
        })
        .ok()
    }

    fn field(&mut self, key: &str, field: &HeaderField) -> Option<(FieldName, FieldValue)> {
        let name = self.name(key, &field.name)?;
        if field.value.chars().any(char::is_control) {
            let words =
                format!("the value of `{name}` holds a line end or another control character");
            self.problem(key, words, "write it on one line; long ones are folded");
            return None;
        }
        let value = FieldValue::parse(encoded::text(&field.value).as_bytes());
        let value = value.map_err(|error| {
            self.problem(
                key,
                format!("the value of `{name}` cannot be written: {error}"),
                "shorten it",
            );
        });
        Some((name, value.ok()?))
    }

    fn rewrite(&mut self, text: &str) -> Option<Action> {
        let address = self.address("then.rewrite_from", text)?;
        Rewrite::to(address).map(|rewrite| Action::RewriteFrom(Box::new(rewrite)))
    }

    fn recipients(&mut self, key: &str, texts: &[String]) -> Option<Box<[Address]>> {
        let addresses: Vec<_> = texts.iter().filter_map(|text| self.address(key, text)).collect();
        (!texts.is_empty()).then(|| addresses.into())
    }

    fn address(&mut self, key: &str, text: &str) -> Option<Address> {
        let address = Address::parse(text);
        let address = address.map_err(|error| {
            self.problem(
                key,
                format!("`{text}` is not an address: {error}"),
                "write one such as a@example.com",
            );
        });
        address.ok()
    }
}
