//! Rules read plainly, one after the other, as their documentation has it: slow, and nothing in common with the engine.

use std::collections::BTreeMap;

use mail::Recipient;

use super::Mail;
use crate::config::{Conditions, Mode, Rule, SenderAddressLocation, TimeWindow};

/// What is to be done, in plain words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) applied: Vec<String>,
    pub(super) refused_by: Option<String>,
    pub(super) routes: Vec<Option<String>>,
    pub(super) class: Option<String>,
    pub(super) held_by: Option<String>,
    pub(super) certify: bool,
    pub(super) added: Vec<String>,
    pub(super) copies: Vec<String>,
    /// Fields that are added, set or removed, in this order.
    pub(super) edited: Vec<String>,
}

/// The groups by name, as lines.
pub(super) type Groups = BTreeMap<&'static str, Vec<String>>;

/// Decides on `mail`, whose `From` has `from` and whose subject is `subject`.
pub(super) fn decide(
    rules: &[Rule],
    mail: &Mail,
    from: &[String],
    subject: &str,
    groups: &Groups,
) -> Said {
    let mut said = Said { routes: vec![None; mail.recipients.len()], ..Said::default() };
    let reader = Reader { mail, from, subject, groups };
    for rule in rules.iter().filter(|rule| rule.enabled) {
        let places: Vec<usize> =
            (0..mail.recipients.len()).filter(|it| reader.is_for(rule, *it)).collect();
        if !reader.is_active(rule) || places.is_empty() {
            continue;
        }
        said.applied.push(rule.name.clone());
        if rule.mode != Mode::Enforce {
            continue;
        }
        act(rule, &places, mail, &mut said);
        if rule.then.reject.is_some() || rule.stop_processing {
            break;
        }
    }
    said
}

fn act(rule: &Rule, places: &[usize], mail: &Mail, said: &mut Said) {
    let then = &rule.then;
    if let Some(route) = &then.route {
        for place in places {
            said.routes[*place] = Some(route.clone());
        }
    }
    if then.reject.is_some() {
        said.refused_by = Some(rule.name.clone());
    }
    if then.hold {
        said.held_by = Some(rule.name.clone());
    }
    said.edited.extend(then.remove_header.iter().cloned());
    said.edited.extend(then.set_header.iter().chain(&then.add_header).map(|it| it.name.clone()));
    let is_there = |said: &Said, address: &str| {
        let is = |other: &str| other.eq_ignore_ascii_case(address);
        mail.recipients.iter().any(|it| is(it.address.as_str()))
            || said.added.iter().chain(&said.copies).any(|it| is(it))
    };
    for address in &then.add_recipients {
        if !is_there(said, address) {
            said.added.push(address.clone());
        }
    }
    for address in &then.copy_to {
        if !is_there(said, address) {
            said.copies.push(address.clone());
        }
    }
    said.class = then.set_class.clone().or(said.class.take());
    said.certify |= then.certify;
}

struct Reader<'a> {
    mail: &'a Mail,
    from: &'a [String],
    subject: &'a str,
    groups: &'a Groups,
}

