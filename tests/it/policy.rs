//! Which way mail leaves, and what rules do with it on the way.

use std::collections::BTreeSet;

use crate::harness::letter::behind_trace;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Received, Sink, Stage};
use crate::harness::wait::wait_until;

/// Settings without an outbound connector; those of the test come behind.
fn without_way_out() -> Settings {
    Settings::towards(([127, 0, 0, 1], 9).into()).set("outbound", Vec::<toml::Value>::new())
}

/// Adds an outbound connector that leads to `sink`.
fn with_way(settings: Settings, name: &str, sink: &Sink, more: &str) -> Settings {
    let address = sink.address();
    let (host, port) = (address.ip(), address.port());
    let hosts = format!("smart_hosts = [{{ host = \"{host}\", port = {port} }}]");
    settings.push("outbound", &format!("name = \"{name}\"\ntls = \"none\"\n{hosts}\n{more}"))
}

fn letter(from: &str, more: &str) -> Vec<u8> {
    format!("From: {from}\r\nTo: a@x.example\r\nSubject: one\r\n{more}\r\nBody.\r\n").into_bytes()
}

fn recipients(sink: &Sink) -> BTreeSet<String> {
    sink.accepted().into_iter().flat_map(|it| it.recipients).collect()
}

fn text(received: &Received) -> String {
    String::from_utf8(behind_trace(&received.content).to_vec()).expect("ASCII")
}

/// The filter decides, then the priority, then the name; what is not active is never used.
#[test]
fn da_01_da_02_da_04_da_05_da_06_da_07_the_from_filter_and_the_priority_choose_the_connector() {
    let [any, equal, second, domain, address, off] = std::array::from_fn(|_| Sink::start());
    let settings = with_way(without_way_out(), "equal", &equal, "priority = 5");
    let settings = with_way(settings, "any", &any, "priority = 5");
    let settings = with_way(settings, "second", &second, "priority = 6");
    let filter = "from_filter = \"own.example, two.example\"";
    let settings = with_way(settings, "domain", &domain, filter);
    let settings = with_way(settings, "address", &address, "from_filter = [\"sales@own.example\"]");
    let settings = with_way(settings, "off", &off, "priority = 1\nenabled = false");
    let relay = Relay::start(settings);
    for (number, from) in [
        "Sales <sales@OWN.example>",
        "info@own.example",
        "\"Two\" <x@two.example>",
        "x@sub.own.example",
        "other@else.example",
    ]
    .iter()
    .enumerate()
    {
        relay.submit("s@own.example", &[&format!("r{number}@x.example")], &letter(from, ""));
    }
    wait_until("all five are delivered", || {
        [&any, &second, &domain, &address].iter().map(|it| it.accepted().len()).sum::<usize>() == 5
    });
    let set = |list: &[&str]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(recipients(&address), set(&["r0@x.example"]));
    assert_eq!(recipients(&domain), set(&["r1@x.example", "r2@x.example"]));
    assert_eq!(recipients(&any), set(&["r3@x.example", "r4@x.example"]));
    assert_eq!(off.connections() + second.connections() + equal.connections(), 0);
    // DA-04: what fits is left as it is.
    let sales = address.accepted();
    assert_eq!(text(&sales[0]).as_bytes(), letter("Sales <sales@OWN.example>", ""));
    assert_eq!(sales[0].sender, "s@own.example");
}

/// The choice is kept with the message: a restart changes nothing.
#[test]
fn the_connector_that_was_chosen_is_known_after_a_kill() {
    let (any, own) = (Sink::start(), Sink::start());
    let settings = with_way(without_way_out(), "any", &any, "");
    // Held for a moment, so that it is still there when the relay is killed.
    let settings = with_way(settings, "own", &own, "from_filter = [\"own.example\"]");
    let settings = settings.push("rule", "name = \"h\"\nthen = { hold = true }");
    let mut relay = Relay::start(settings);
    relay.submit("s@own.example", &["a@x.example"], &letter("me@own.example", ""));
    relay.kill();
    relay.spawn();
    relay.wait_ready();
    wait_until("the queue has the message", || {
        relay.cli_json(&["queue", "list"])["messages"].as_array().map_or(0, Vec::len) == 1
    });
    // What is held goes by its name alone.
    let said = relay.cli(&["queue", "retry", "--all"]).succeeded();
    assert!(said.contains("1 held message not touched; name their ids"), "{said}");
    let id = relay.cli_json(&["queue", "list"])["messages"][0]["id"].clone();
    let id = id.as_str().expect("an id");
    assert_eq!(relay.cli_json(&["queue", "retry", id])["messages"], 1);
    own.wait_accepted(1);
    assert_eq!(any.connections(), 0);
}

