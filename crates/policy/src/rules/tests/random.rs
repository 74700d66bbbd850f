//! The engine decides as a plain reading does, on random rules and messages.

use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use mail::header::Edit;
use mail::{Address, Recipient, ReversePath};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use units::ByteSize;

use super::naive::{self, Groups, Said};
use super::{Mail, known, recipient};
use crate::config::{
    Actions, AuthResult, Conditions, HeaderField, HeaderWords, Mode, Moment, Reject, Rule,
    SenderAddressLocation, TimeOfDay, TimeWindow,
};
use crate::rules::{AuthResults, Ending, Judgement, Known, Members, Rules};

const ADDRESSES: [&str; 7] = [
    "ann@a.example",
    "BOB@A.example",
    "cid@b.a.example",
    "dan@B.example",
    "eve@x.y.b.example",
    "\"odd @\"@a.example",
    "fay@[192.0.2.1]",
];
const DOMAINS: [&str; 6] =
    ["a.example", "*.A.example", "b.example", "*.example", "*", "[192.0.2.1]"];
const GROUPS: [&str; 3] = ["few", "domains", "many"];
const WORDS: [&str; 4] = ["order", "Urgent", "orders", "x1"];
const PATTERNS: [&str; 3] = ["ord.rs?$", "(?i)^URGENT", "[0-9]"];
const EXPRESSIONS: [&str; 4] = [
    "octets > 1500",
    "recipient_domain == 'a.example'",
    "'ann@a.example' in from || spf == 'fail'",
    "headers['x-none'][0] == ''",
];