impl Reader<'_> {
    fn is_active(&self, rule: &Rule) -> bool {
        let now = self.mail.facts().now;
        rule.activation.is_none_or(|it| it.at() <= now)
            && rule.expiry.is_none_or(|it| now < it.at())
    }

    /// Whether the rule applies to the recipient at `place`.
    fn is_for(&self, rule: &Rule, place: usize) -> bool {
        let recipient = &self.mail.recipients[place];
        if let Some(text) = &rule.expression {
            return self.says(text, recipient);
        }
        let location = rule.sender_address_location;
        self.asked(&rule.when, location, recipient).iter().all(|holds| *holds)
            && !self.asked(&rule.except, location, recipient).contains(&true)
    }

    /// The expressions that the random rules have.
    fn says(&self, text: &str, recipient: &Recipient) -> bool {
        match text {
            "octets > 1500" => self.mail.octets > 1500,
            "recipient_domain == 'a.example'" => {
                recipient.address.as_str().to_lowercase().ends_with("@a.example")
            }
            "'ann@a.example' in from || spf == 'fail'" => {
                let is_ann = self.from.iter().any(|it| it.eq_ignore_ascii_case("ann@a.example"));
                is_ann || self.mail.auth.is_some_and(|it| it.spf.as_str() == "fail")
            }
            "headers['x-none'][0] == ''" => false,
            other => panic!("{other}"),
        }
    }

    /// What each key that is given says.
    fn asked(
        &self,
        of: &Conditions,
        location: SenderAddressLocation,
        recipient: &Recipient,
    ) -> Vec<bool> {
        let mail = self.mail;
        let envelope = mail.sender.address().map_or("<>".to_owned(), ToString::to_string);
        let senders: Vec<String> = match location {
            SenderAddressLocation::Header => self.from.to_vec(),
            SenderAddressLocation::Envelope => vec![envelope],
            SenderAddressLocation::HeaderOrEnvelope => [&[envelope], self.from].concat(),
        };
        let to = recipient.address.to_string();
        let mut said = Vec::new();
        let mut ask = |is_given: bool, holds: bool| said.extend(is_given.then_some(holds));
        let equals =
            |list: &[String], one: &str| list.iter().any(|it| it.eq_ignore_ascii_case(one));
        let within = |list: &[String], one: &str| list.iter().any(|it| is_domain_of(it, one));
        let member = |names: &[String], one: &str| {
            names
                .iter()
                .flat_map(|name| &self.groups[name.as_str()])
                .any(|line| is_member(line, one))
        };
        ask(!of.sender.is_empty(), senders.iter().any(|it| equals(&of.sender, it)));
        ask(!of.sender_domain.is_empty(), senders.iter().any(|it| within(&of.sender_domain, it)));
        ask(
            !of.sender_in_group.is_empty(),
            senders.iter().any(|it| member(&of.sender_in_group, it)),
        );
        ask(!of.recipient.is_empty(), equals(&of.recipient, &to));
        ask(!of.recipient_domain.is_empty(), within(&of.recipient_domain, &to));
        ask(!of.recipient_in_group.is_empty(), member(&of.recipient_in_group, &to));
        ask(!of.connector.is_empty(), of.connector.contains(&mail.connector.to_owned()));
        let is_account = |it: &str| {
            of.account.iter().any(|one| {
                one == it
                    || one == "*"
                    || one.strip_prefix('*').is_some_and(|end| it.ends_with(end))
            })
        };
        ask(!of.account.is_empty(), mail.account.is_some_and(is_account));
        let is_class = |it: &str| of.class.contains(&it.to_owned());
        ask(!of.class.is_empty(), mail.class.is_some_and(is_class));
        ask(of.size_over.is_some(), of.size_over.is_some_and(|it| mail.octets > it.as_octets()));
        ask(of.tls.is_some(), of.tls == Some(mail.is_tls));
        ask(!of.time.is_empty(), of.time.iter().any(|it| is_within(it, mail.now)));
        ask(!of.spf.is_empty(), mail.auth.is_some_and(|it| of.spf.contains(&it.spf)));
        let networks = &of.client_networks;
        let has_client = mail.client.is_some_and(|it| networks.iter().any(|one| one.contains(&it)));
        ask(!networks.is_empty(), has_client);
        let subject = self.subject.to_lowercase();
        let words: Vec<&str> = subject.split(' ').collect();
        let has_word =
            |list: &[String]| list.iter().any(|it| words.contains(&it.to_lowercase().as_str()));
        ask(!of.subject_contains.is_empty(), has_word(&of.subject_contains));
        let has_pattern = |it: &String| regex::Regex::new(it).unwrap().is_match(self.subject);
        ask(!of.subject_matches.is_empty(), of.subject_matches.iter().any(has_pattern));
        ask(
            !of.header_contains.is_empty(),
            of.header_contains.iter().any(|it| has_word(&it.words)),
        );
        said
    }
}

fn is_domain_of(pattern: &str, address: &str) -> bool {
    let (pattern, address) = (pattern.to_lowercase(), address.to_lowercase());
    let Some((_, domain)) = address.rsplit_once('@') else { return false };
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(parent) => domain.ends_with(parent),
        None => domain == pattern,
    }
}

fn is_member(line: &str, address: &str) -> bool {
    match line.strip_prefix('@') {
        Some(domain) => is_domain_of(domain, address),
        None if line.starts_with("*.") => is_domain_of(line, address),
        None => line.eq_ignore_ascii_case(address),
    }
}

/// The random times are all on one day, and minutes do not count.
fn is_within(window: &TimeWindow, now: &str) -> bool {
    let numbers: Vec<u16> =
        now.split(['T', ':']).skip(1).take(2).map(|it| it.parse().unwrap()).collect();
    let minutes = numbers[0] * 60 + numbers[1];
    let (from, to) = (window.from.minutes(), window.to.minutes());
    if from <= to { (from..to).contains(&minutes) } else { !(to..from).contains(&minutes) }
}