#[test]
fn da_08_a_from_that_no_connector_takes_is_replaced() {
    let sink = Sink::start();
    let settings = with_way(without_way_out(), "own", &sink, "from_filter = [\"own.example\"]");
    let strict = Relay::start(settings.clone());
    let mut session = strict.session();
    let foreign = letter("Partner <p@partner.example>", "");
    let reply = session.deliver("p@partner.example", &["a@x.example"], &foreign);
    assert_eq!(reply.text(), "5.7.1 no way out for mail from p@partner.example to x.example");
    let settings = settings
        .set("rewrite.default_from", "notifications")
        .set("rewrite.alias_domain", "own.example");
    let relay = Relay::start(settings);
    relay.submit("p@partner.example", &["a@x.example"], &foreign);
    let received = sink.wait_accepted(1).remove(0);
    assert_eq!(received.sender, "notifications@own.example");
    assert_eq!(
        text(&received),
        "From: \"Partner\" <notifications@own.example>\r\nTo: a@x.example\r\nSubject: one\r\n\
         Reply-To: \"Partner\" <p@partner.example>\r\n\r\nBody.\r\n"
    );
}

/// A message names its connector, which is used whatever the priority, or the message is refused with the reason.
#[test]
fn da_03_a_message_names_its_connector() {
    let (first, other) = (Sink::start(), Sink::start());
    let settings = without_way_out()
        .set("inbound.0.names_connector", true)
        .set("inbound.0.cloud_services_mail_enabled", false);
    let settings = with_way(settings, "first", &first, "priority = 1");
    let filters = "recipient_domains = [\"x.example\"]\nfrom_filter = [\"own.example\"]";
    let settings = with_way(settings, "other", &other, &format!("{filters}\npriority = 9"));
    let settings = with_way(settings, "off", &other, "enabled = false");
    let settings = with_way(settings, "rules", &other, "is_transport_rule_scoped = true");
    let exact = "recipient_domains = [\"x.example\"]\nfrom_filter = [\"a@own.example\"]";
    let settings = with_way(settings, "exact", &first, exact);
    let relay = Relay::start(settings);
    let deliver = |from: &str, to: &str, more: &str| {
        let reply = relay.session().deliver("s@own.example", &[to], &letter(from, more));
        format!("{} {}", reply.code, reply.text())
    };
    let own = "a@own.example";
    // By itself it goes by `exact`.
    assert!(deliver(own, "b@x.example", "").starts_with("250 "));
    first.wait_accepted(1);
    let field = "x-chasqui-connector:  other \r\n";
    assert!(deliver(own, "b@x.example", field).starts_with("250 "));
    let got = text(&other.wait_accepted(1)[0]);
    assert_eq!(got, format!("From: {own}\r\nTo: a@x.example\r\nSubject: one\r\n\r\nBody.\r\n"));
    for (from, to, name, want) in [
        (own, "b@x.example", "off", "off cannot take mail for b@x.example: it is disabled"),
        (
            own,
            "b@x.example",
            "rules",
            "rules cannot take mail for b@x.example: only rules send mail",
        ),
        (own, "b@y.example", "other", "other cannot take mail for b@y.example: the domain is not"),
        (
            "b@two.example",
            "b@x.example",
            "other",
            "other cannot take mail for b@x.example: the From",
        ),
        (own, "b@x.example", "none", "names no outbound connector of this relay"),
        (
            own,
            "b@x.example",
            "first\r\nX-Chasqui-Connector: other",
            "names more than one connector",
        ),
    ] {
        let reply = deliver(from, to, &format!("X-Chasqui-Connector: {name}\r\n"));
        let want = format!("550 5.7.1 X-Chasqui-Connector: {want}");
        assert!(reply.starts_with(&want), "{reply}");
    }
    assert_eq!((first.accepted().len(), other.accepted().len()), (1, 1));
}

