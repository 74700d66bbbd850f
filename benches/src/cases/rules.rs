//! What transport rules decide of a message.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be set up shall stop")]

use std::hint::black_box;

use mail::{ReversePath, Timestamp};
use policy::config::{Actions, Conditions, HeaderWords, Rule, SenderAddressLocation};
use policy::{Facts, Known, Members, Rules};

use crate::case::{Amount, Case};
use crate::inputs;

const RULES: usize = 5000;
/// An address that three of the rules are about.
const MEMBER: &str = "customer7@customers.example";

pub(super) fn cases() -> Vec<Case> {
    const NOBODY: &str = "x@elsewhere.example";
    vec![
        judge("5k", || mixed(10_000), NOBODY, inputs::header().to_vec()),
        judge("5k_3_apply", || mixed(10_000), MEMBER, inputs::header().to_vec()),
        judge("5k_hostile_from", || mixed(10_000), NOBODY, hostile()).timed_at_length(),
        judge("5k_and_1M_members", || mixed(1_000_000), MEMBER, inputs::header().to_vec())
            .timed_at_length(),
        judge("10_expressions", expressions, NOBODY, inputs::header().to_vec()),
    ]
}

/// A message from `sender` with ten recipients meets the rules.
fn judge(input: &'static str, rules: fn() -> Rules, sender: &'static str, header: Vec<u8>) -> Case {
    Case::new("rules_judge", input, Amount::Elements(1), move || {
        let (rules, header) = (rules(), header.clone());
        let envelope = inputs::envelope(10);
        let sender = ReversePath::Address(inputs::address(sender));
        move || {
            let facts = Facts {
                client: envelope.origin.client,
                helo: &envelope.origin.helo,
                listener: &envelope.origin.listener,
                connector: &envelope.origin.connector,
                account: None,
                is_tls: true,
                certificate_names: &[],
                sender: &sender,
                recipients: &envelope.recipients,
                header: &header,
                octets: 10 << 10,
                class: None,
                now: Timestamp::from_millis(1_795_286_760_000),
                auth: None,
                from_domain: None,
            };
            black_box(rules.judge(black_box(&facts)));
        }
    })
}

/// As many addresses as a `From` of 64 KiB can hold.
fn hostile() -> Vec<u8> {
    format!("From: {}\r\n\r\n", "a@b,".repeat(16 << 10)).into_bytes()
}

/// Rules of all kinds, one of them about a group with so many members.
fn mixed(members: usize) -> Rules {
    let rules: Vec<_> = (0..RULES).map(rule).collect();
    Rules::compile(&rules, known(members)).unwrap()
}

/// Rules that all must be asked.
fn expressions() -> Rules {
    let expression = |number: usize| Rule {
        name: format!("rule {number}"),
        expression: Some(format!(
            "octets > {number} && subject.matches('order [0-9]+') && recipient_domains.exists(d, d == 'x{number}')"
        )),
        ..Rule::default()
    };
    let rules: Vec<_> = (0..10).map(expression).collect();
    Rules::compile(&rules, Known::default()).unwrap()
}

fn known(members: usize) -> Known {
    let mut customers = Members::default();
    for number in 0..members {
        customers.insert(&format!("customer{number}@customers.example")).unwrap();
    }
    Known {
        groups: [("customers".into(), customers)].into(),
        outbound_connectors: ["evidence".into()].into(),
        ..Known::default()
    }
}

/// Rules about senders, recipients, their domains and words in turn; the first is about the group and the second about the
/// customers' domain.
fn rule(number: usize) -> Rule {
    let list = |text: String| vec![text];
    let mut when = Conditions::default();
    match number {
        0 => when.sender_in_group = list("customers".to_owned()),
        1 => when.sender_domain = list("customers.example".to_owned()),
        _ => match number % 6 {
            0 => when.sender = list(format!("customer{}@customers.example", number / 6)),
            1 => when.sender_domain = list(format!("*.sender{number}.example")),
            2 => when.recipient = list(format!("user{number}@destination.example")),
            3 => when.recipient_domain = list(format!("destination{number}.example")),
            4 => when.subject_contains = list(format!("word{number}")),
            _ => {
                let words = list(format!("mailer{number}"));
                when.header_contains = vec![HeaderWords { name: "X-Mailer".to_owned(), words }];
            }
        },
    }
    Rule {
        name: format!("rule {number}"),
        sender_address_location: SenderAddressLocation::HeaderOrEnvelope,
        when,
        then: Actions { route: Some("evidence".to_owned()), ..Actions::default() },
        ..Rule::default()
    }
}
