//! Conditions and exceptions.

use std::collections::HashSet;
use std::sync::Arc;

use mail::header::FieldName;

use super::{Compiler, names};
use crate::config::{Conditions, SenderAddressLocation};
use crate::rules::canonical::{NULL, address_entry, domain_entry};
use crate::rules::condition::{Asks, Condition, Names, OfRecipient, Who};
use crate::rules::members::Members;
use crate::rules::words::Needle;

/// What was asked of the message and of recipients so far.
#[derive(Default)]
struct Found {
    message: Vec<Condition>,
    recipients: Vec<OfRecipient>,
}

impl Found {
    fn ask(&mut self, key: &'static str, asks: Option<Asks>) {
        self.message.extend(asks.map(|asks| Condition { key, asks }));
    }

    fn ask_recipient(&mut self, key: &'static str, who: Option<Who>) {
        self.recipients.extend(who.map(|who| OfRecipient { key, who }));
    }
}

impl Compiler {
    /// What `table` (`when` or `except`) asks of the message and of recipients.
    pub(super) fn conditions(
        &mut self,
        table: &str,
        from: &Conditions,
        location: SenderAddressLocation,
    ) -> (Box<[Condition]>, Box<[OfRecipient]>) {
        let mut found = Found::default();
        let sender = |who: Option<Who>| who.map(|who| Asks::Sender(who, location));
        found.ask("sender", sender(self.addresses(table, "sender", &from.sender)));
        let who = self.domains(table, "sender_domain", &from.sender_domain);
        found.ask("sender_domain", sender(who));
        let who = self.groups(table, "sender_in_group", &from.sender_in_group);
        found.ask("sender_in_group", sender(who));
        let who = self.addresses(table, "recipient", &from.recipient);
        found.ask_recipient("recipient", who);
        let who = self.domains(table, "recipient_domain", &from.recipient_domain);
        found.ask_recipient("recipient_domain", who);
        let who = self.groups(table, "recipient_in_group", &from.recipient_in_group);
        found.ask_recipient("recipient_in_group", who);
        self.client(table, from, &mut found);
        self.header(table, from, &mut found);
        let list = |values: &[_]| (!values.is_empty()).then(|| values.into());
        found.ask("size_over", from.size_over.map(|size| Asks::SizeOver(size.as_octets())));
        found.ask("class", texts(&from.class).map(Asks::Class));
        found.ask("time", (!from.time.is_empty()).then(|| Asks::Time(from.time.clone().into())));
        found.ask("spf", list(&from.spf).map(Asks::Spf));
        found.ask("dkim", list(&from.dkim).map(Asks::Dkim));
        found.ask("dmarc", list(&from.dmarc).map(Asks::Dmarc));
        found.ask("tls", from.tls.map(Asks::Tls));
        found.message.sort_by_key(Condition::cost);
        (found.message.into(), found.recipients.into())
    }

    fn client(&mut self, table: &str, from: &Conditions, found: &mut Found) {
        let known = std::mem::take(&mut self.inbound_connectors);
        self.named(table, "connector", &from.connector, &known);
        self.inbound_connectors = known;
        let known = std::mem::take(&mut self.listeners);
        self.named(table, "listener", &from.listener, &known);
        self.listeners = known;
        found.ask("connector", texts(&from.connector).map(Asks::Connector));
        found.ask("account", texts(&from.account).map(Asks::Account));
        found.ask("listener", texts(&from.listener).map(Asks::Listener));
        let networks = &from.client_networks;
        let networks = (!networks.is_empty()).then(|| Asks::Client(networks.clone().into()));
        found.ask("client_networks", networks);
        let certificates = texts(&from.certificate_names).map(Asks::Certificate);
        found.ask("certificate_names", certificates);
    }