/// Some of these, mostly none.
fn some<const N: usize>(of: [&'static str; N]) -> impl Strategy<Value = Vec<String>> {
    let some = subsequence(of.to_vec(), 1..3);
    prop_oneof![
        5 => Just(Vec::new()),
        1 => some.prop_map(|it| it.into_iter().map(str::to_owned).collect()),
    ]
}

fn seldom<T: Clone + std::fmt::Debug + 'static>(
    of: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<T>> {
    prop_oneof![5 => Just(None), 1 => of.prop_map(Some)]
}

fn one_or_none<T: Clone>(of: Option<T>) -> Vec<T> {
    of.into_iter().collect()
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let sender = (some(ADDRESSES), some(DOMAINS), some(GROUPS));
    let recipient = (some(ADDRESSES), some(DOMAINS), some(GROUPS));
    let client = (
        some(["office", "partner"]),
        some(["app@a.example", "*@a.example", "*"]),
        some(["bulk", "x"]),
    );
    let networks = seldom(select(vec!["192.0.2.0/24", "::/0"]));
    let text = (some(WORDS), some(PATTERNS), some(WORDS));
    let hour = || (0_u16..25).prop_map(|hour| TimeOfDay::parse(&format!("{hour:02}:00")).unwrap());
    let window =
        (hour(), hour()).prop_map(|(from, to)| TimeWindow { from, to, ..TimeWindow::default() });
    let rest = (
        seldom((1_u64..3).prop_map(ByteSize::kib)),
        seldom(any::<bool>()),
        seldom(window),
        seldom(select(vec![AuthResult::Pass, AuthResult::Fail])),
    );
    (sender, recipient, client, networks, text, rest).prop_map(
        |(sender, recipient, client, networks, text, (size_over, tls, time, spf))| Conditions {
            sender: sender.0,
            sender_domain: sender.1,
            sender_in_group: sender.2,
            recipient: recipient.0,
            recipient_domain: recipient.1,
            recipient_in_group: recipient.2,
            connector: client.0,
            account: client.1,
            class: client.2,
            client_networks: one_or_none(networks.map(|it| it.parse::<IpNet>().unwrap())),
            subject_contains: text.0,
            subject_matches: text.1,
            header_contains: if text.2.is_empty() {
                Vec::new()
            } else {
                vec![HeaderWords { name: "SUBJECT".to_owned(), words: text.2 }]
            },
            size_over,
            tls,
            time: one_or_none(time),
            spf: one_or_none(spf),
            ..Conditions::default()
        },
    )
}

fn actions() -> impl Strategy<Value = Actions> {
    let field = |name: &str| HeaderField { name: name.to_owned(), value: "v".to_owned() };
    let fields = (some(["X-A", "X-B"]), some(["X-A", "X-B"]), some(["X-A", "X-C"]));
    let rest =
        (seldom(select(vec!["a", "b"])), seldom(Just(Reject::default())), any::<(bool, bool)>());
    (seldom(select(vec!["bulk", "evidence"])), fields, some(ADDRESSES), some(ADDRESSES), rest)
        .prop_map(move |(route, fields, added, copies, (class, reject, (hold, certify)))| Actions {
            route: route.map(str::to_owned),
            reject,
            hold,
            certify,
            remove_header: fields.0,
            set_header: fields.1.iter().map(|it| field(it)).collect(),
            add_header: fields.2.iter().map(|it| field(it)).collect(),
            add_recipients: added,
            copy_to: copies,
            set_class: class.map(str::to_owned),
            rewrite_from: None,
        })
}

fn rule() -> impl Strategy<Value = Rule> {
    let location = select(vec![
        SenderAddressLocation::Header,
        SenderAddressLocation::Envelope,
        SenderAddressLocation::HeaderOrEnvelope,
    ]);
    let moment = || {
        seldom(
            select(vec!["2026-11-22", "2026-11-23T12:00:00Z"])
                .prop_map(|it| Moment::parse(it).unwrap()),
        )
    };
    let mode = select(vec![Mode::Enforce, Mode::Enforce, Mode::Test, Mode::TestWithNotice]);
    let except = prop_oneof![Just(Conditions::default()), conditions()];
    let flags = (prop::bool::weighted(0.9), prop::bool::weighted(0.1), mode, location);
    (conditions(), except, actions(), flags, moment(), seldom(select(EXPRESSIONS.to_vec())))
        .prop_map(
            |(
                when,
                except,
                then,
                (enabled, stop_processing, mode, sender_address_location),
                expiry,
                expression,
            )| {
                let is_plain = expression.is_none();
                Rule {
                    enabled,
                    stop_processing,
                    mode,
                    sender_address_location,
                    expiry,
                    when: if is_plain { when } else { Conditions::default() },
                    except: if is_plain { except } else { Conditions::default() },
                    expression: expression.map(str::to_owned),
                    then,
                    ..Rule::default()
                }
            },
        )
}

fn mail() -> impl Strategy<Value = (Mail, Vec<String>, String)> {
    let address = || select(ADDRESSES.to_vec());
    let sender = seldom(Just(())).prop_flat_map(move |null| (Just(null.is_some()), address()));
    let subject = subsequence(WORDS.to_vec(), 0..3).prop_map(|words| words.join(" "));
    let from = prop::collection::vec(select(ADDRESSES[..5].to_vec()), 0..3);
    let facts = (
        select(vec!["office", "partner"]),
        seldom(select(vec!["app@a.example", "other"])),
        seldom(select(vec!["bulk", "y"])),
        select(vec!["2026-11-23T02:30:00Z", "2026-11-23T12:00:00Z", "2026-11-23T23:59:59Z"]),
        seldom(select(vec![AuthResult::Pass, AuthResult::Fail])),
    );
    let octets = select(vec![1000_u64, 1024, 2000, 5000]);
    let recipients = prop::collection::vec(address(), 1..4);
    (sender, recipients, from, subject, facts, (octets, any::<bool>(), any::<bool>())).prop_map(
        |((is_null, sender), recipients, from, subject, facts, (octets, is_tls, has_client))| {
            let from: Vec<_> = from.into_iter().map(str::to_owned).collect();
            let auth = facts.4.map(|spf| AuthResults { spf, dkim: spf, dmarc: spf });
            let mail = Mail {
                sender: if is_null {
                    ReversePath::Null
                } else {
                    ReversePath::Address(Address::parse(sender).unwrap())
                },
                recipients: recipients.into_iter().map(recipient).collect(),
                header: format!("From: {}\r\nSubject: {subject}\r\n\r\n", from.join(",\r\n ")),
                client: has_client.then(|| "192.0.2.7".parse().unwrap()),
                connector: facts.0,
                account: facts.1,
                class: facts.2,
                octets,
                is_tls,
                now: facts.3,
                auth,
            };
            (mail, from, subject)
        },
    )
}

/// Made once, since one group is too large to be made for each case.
static MADE: OnceLock<(Groups, Known)> = OnceLock::new();

fn groups() -> (Groups, Known) {
    let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut many: Vec<_> = (0..5000).map(|number| format!("user{number}@many.example")).collect();
    many.extend(lines(&["cid@b.a.example", "@b.example"]));
    let few = lines(&["Ann@a.example", "dan@b.example"]);
    let domains = lines(&["@A.example", "*.b.example"]);
    let groups: Groups = [("few", few), ("domains", domains), ("many", many)].into();
    let members = groups.iter().map(|(name, lines)| {
        let mut members = Members::default();
        members.insert_lines(&lines.join("\n")).unwrap();
        ((*name).into(), members)
    });
    let known = Known { groups: members.collect(), ..known() };
    (groups, known)
}

fn said(judgement: &Judgement) -> Said {
    let text = |text: &Arc<str>| text.to_string();
    let applied = judgement.verdicts.iter().filter(|it| it.ending == Ending::Applied);
    let addresses = |list: &[Recipient]| list.iter().map(|it| it.address.to_string()).collect();
    let edited = judgement.edits.iter().map(|edit| match edit {
        Edit::Add { name, .. } | Edit::Set { name, .. } | Edit::Remove { name, .. } => {
            name.to_string()
        }
    });
    Said {
        applied: applied.map(|it| text(&it.rule)).collect(),
        refused_by: judgement.refusal.as_ref().map(|it| text(&it.rule)),
        routes: judgement.routes.iter().map(|it| it.as_ref().map(text)).collect(),
        class: judgement.class.as_deref().map(str::to_owned),
        held_by: judgement.held.as_deref().and_then(|it| it.split('`').nth(1)).map(str::to_owned),
        certify: judgement.certify.is_some(),
        added: addresses(&judgement.added),
        copies: addresses(&judgement.copies),
        edited: edited.collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn the_engine_decides_as_a_plain_reading_does(
        mut rules in prop::collection::vec(rule(), 1..12),
        mails in prop::collection::vec(mail(), 1..6)
    ) {
        for (number, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("r{number}");
        }
        let (groups, known) = MADE.get_or_init(groups);
        let compiled = Rules::compile(&rules, known.clone()).unwrap();
        for (mail, from, subject) in &mails {
            let judged = compiled.judge(&mail.facts());
            let mut got = said(&judged);
            let want = naive::decide(&rules, mail, from, subject, groups);
            got.routes.resize(want.routes.len(), None);
            prop_assert_eq!(got, want, "{:?}", mail);
            let explained = compiled.explain(&mail.facts());
            prop_assert_eq!(said(&explained), said(&judged));
            prop_assert_eq!(explained.verdicts.len(), rules.iter().filter(|it| it.enabled).count());
        }
    }

    #[test]
    fn no_header_breaks_a_rule_or_adds_a_field(
        octets in prop::collection::vec(
            prop_oneof![3 => select(b"\r\n \t:=?<>@,;\"(\\abqQ".to_vec()), 1 => any::<u8>()], 0..300
        )
    ) {
        let header = [b"From: x <a@b.example>".as_slice(), &octets, b"\r\nX-Kept: 1\r\n\r\n"].concat();
        let rule = |then: &str, asks: &str| format!(r#"{{{asks} "then":{{{then}}}}}"#);
        let texts = [
            rule(r#""rewrite_from":"new@c.example""#, ""),
            rule(r#""hold":true"#, r#""when":{"sender_domain":["*"],"subject_contains":["a"],"subject_matches":["b"]},"#),
            rule(r#""hold":true"#, r#""expression":"size(headers) > 0 && from.exists(f, f.contains('a'))","#),
        ];
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let compiled = super::compiled(&texts);
        let mail = Mail::default();
        let facts = crate::rules::Facts { header: &header, ..mail.facts() };
        let judgement = compiled.judge(&facts);
        compiled.explain(&facts);
        let changed = mail::header::apply(&header, &judgement.edits);
        let names = |text: &[u8]| {
            let fields = mail::header::Header::read(text).fields;
            let names = fields.iter().map(|it| it.name().to_ascii_lowercase());
            let others: Vec<_> = names.filter(|it| !matches!(it.as_slice(), b"from" | b"reply-to")).collect();
            others
        };
        prop_assert_eq!(names(&header), names(&changed));
    }
}
