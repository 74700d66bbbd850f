//! Rules as a whole: what they decide, that the compiled ones say what a plain reading of the settings says, and what is
//! wrong with them.

mod naive;
mod random;

use std::net::IpAddr;

use mail::header::apply;
use mail::{Address, Recipient, ReversePath, Timestamp};

use super::{AuthResults, Ending, Facts, Judgement, Known, Members, Rules};
use crate::config::{self, AuthResult};

/// A message that tests change one thing of.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) sender: ReversePath,
    pub(super) recipients: Vec<Recipient>,
    pub(super) header: String,
    pub(super) client: Option<IpAddr>,
    pub(super) connector: &'static str,
    pub(super) account: Option<&'static str>,
    pub(super) class: Option<&'static str>,
    pub(super) octets: u64,
    pub(super) is_tls: bool,
    pub(super) now: &'static str,
    pub(super) auth: Option<AuthResults>,
}

pub(super) fn recipient(text: &str) -> Recipient {
    Address::parse(text).unwrap().into()
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            sender: ReversePath::Address(Address::parse("bounce@lists.example").unwrap()),
            recipients: vec![recipient("bob@example.com"), recipient("carol@partner.example")],
            header: "From: Alice <Alice@example.org>\r\nSubject: Your order 1234\r\nX-Mailer: orders 7\r\n\r\n"
                .to_owned(),
            client: Some("192.0.2.7".parse().unwrap()),
            connector: "office",
            account: Some("app@example.org"),
            class: None,
            octets: 2048,
            is_tls: true,
            now: "2026-11-23T10:30:00Z",
            auth: None,
        }
    }
}

impl Mail {
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            client: self.client,
            helo: "client.example",
            listener: "smtp",
            connector: self.connector,
            account: self.account,
            is_tls: self.is_tls,
            certificate_names: &[],
            sender: &self.sender,
            recipients: &self.recipients,
            header: self.header.as_bytes(),
            octets: self.octets,
            class: self.class,
            now: Timestamp::from_rfc3339(self.now).unwrap(),
            auth: self.auth,
            from_domain: None,
        }
    }
}

pub(super) fn known() -> Known {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let group = |lines: &str| {
        let mut members = Members::default();
        members.insert_lines(lines).unwrap();
        members
    };
    Known {
        groups: [
            ("staff".into(), group("alice@example.org\nbob@example.com\n")),
            ("partners".into(), group("@partner.example\n*.partner.example\n")),
        ]
        .into(),
        outbound_connectors: names(&["evidence", "bulk"]),
        inbound_connectors: names(&["office", "partner"]),
        listeners: names(&["smtp"]),
    }
}

/// Rules written as in the settings, as JSON.
fn rules(texts: &[&str]) -> Vec<config::Rule> {
    let named = |(number, text): (usize, &&str)| {
        let mut rule: config::Rule = serde_json::from_str(text).unwrap();
        if rule.name.is_empty() {
            rule.name = format!("r{}", number + 1);
        }
        rule
    };
    texts.iter().enumerate().map(named).collect()
}

#[track_caller]
fn compiled(texts: &[&str]) -> Rules {
    Rules::compile(&rules(texts), known()).unwrap()
}

fn judged(texts: &[&str], mail: &Mail) -> Judgement {
    compiled(texts).judge(&mail.facts())
}

/// The routes in short, `-` where no rule chose one.
fn routes(judgement: &Judgement) -> String {
    let names: Vec<_> = judgement.routes.iter().map(|it| it.as_deref().unwrap_or("-")).collect();
    names.join(" ")
}