/// Whose inbound connector does not let it name one is not heard, and its header stays.
#[test]
fn da_03_a_name_means_nothing_to_others() {
    let (first, other) = (Sink::start(), Sink::start());
    let settings = with_way(without_way_out(), "first", &first, "");
    let relay = Relay::start(with_way(settings, "other", &other, "priority = 99"));
    let field = "X-Chasqui-Connector: other\r\n";
    relay.submit("s@own.example", &["b@x.example"], &letter("a@own.example", field));
    assert!(text(&first.wait_accepted(1)[0]).contains(field));
    assert!(other.accepted().is_empty());
}

/// A connector for rules alone takes nothing by itself, what a rule sends there, or all if the rule says so.
#[test]
fn ee_12_a_connector_scoped_by_rules_takes_what_a_rule_sends_there() {
    for (when, want) in [
        (None, "any any any"),
        (Some("when = { sender = [\"alice@own.example\"] }"), "certified any any"),
        (Some("when = { sender_in_group = [\"staff\"] }"), "certified certified any"),
        (Some(""), "certified certified certified"),
    ] {
        let (any, certified) = (Sink::start(), Sink::start());
        let settings = with_way(without_way_out(), "any", &any, "");
        let scoped = "is_transport_rule_scoped = true\npriority = 1";
        let mut settings = with_way(settings, "certified", &certified, scoped);
        let members = "[\"alice@own.example\", \"bob@own.example\"]";
        settings = settings.push("group", &format!("name = \"staff\"\nmembers = {members}"));
        if let Some(when) = when {
            let rule = format!("name = \"certify\"\n{when}\nthen = {{ route = \"certified\" }}");
            settings = settings.push("rule", &rule);
        }
        let relay = Relay::start(settings);
        for (number, from) in ["alice", "bob", "carol"].iter().enumerate() {
            let from = format!("{from}@own.example");
            relay.submit(&from, &[&format!("r{number}@x.example")], &letter(&from, ""));
        }
        wait_until("all three are delivered", || {
            any.accepted().len() + certified.accepted().len() == 3
        });
        let taken = recipients(&certified);
        let seen: Vec<_> = (0..3)
            .map(|it| taken.contains(&format!("r{it}@x.example")))
            .map(|is_certified| if is_certified { "certified" } else { "any" })
            .collect();
        assert_eq!(seen.join(" "), want, "{when:?}");
    }
}

#[test]
fn ee_13_the_sender_of_a_rule_is_that_of_the_header_the_envelope_or_either() {
    for (location, want) in [
        ("header", [true, false]),
        ("envelope", [false, true]),
        ("header-or-envelope", [true, true]),
    ] {
        let sink = Sink::start();
        let rule = format!(
            "name = \"apart\"\nsender_address_location = \"{location}\"\n\
             when = {{ sender = [\"alice@own.example\"] }}\n\
             then = {{ add_header = [{{ name = \"X-Mark\", value = \"yes\" }}] }}"
        );
        let relay = Relay::start(Settings::towards(sink.address()).push("rule", &rule));
        relay.submit("bob@own.example", &["r0@x.example"], &letter("alice@own.example", ""));
        relay.submit("alice@own.example", &["r1@x.example"], &letter("bob@own.example", ""));
        let mut received = sink.wait_accepted(2);
        received.sort_by(|one, other| one.recipients.cmp(&other.recipients));
        let seen: Vec<_> = received
            .iter()
            .map(|it| String::from_utf8_lossy(&it.content).contains("X-Mark: yes\r\n"))
            .collect();
        assert_eq!(seen, want, "{location}");
    }
}