    fn header(&mut self, table: &str, from: &Conditions, found: &mut Found) {
        const SUBJECT: &str = "Subject";
        let mut contains = Vec::new();
        for field in &from.header_contains {
            contains.extend(self.words(table, "header_contains", &field.name, &field.words));
        }
        let mut matches = Vec::new();
        for field in &from.header_matches {
            matches.extend(self.patterns(table, "header_matches", &field.name, &field.patterns));
        }
        let subject = self.words(table, "subject_contains", SUBJECT, &from.subject_contains);
        let patterns = self.patterns(table, "subject_matches", SUBJECT, &from.subject_matches);
        for (key, is_asked, needles) in [
            ("header_contains", !from.header_contains.is_empty(), contains),
            ("header_matches", !from.header_matches.is_empty(), matches),
            ("subject_contains", !from.subject_contains.is_empty(), subject),
            ("subject_matches", !from.subject_matches.is_empty(), patterns),
        ] {
            found.ask(key, is_asked.then(|| Asks::Header(needles.into())));
        }
    }

    fn words(&mut self, table: &str, key: &str, name: &str, words: &[String]) -> Vec<Needle> {
        self.field_name(table, key, name);
        if words.iter().any(|word| word.trim().is_empty()) {
            self.problem(path(table, key), "a word is empty", "leave it out");
        }
        words.iter().map(|word| self.scanners.word(name, word.trim())).collect()
    }

    fn patterns(&mut self, table: &str, key: &str, name: &str, texts: &[String]) -> Vec<Needle> {
        self.field_name(table, key, name);
        let mut needles = Vec::new();
        for text in texts {
            match self.scanners.pattern(name, text) {
                Ok(needle) => needles.push(needle),
                Err(error) => {
                    let words =
                        format!("`{text}` is no regular expression that can be used: {error}");
                    let hint = "see https://docs.rs/regex for what there is; a dot, bracket or star that is meant as \
                        such has a backslash in front";
                    self.problem(path(table, key), words, hint);
                }
            }
        }
        needles
    }

    fn field_name(&mut self, table: &str, key: &str, name: &str) {
        if let Err(error) = FieldName::parse(name) {
            let words = format!("`{name}` is no field's name: {error}");
            self.problem(path(table, key), words, "write a name such as X-Mailer");
        }
    }

    fn addresses(&mut self, table: &str, key: &str, texts: &[String]) -> Option<Who> {
        let is_sender = key == "sender";
        let entry = |text: &str| address_entry(text).filter(|entry| is_sender || entry != NULL);
        let hint = "write an address; whole domains go into the key that ends in `_domain`";
        self.members(path(table, key), texts, entry, ("an address", hint))
    }

    fn domains(&mut self, table: &str, key: &str, texts: &[String]) -> Option<Who> {
        let words = ("a domain", "write example.com, *.example.com or *");
        self.members(path(table, key), texts, domain_entry, words)
    }

    /// The set of what `entry` makes of the texts; others are not `words.0`, and `words.1` helps.
    fn members(
        &mut self,
        key: String,
        texts: &[String],
        entry: impl Fn(&str) -> Option<String>,
        words: (&str, &str),
    ) -> Option<Who> {
        let mut entries = Vec::new();
        for text in texts {
            let entry = entry(text);
            if entry.is_none() {
                self.problem(key.as_str(), format!("`{text}` is not {}", words.0), words.1);
            }
            entries.extend(entry);
        }
        let members = Members::of_entries(entries).unwrap_or_else(|error| {
            self.problem(key, error.to_string(), "use a group");
            Members::default()
        });
        (!texts.is_empty()).then(|| [Arc::new(members)].into())
    }

    fn groups(&mut self, table: &str, key: &str, texts: &[String]) -> Option<Who> {
        let mut who = Vec::new();
        for text in texts {
            let members = self.groups.get(text.as_str()).map(Arc::clone);
            if members.is_none() {
                let hint = names(self.groups.keys());
                self.problem(path(table, key), format!("there is no group `{text}`"), &hint);
            }
            who.extend(members);
        }
        (!texts.is_empty()).then(|| who.into())
    }

    fn named(&mut self, table: &str, key: &str, texts: &[String], known: &HashSet<Box<str>>) {
        for text in texts.iter().filter(|text| !known.contains(text.as_str())) {
            let words = format!("there is no {key} `{text}`");
            self.problem(path(table, key), words, &names(known.iter()));
        }
    }
}

fn path(table: &str, key: &str) -> String {
    format!("{table}.{key}")
}

fn texts(texts: &[String]) -> Option<Names> {
    (!texts.is_empty()).then(|| texts.iter().map(|text| text.as_str().into()).collect())
}