/// Whether one rule with this `when` applies to `mail`.
fn applies(when: &str, mail: &Mail) -> bool {
    let text = format!(r#"{{"when":{{{when}}},"then":{{"certify":true}}}}"#);
    judged(&[&text], mail).certify.is_some()
}

#[test]
fn ee_12_only_a_rule_that_matches_routes() {
    let of = |when: &str, mail: &Mail| {
        let text = format!(r#"{{"when":{{{when}}},"then":{{"route":"evidence"}}}}"#);
        routes(&judged(&[&text], mail))
    };
    let mail = Mail::default();
    assert_eq!(routes(&judged(&[], &mail)), "");
    assert_eq!(of(r#""sender":["someone@else.example"]"#, &mail), "");
    assert_eq!(of(r#""sender":["ALICE@example.org"]"#, &mail), "evidence evidence");
    assert_eq!(of(r#""sender":["x@y.example","alice@example.org"]"#, &mail), "evidence evidence");
    assert_eq!(of(r#""sender_in_group":["staff"]"#, &mail), "evidence evidence");
    assert_eq!(of("", &mail), "evidence evidence");
    // A condition on recipients routes those that it names.
    assert_eq!(of(r#""recipient_domain":["*.example","example.net"]"#, &mail), "- evidence");
    assert_eq!(of(r#""recipient_in_group":["staff"]"#, &mail), "evidence -");
    assert_eq!(of(r#""recipient":["carol@partner.example"],"tls":false"#, &mail), "");
}

#[test]
fn ee_13_the_sender_is_looked_for_where_the_rule_says() {
    let of = |location: &str, sender: &str| {
        let text = format!(
            r#"{{"sender_address_location":"{location}","when":{{"sender":["{sender}"]}},"then":{{"hold":true}}}}"#
        );
        judged(&[&text], &Mail::default()).held.is_some()
    };
    let (header, envelope) = ("alice@example.org", "bounce@lists.example");
    for (location, in_header, in_envelope) in
        [("header", true, false), ("envelope", false, true), ("header-or-envelope", true, true)]
    {
        assert_eq!((of(location, header), of(location, envelope)), (in_header, in_envelope));
    }
    let report = Mail { sender: ReversePath::Null, ..Mail::default() };
    let text =
        r#"{"sender_address_location":"envelope","when":{"sender":["<>"]},"then":{"hold":true}}"#;
    assert!(judged(&[text], &report).held.is_some());
    assert!(judged(&[text], &Mail::default()).held.is_none());
}

#[test]
fn ee_14_a_test_changes_nothing_and_says_what_it_would_do() {
    let text = |mode: &str| {
        format!(
            r#"{{"name":"trial","mode":"{mode}","severity":"high","stop_processing":true,
            "then":{{"route":"bulk","reject":{{}},"hold":true,"set_class":"x","certify":true,
            "add_header":[{{"name":"X-A","value":"b"}}],"copy_to":["a@b.example"]}}}}"#
        )
    };
    let later = r#"{"name":"later","then":{"route":"evidence"}}"#;
    for mode in ["test", "test-with-notice"] {
        let judgement = judged(&[&text(mode), later], &Mail::default());
        assert_eq!(routes(&judgement), "evidence evidence");
        let said = &judgement.verdicts[0];
        let (actions, mode_said) = (&said.actions, serde_json::to_string(&said.mode).unwrap());
        assert_eq!(
            &**actions,
            "route by bulk; reject with 550 5.7.1 delivery not authorized, message refused; hold; add X-A; \
            copy to a@b.example; set class x; certify"
        );
        assert_eq!((mode_said.trim_matches('"'), said.severity.as_str()), (mode, "high"));
        assert_eq!(judgement.acted().map(|it| &**it).collect::<Vec<_>>(), ["later"]);
        let nothing = Judgement {
            routes: judgement.routes.clone(),
            verdicts: judgement.verdicts.clone(),
            ..Judgement::default()
        };
        assert_eq!(judgement, nothing);
    }
    let judgement = judged(&[&text("enforce"), later], &Mail::default());
    assert_eq!(judgement.refusal.as_ref().map(|it| &*it.rule), Some("trial"));
    assert_eq!(judgement.verdicts.len(), 1);
}

#[test]
fn each_condition_looks_at_its_part() {
    let mail = Mail::default();
    let dmarc =
        AuthResults { spf: AuthResult::SoftFail, dkim: AuthResult::None, dmarc: AuthResult::Fail };
    let evaluated = Mail { auth: Some(dmarc), class: Some("bulk"), ..Mail::default() };
    for (when, want) in [
        (r#""connector":["office"],"listener":["smtp"],"account":["*@example.org"]"#, true),
        (r#""connector":["partner"]"#, false),
        (r#""account":["other"]"#, false),
        (r#""client_networks":["192.0.2.0/24"]"#, true),
        (r#""client_networks":["10.0.0.0/8","::1"]"#, false),
        (r#""certificate_names":["*.example"]"#, false),
        (r#""header_contains":[{"name":"x-MAILER","words":["Orders"]}]"#, true),
        (r#""header_contains":[{"name":"x-mailer","words":["order"]}]"#, false),
        (r#""header_matches":[{"name":"X-Mailer","patterns":["^orders [0-9]$"]}]"#, true),
        (r#""subject_contains":["your ORDER"]"#, true),
        (r#""subject_matches":["[0-9]{5}"]"#, false),
        (r#""size_over":"2047B""#, true),
        (r#""size_over":"2KiB""#, false),
        (r#""time":[{"weekdays":["mon"],"from":"10:00","to":"11:00"}]"#, true),
        (r#""time":[{"weekdays":["tue"]}]"#, false),
        (r#""tls":true"#, true),
        (r#""class":["bulk"]"#, false),
        (r#""spf":["none","fail"]"#, false),
        (r#""recipient_domain":["EXAMPLE.com"]"#, true),
        (r#""sender_domain":["example.org"],"recipient_domain":["*"],"size_over":"1B""#, true),
        (r#""sender_domain":["lists.example"]"#, false),
    ] {
        assert_eq!(applies(when, &mail), want, "{when}");
    }
    for (when, want) in [
        (r#""class":["bulk"]"#, true),
        (r#""spf":["softfail","fail"],"dmarc":["fail"],"dkim":["none"]"#, true),
        (r#""dmarc":["pass"]"#, false),
    ] {
        assert_eq!(applies(when, &evaluated), want, "{when}");
    }
    assert!(
        compiled(&[r#"{"when":{"spf":["fail"]},"then":{"hold":true}}"#]).wants_authentication()
    );
    assert!(!compiled(&[r#"{"then":{"hold":true}}"#]).wants_authentication());
}

#[test]
fn one_exception_is_enough() {
    let of = |except: &str| {
        let text = format!(r#"{{"except":{{{except}}},"then":{{"route":"bulk"}}}}"#);
        routes(&judged(&[&text], &Mail::default()))
    };
    assert_eq!(of(r#""size_over":"1MiB""#), "bulk bulk");
    assert_eq!(of(r#""size_over":"1MiB","sender_domain":["example.org"]"#), "");
    assert_eq!(of(r#""recipient":["bob@example.com"]"#), "- bulk");
    assert_eq!(of(r#""recipient":["bob@example.com"],"recipient_in_group":["partners"]"#), "");
}

#[test]
fn later_rules_win_unless_an_earlier_one_stops() {
    let first = r#"{"then":{"route":"bulk","set_class":"a"},"stop_processing":false}"#;
    let stop = r#"{"then":{"route":"bulk","set_class":"a"},"stop_processing":true}"#;
    let last =
        r#"{"when":{"recipient":["bob@example.com"]},"then":{"route":"evidence","set_class":"b"}}"#;
    let judgement = judged(&[first, last], &Mail::default());
    assert_eq!(
        (routes(&judgement).as_str(), judgement.class.as_deref()),
        ("evidence bulk", Some("b"))
    );
    let judgement = judged(&[stop, last], &Mail::default());
    assert_eq!((routes(&judgement).as_str(), judgement.class.as_deref()), ("bulk bulk", Some("a")));
}

#[test]
fn a_rule_has_its_time() {
    let of = |text: &str| !judged(&[text], &Mail::default()).verdicts.is_empty();
    assert!(of(r#"{"activation":"2026-11-23","expiry":"2026-11-24","then":{"hold":true}}"#));
    assert!(!of(r#"{"activation":"2026-11-24","then":{"hold":true}}"#));
    assert!(!of(r#"{"expiry":"2026-11-23T10:30:00Z","then":{"hold":true}}"#));
    assert!(!of(r#"{"enabled":false,"then":{"hold":true}}"#));
}

#[test]
fn the_header_is_changed_in_order() {
    let of = |then: &str, header: &str| {
        let mail = Mail { header: header.to_owned(), ..Mail::default() };
        let judgement = judged(&[&format!(r#"{{"then":{{{then}}}}}"#)], &mail);
        String::from_utf8(apply(header.as_bytes(), &judgement.edits)).unwrap()
    };
    assert_eq!(
        of(
            r#""add_header":[{"name":"X-New","value":"grün"}],"set_header":[{"name":"x-b","value":"2"}],
            "remove_header":["X-C"]"#,
            "X-B: 1\r\nX-C: 1\r\nX-B: 3\r\n\r\n"
        ),
        "X-New: =?utf-8?q?gr=C3=BCn?=\r\nx-b: 2\r\n\r\n"
    );
    let rewrite = r#""rewrite_from":"orders@relay.example""#;
    assert_eq!(
        of(rewrite, "From: \"A, B\" <a@b.example>, c@d.example\r\n\r\n"),
        "From: \"A, B\" <orders@relay.example>\r\nReply-To: \"A, B\" <a@b.example>, <c@d.example>\r\n\r\n"
    );
    assert_eq!(
        of(rewrite, "From: a@b.example\r\nReply-To: x@y.example\r\nFrom: e@f.example\r\n\r\n"),
        "From: <orders@relay.example>\r\nReply-To: x@y.example\r\n\r\n"
    );
    assert_eq!(of(rewrite, "X: y\r\n\r\n"), "X: y\r\nFrom: <orders@relay.example>\r\n\r\n");
}

#[test]
fn recipients_are_added_once() {
    let text = r#"{"then":{"add_recipients":["BOB@example.com","dan@example.com"],
        "copy_to":["archive@example.com","Dan@example.com","Archive@example.com"]}}"#;
    let judgement = judged(&[text, text], &Mail::default());
    let texts =
        |list: &[Recipient]| list.iter().map(|it| it.address.to_string()).collect::<Vec<_>>();
    assert_eq!(texts(&judgement.added), ["dan@example.com"]);
    assert_eq!(texts(&judgement.copies), ["archive@example.com"]);
    assert_eq!(judgement.copies[0].notify, Some(mail::Notify::NEVER));
    assert_eq!(judgement.added[0].notify, None);
}

#[test]
fn every_verdict_is_explained() {
    let rules = compiled(&[
        r#"{"when":{"sender_domain":["example.org"],"recipient_domain":["example.com"]},"then":{"hold":true}}"#,
        r#"{"when":{"size_over":"1MiB"}}"#,
        r#"{"except":{"sender":["alice@example.org"]}}"#,
        r#"{"when":{"recipient_in_group":["partners"]},"except":{"recipient_domain":["*"]}}"#,
        r#"{"expression":"headers['x-none'][0] == 'a'"}"#,
        r#"{"expression":"octets > 10000"}"#,
        r#"{"then":{"reject":{"status":"4.7.1","text":"later"}}}"#,
        r#"{"then":{"hold":true}}"#,
    ]);
    let judgement = rules.explain(&Mail::default().facts());
    let words: Vec<_> = judgement.verdicts.iter().map(|it| &*it.why).collect();
    assert_eq!(
        words,
        [
            "sender_domain: alice@example.org; 1 of 2 recipients: bob@example.com",
            "size_over does not hold (2048 octets)",
            "sender of except holds (alice@example.org)",
            "recipient_in_group, recipient_domain leaves no recipient",
            "No such key: x-none",
            "the expression says false",
            "it is for all messages",
            "not asked: rule `r7` was the last",
        ]
    );
    assert_eq!(judgement.verdicts[4].ending, Ending::Failed);
    assert_eq!(judgement.refusal.unwrap().reply.to_string(), "450 4.7.1 later");
    let judged = rules.judge(&Mail::default().facts());
    assert_eq!(judged.verdicts.len(), 3);
    assert_eq!((judged.failures(), &*judged.verdicts[1].why), (1, "No such key: x-none"));
}

#[test]
fn expressions_see_the_message() {
    let mail = Mail { class: Some("bulk"), ..Mail::default() };
    for (expression, want) in [
        ("sender == 'bounce@lists.example' && sender_domain == 'lists.example'", "bulk bulk"),
        ("from == ['alice@example.org'] && 'example.org' in from_domains", "bulk bulk"),
        ("recipients.exists(r, r.endsWith('@partner.example'))", "bulk bulk"),
        ("recipient_domain == 'partner.example'", "- bulk"),
        ("recipient.startsWith('bob@') || recipient == 'x'", "bulk -"),
        ("in_group(recipient, 'staff')", "bulk -"),
        ("in_network(client, '192.0.2.0/24') && !in_network(client, '10.0.0.1')", "bulk bulk"),
        ("subject.matches('order [0-9]+') && !subject.matches('^x')", "bulk bulk"),
        ("'x-mailer' in headers && headers['x-mailer'].exists(v, v.contains('7'))", "bulk bulk"),
        ("['a', 'orders'].exists(w, headers['x-mailer'][0].startsWith(w))", "bulk bulk"),
        ("weekday == 'mon' && hour == 10 && minute == 30 && now > 1700000000", "bulk bulk"),
        ("octets > 2000 && tls && size(recipients) == 2", "bulk bulk"),
        ("listener == 'smtp' && connector == 'office' && account.endsWith('.org')", "bulk bulk"),
        ("class == 'bulk' && spf == '' && dmarc == '' && helo == 'client.example'", "bulk bulk"),
        ("size(certificate_names) == 0 && client == '192.0.2.7'", "bulk bulk"),
        ("octets > 5000", ""),
        ("octets", ""),
        ("size(client)", ""),
    ] {
        let text = format!(r#"{{"expression":"{expression}","then":{{"route":"bulk"}}}}"#);
        let judgement = judged(&[&text], &mail);
        assert_eq!(routes(&judgement), want, "{expression} {:?}", judgement.verdicts);
    }
    assert!(compiled(&[r#"{"expression":"spf == 'fail'"}"#]).wants_authentication());
}

#[test]
fn expressions_that_could_take_long_are_refused() {
    let deep = format!("{}octets{} == 1", "(".repeat(13), ")".repeat(13));
    let many = format!("octets{} == 1", " + 1".repeat(300));
    let hidden = format!(r"r'\' == '' || {deep}");
    for (expression, want) in [
        ("octets >", "line 1, column 9"),
        ("octet > 1", "there is no variable `octet`"),
        ("lower(subject) == 'a'", "there is no function `lower`"),
        ("subject.matches(helo)", "must stand in quotes"),
        ("subject.matches('(')", "`(`"),
        ("in_group(sender, 'nobody')", "there is no group `nobody`"),
        ("in_network(client, 'x')", "`x` is not a network"),
        ("recipients.exists(a, recipients.exists(b, a == b))", "in a loop over another list"),
        ("recipients.exists(a, a in from)", "in a loop over another list"),
        ("[1].exists(a, [1].exists(b, [1].exists(c, true)))", "only loops over written lists"),
        ("recipient in from", "cannot stand beside `recipient`"),
        ("'''a''' == subject", "triple quotes"),
        (&deep, "brackets 13 deep"),
        (&hidden, "brackets 13 deep"),
        (&many, "200 are the limit"),
        (&"a".repeat(5000), "4096 are the limit"),
    ] {
        let rule = config::Rule {
            name: "a".to_owned(),
            expression: Some(expression.to_owned()),
            ..Default::default()
        };
        let problems = Rules::compile(&[rule], known()).unwrap_err();
        assert_eq!(problems[0].key, "expression");
        assert!(problems[0].words.contains(want), "{expression}: {}", problems[0].words);
    }
}

#[test]
fn the_deepest_expressions_fit_the_stack() {
    // These are as deep as the limits let them be; a thread of a test has 2 MiB.
    let brackets = format!("{}octets{} == 1", "(".repeat(12), ")".repeat(12));
    let sums = format!("octets{} > 1", " + 1".repeat(198));
    let questions = format!("{}true", "tls ? false : ".repeat(90));
    let nots = format!("{}tls", "!".repeat(198));
    let indexes = format!("{}headers['x-mailer'][0]{} == ''", "[".repeat(6), "][0]".repeat(6));
    for expression in [brackets, sums, questions, nots, indexes] {
        let rule = config::Rule {
            name: "a".to_owned(),
            expression: Some(expression.clone()),
            ..Default::default()
        };
        let rules =
            Rules::compile(&[rule], known()).unwrap_or_else(|it| panic!("{expression}: {it:?}"));
        assert_eq!(rules.explain(&Mail::default().facts()).failures(), 0, "{expression}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, key, want) in [
        (r#"{"name":"a\nb"}"#, "name", "a rule needs a name"),
        (r#"{"when":{"sender":["@a.example"]}}"#, "when.sender", "is not an address"),
        (r#"{"except":{"recipient":["<>"]}}"#, "except.recipient", "is not an address"),
        (r#"{"when":{"recipient_domain":["*a"]}}"#, "when.recipient_domain", "is not a domain"),
        (
            r#"{"when":{"sender_in_group":["x"]}}"#,
            "when.sender_in_group",
            "no group `x`; there are partners, staff",
        ),
        (
            r#"{"when":{"connector":["x"]}}"#,
            "when.connector",
            "there is no connector `x`; there are office, partner",
        ),
        (
            r#"{"when":{"listener":["x"]}}"#,
            "when.listener",
            "there is no listener `x`; there are smtp",
        ),
        (r#"{"when":{"subject_matches":["("]}}"#, "when.subject_matches", "unclosed group"),
        (r#"{"when":{"subject_contains":[" "]}}"#, "when.subject_contains", "a word is empty"),
        (
            r#"{"when":{"header_contains":[{"name":"a b","words":["x"]}]}}"#,
            "when.header_contains",
            "no field's name",
        ),
        (r#"{"expression":"tls","when":{"tls":true}}"#, "expression", "beside `when`"),
        (r#"{"activation":"2027-01-02","expiry":"2027-01-01"}"#, "expiry", "before it is active"),
        (
            r#"{"then":{"route":"x"}}"#,
            "then.route",
            "no outbound connector `x`; there are bulk, evidence",
        ),
        (r#"{"then":{"reject":{"status":"2.0.0"}}}"#, "then.reject.status", "no enhanced status"),
        (r#"{"then":{"reject":{"text":"a\r\nb"}}}"#, "then.reject.text", "not one line"),
        (
            r#"{"then":{"add_header":[{"name":"X-A","value":"a\r\nBcc: b"}]}}"#,
            "then.add_header",
            "control character",
        ),
        (r#"{"then":{"remove_header":["received"]}}"#, "then.remove_header", "may not be changed"),
        (
            r#"{"then":{"rewrite_from":"A <a@b.example>"}}"#,
            "then.rewrite_from",
            "is not an address",
        ),
        (r#"{"then":{"copy_to":["a"]}}"#, "then.copy_to", "is not an address"),
        (r#"{"then":{"set_class":"a b"}}"#, "then.set_class", "without spaces"),
    ] {
        let problems = Rules::compile(&rules(&[text]), known()).unwrap_err();
        assert_eq!((problems.len(), problems[0].key.as_str()), (1, key), "{problems:?}");
        assert!(problems[0].to_string().contains(want), "{}", problems[0]);
    }
    let twice = [r#"{"name":"a"}"#, r#"{"name":"a","enabled":false,"then":{"route":"x"}}"#];
    let problems = Rules::compile(&rules(&twice), known()).unwrap_err();
    assert_eq!(problems.iter().map(|it| it.rule).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn rules_that_are_never_asked_are_warned_of() {
    let of = |texts: &[&str]| {
        compiled(texts).warnings().iter().map(|it| (it.rule, it.words.clone())).collect::<Vec<_>>()
    };
    let hold = r#"{"then":{"hold":true}}"#;
    assert_eq!(of(&[hold, hold]), []);
    assert_eq!(
        of(&[r#"{"stop_processing":true}"#, hold]),
        [(1, "`r2` is never asked, since `r1` ends all before".to_owned())]
    );
    assert_eq!(of(&[r#"{"mode":"test","then":{"reject":{}}}"#, hold]), []);
    assert_eq!(of(&[r#"{"expiry":"2030-01-01","then":{"reject":{}}}"#, hold]), []);
    assert_eq!(of(&[r#"{"then":{"reject":{}}}"#, r#"{"enabled":false}"#, hold]).len(), 1);
    assert_eq!(of(&[r#"{"when":{"tls":true}}"#]), [(0, "`r1` does nothing".to_owned())]);
}