#[test]
fn ee_14_a_rule_in_test_changes_nothing_and_says_what_it_would_do() {
    for (mode, refused) in [("test", false), ("test-with-notice", false), ("enforce", true)] {
        let sink = Sink::start();
        let rule = format!(
            "name = \"stop\"\nmode = \"{mode}\"\nseverity = \"high\"\n\
             when = {{ subject_contains = [\"one\"] }}\n\
             then = {{ reject = {{ text = \"not this way\" }} }}"
        );
        let relay = Relay::start(Settings::towards(sink.address()).push("rule", &rule));
        let reply = relay.session().deliver(
            "a@own.example",
            &["b@x.example"],
            &letter("a@own.example", ""),
        );
        assert_eq!(reply.text().starts_with("5.7.1 not this way"), refused, "{reply:?}");
        if !refused {
            sink.wait_accepted(1);
        }
        let log = relay.log_with("rule applied");
        for want in [
            "\"rule\":\"stop\"".to_owned(),
            format!("\"mode\":\"{mode}\""),
            "\"severity\":\"high\"".to_owned(),
            "reject with 550 5.7.1 not this way".to_owned(),
        ] {
            assert!(log.contains(&want), "{want}: {log}");
        }
    }
}

/// What is wrong with rules is told with its place, and nothing starts.
#[test]
fn a_rule_that_cannot_be_is_refused_by_name() {
    let sink = Sink::start();
    let rule = "name = \"way\"\nthen = { route = \"nowhere\" }";
    let settings = Settings::towards(sink.address()).push("rule", rule);
    let relay = Relay::stopped(settings.clone());
    std::fs::write(relay.settings_path(), settings.text(relay.folder())).expect("a file");
    let checked = relay.cli(&["config", "check"]);
    let said = format!("{}{}", checked.stderr, checked.stdout);
    assert!(!checked.status.success(), "{said}");
    assert!(said.contains("rule.then.route") && said.contains("nowhere"), "{said}");
}

/// Each class has its own way and its own connections: bulk mail that cannot move holds no other mail back.
#[test]
fn da_15_a_class_that_is_stuck_does_not_hold_another_back() {
    let (bulk, prompt) = (Sink::start(), Sink::start());
    bulk.set_script(|event| if event.stage == Stage::Mail { Act::Stall } else { Act::Go });
    let settings = with_way(without_way_out(), "prompt", &prompt, "");
    let settings = with_way(settings, "bulk", &bulk, "is_transport_rule_scoped = true")
        .push(
            "rule",
            "name = \"mark\"\nwhen = { header_contains = [{ name = \"Precedence\", words = [\"bulk\"] }] }\n\
             then = { set_class = \"bulk\", route = \"bulk\" }",
        );
    let relay = Relay::start(settings);
    let news = letter("news@own.example", "Precedence: bulk\r\n");
    for _ in 0..200 {
        relay.submit("news@own.example", &["a@x.example"], &news);
    }
    bulk.wait_command("MAIL", 1);
    for number in 0..5 {
        relay.submit("shop@own.example", &["a@x.example"], &letter("shop@own.example", ""));
        prompt.wait_accepted(number + 1);
    }
    assert!(bulk.accepted().is_empty());
    assert_eq!(relay.cli_json(&["status"])["spool"]["messages"], 200);
}

/// An operator sees what was decided about a message that waits.
#[test]
fn queue_show_tells_what_was_decided() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address()).push(
        "rule",
        "name = \"look\"\nthen = { hold = true, set_class = \"bulk\", certify = true, set_header = [{ name = \"X-Class\", value = \"bulk\" }] }",
    );
    let relay = Relay::start(settings);
    relay.submit("s@own.example", &["a@x.example"], &letter("me@own.example", ""));
    let list = relay.cli_json(&["queue", "list"]);
    let id = list["messages"][0]["id"].as_str().unwrap();
    let decided = &relay.cli_json(&["queue", "show", id])["decided"];
    assert_eq!((&decided["class"], &decided["certified"]), (&"bulk".into(), &true.into()));
    assert_eq!(
        (&decided["rules"][0], &decided["header"][0]),
        (&"look".into(), &"set X-Class: bulk".into())
    );
    assert!(decided["held"].as_str().unwrap().contains("look"), "{decided}");
    let text = relay.cli(&["queue", "show", id]).succeeded();
    for line in
        ["class      bulk", "certified  yes", "rules      look", "header     set X-Class: bulk"]
    {
        assert!(text.lines().any(|it| it == line), "{text}");
    }
    assert!(text.contains("`chasqui queue retry` releases it"), "{text}");
}
