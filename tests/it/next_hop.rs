//! A next hop that fails at each stage, in each way: nothing is lost, nothing is sent twice without need.

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Event, Received, Sink, Stage, say};
use crate::harness::wait::{wait_for, wait_until};

const STAGES: [Stage; 7] =
    [Stage::Greeting, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Body, Stage::Dot];

/// One scenario: a next hop of its own behind a connector of its own.
struct Scenario {
    name: String,
    sink: Sink,
}

/// Does `act` the first time that `stage` is reached, and the ordinary thing ever after.
fn once(stage: Stage, act: Act) -> impl Fn(&Event) -> Act + Send + Sync {
    let done = AtomicBool::new(false);
    move |event| {
        if event.stage == stage && !done.swap(true, Ordering::Relaxed) {
            act.clone()
        } else {
            Act::Go
        }
    }
}

/// Does each act once at `stage`, in order.
fn in_turn(stage: Stage, acts: Vec<Act>) -> impl Fn(&Event) -> Act + Send + Sync {
    let rest = Mutex::new(acts);
    move |event| {
        let mut rest = rest.lock().expect("a script");
        if event.stage == stage && !rest.is_empty() { rest.remove(0) } else { Act::Go }
    }
}

/// Runs all scenarios with one relay; each gets one message for `bo@NAME.example`.
fn run(scenarios: &[Scenario]) -> Relay {
    let mut settings = Settings::towards(scenarios[0].sink.address());
    for (number, scenario) in scenarios.iter().enumerate() {
        let address = scenario.sink.address();
        settings = settings.push(
            "outbound",
            &format!(
                "name = \"to-{number}\"\ntls = \"none\"\nrecipient_domains = [\"{}.example\"]\n\
                 smart_hosts = [{{ host = \"127.0.0.1\", port = {} }}]\n\
                 timeouts = {{ greeting = \"1s\", ehlo = \"1s\", mail = \"1s\", rcpt = \"1s\", data = \"1s\", block = \"1s\", dot = \"1s\" }}",
                scenario.name,
                address.port()
            ),
        );
    }
    let relay = Relay::start(settings);
    let mut session = relay.session();
    for scenario in scenarios {
        let recipient = format!("bo@{}.example", scenario.name);
        // The null sender: a wrong bounce would otherwise look like a lost message elsewhere.
        let reply = session.deliver("", &[&recipient], &letter(&scenario.name, 60_000));
        assert_eq!(reply.code, 250, "{reply:?}");
    }
    session.quit();
    relay
}

fn each_stage(kind: &str, act: impl Fn(Stage) -> Option<Act>) -> Vec<Scenario> {
    let scenario = |stage: &Stage| {
        let act = act(*stage)?;
        let name = format!("{kind}-{stage:?}").to_lowercase();
        Some(Scenario { name, sink: Sink::scripted(once(*stage, act)) })
    };
    STAGES.iter().filter_map(scenario).collect()
}

/// Every scenario ends with its message taken exactly once.
#[track_caller]
fn all_arrive_once(scenarios: &[Scenario]) {
    let relay = run(scenarios);
    for scenario in scenarios {
        let name = &scenario.name;
        let message = wait_for(name, || scenario.sink.accepted().pop());
        assert_eq!(message.id().as_deref(), Some(name.as_str()));
        assert_eq!(message.recipients, [format!("bo@{name}.example")]);
    }
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    for scenario in scenarios {
        assert_eq!(scenario.sink.accepted().len(), 1, "{}", scenario.name);
        scenario.sink.assert_clean();
    }
}

#[test]
fn a_connection_dropped_at_any_stage_loses_nothing() {
    all_arrive_once(&each_stage("close", |_| Some(Act::Close)));
}

#[test]
fn a_temporary_refusal_at_any_stage_is_tried_again() {
    all_arrive_once(&each_stage("refuse", |stage| {
        // There is no reply in the middle of a body.
        (stage != Stage::Body).then(|| say("451 4.3.0 not now"))
    }));
}

#[test]
fn a_421_at_any_stage_is_tried_again_on_another_connection() {
    all_arrive_once(&each_stage("shutdown", |stage| {
        (stage != Stage::Body).then(|| Act::SayAndClose("421 4.3.2 going down".to_owned()))
    }));
}

#[test]
fn a_stall_at_any_stage_ends_with_the_timeout() {
    let scenarios = each_stage("stall", |_| Some(Act::Stall));
    all_arrive_once(&scenarios);
    for scenario in &scenarios {
        let name = &scenario.name;
        wait_until("the end of the stalled connection", || scenario.sink.closed_by_peer() > 0);
        assert!(scenario.sink.connections() >= 2, "{name}");
    }
}

/// A reply that is none is not a 250, at the dot above all (RFC 5321 §4.2).
#[test]
fn a_malformed_reply_is_never_taken_for_success() {
    let replies = [
        "ok",
        "25",
        "2500 2.0.0 ok",
        "250_2.0.0 ok",
        "\u{b2}50 ok",
        "",
        "250-2.0.0 ok\r\n354 what",
    ];
    let mut scenarios = Vec::new();
    for (number, reply) in replies.iter().enumerate() {
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot] {
            let name = format!("malformed-{number}-{stage:?}").to_lowercase();
            scenarios.push(Scenario { name, sink: Sink::scripted(once(stage, say(reply))) });
        }
    }
    all_arrive_once(&scenarios);
}

/// RFC 5321 §3.1: a 554 greeting says nothing about the message.
#[test]
fn a_server_that_wants_no_mail_keeps_the_message_waiting() {
    let sink = Sink::scripted(in_turn(Stage::Greeting, vec![say("554 5.3.2 no service"); 3]));
    all_arrive_once(&[Scenario { name: "refusing".to_owned(), sink }]);
}

#[test]
fn a_next_hop_that_is_not_there_is_tried_until_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let relay = Relay::towards(address);
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("patience", 300));
    wait_until("a second try", || {
        relay.cli_json(&["queue", "list"])["messages"][0]["tries"].as_u64() >= Some(2)
    });
    let sink = Sink::on(TcpListener::bind(address).expect("the same port"), |_| Act::Go);
    assert_eq!(sink.wait_accepted(1)[0].id().as_deref(), Some("patience"));
}

/// Hosts of a smart-host list are tried in order within one attempt.
#[test]
fn the_next_host_of_the_list_takes_over() {
    let closed =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let busy = Sink::scripted(|event| match event.stage {
        Stage::Greeting => Act::SayAndClose("421 4.3.2 too busy".to_owned()),
        _ => Act::Go,
    });
    let good = Sink::start();
    let hosts = format!(
        "smart_hosts = [{{ host = \"127.0.0.1\", port = {}, order = 30 }}, {{ host = \"127.0.0.1\", port = {}, order = 10 }}, \
         {{ host = \"127.0.0.1\", port = {}, order = 20 }}]\nname = \"list\"\ntls = \"none\"\nrecipient_domains = [\"list.example\"]",
        good.address().port(),
        closed.port(),
        busy.address().port()
    );
    let settings = Settings::towards(good.address())
        .push("outbound", &hosts)
        .set("queue.retry_connect.first", "1h")
        .set("queue.retry_connect.max", "1h")
        .set("queue.retry_reply.first", "1h")
        .set("queue.retry_reply.max", "1h");
    let relay = Relay::start(settings);
    relay.submit("ana@sender.example", &["bo@list.example"], &letter("list", 300));
    good.wait_accepted(1);
    assert_eq!(busy.connections(), 1, "the order of the list is kept");
}

/// The refused recipients wait or are reported; those that were taken are never sent again.
#[test]
fn each_recipient_has_its_own_outcome() {
    let slow_tries = Mutex::new(0);
    let sink = Sink::scripted(move |event| {
        if event.stage != Stage::Rcpt {
            return Act::Go;
        }
        if event.line.contains("never@") {
            return say("550 5.1.1 nobody here");
        }
        if event.line.contains("slow@") {
            let mut tries = slow_tries.lock().expect("a script");
            *tries += 1;
            if *tries <= 2 {
                return say("450 4.2.1 mailbox busy");
            }
        }
        Act::Go
    });
    let relay = Relay::towards(sink.address());
    let recipients = [
        "one@receiver.example",
        "slow@receiver.example",
        "never@receiver.example",
        "two@receiver.example",
    ];
    relay.submit("ana@sender.example", &recipients, &letter("mixed", 300));
    let received = sink.wait_accepted(3);
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    let mine: Vec<&Received> =
        received.iter().filter(|message| !message.sender.is_empty()).collect();
    assert_eq!(mine[0].recipients, ["one@receiver.example", "two@receiver.example"]);
    assert_eq!(mine[1].recipients, ["slow@receiver.example"]);
    assert_eq!(sink.accepted().len(), 3, "two transactions and one report");
    assert_eq!(sink.count("RCPT TO:<one@"), 1);
    assert_eq!(sink.count("RCPT TO:<never@"), 1);
    assert_eq!(sink.count("RCPT TO:<slow@"), 3);
    sink.assert_clean();
}

/// RFC 5321 §4.5.3.1.10: 452, and 552 from old servers, mean "too many": the rest goes at once.
#[test]
fn too_many_recipients_are_split_without_a_rest() {
    for code in ["452 4.5.3", "552 5.5.3", "452"] {
        let count = Mutex::new((0, 0));
        let sink = Sink::scripted(move |event| {
            if event.stage != Stage::Rcpt {
                return Act::Go;
            }
            let mut count = count.lock().expect("a script");
            if count.0 != event.transaction {
                *count = (event.transaction, 0);
            }
            count.1 += 1;
            if count.1 > 3 { say(&format!("{code} too many recipients")) } else { Act::Go }
        });
        let settings = Settings::towards(sink.address())
            .set("queue.retry_reply.first", "1h")
            .set("queue.retry_reply.max", "1h");
        let relay = Relay::start(settings);
        let recipients: Vec<String> =
            (0..8).map(|number| format!("r{number}@receiver.example")).collect();
        let list: Vec<&str> = recipients.iter().map(String::as_str).collect();
        relay.submit("ana@sender.example", &list, &letter("many", 300));
        let mut reached: Vec<String> =
            sink.wait_accepted(3).into_iter().flat_map(|message| message.recipients).collect();
        reached.sort();
        assert_eq!(reached, recipients, "{code}");
        sink.assert_clean();
    }
}

#[test]
fn more_recipients_than_a_transaction_may_have_are_split() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("outbound.0.limits.recipients_per_transaction_max", 10);
    let relay = Relay::start(settings);
    let recipients: Vec<String> =
        (0..25).map(|number| format!("r{number:02}@receiver.example")).collect();
    let list: Vec<&str> = recipients.iter().map(String::as_str).collect();
    relay.submit("ana@sender.example", &list, &letter("many", 300));
    let received = sink.wait_accepted(3);
    assert!(received.iter().all(|message| message.recipients.len() <= 10));
    let mut reached: Vec<String> =
        received.into_iter().flat_map(|message| message.recipients).collect();
    reached.sort();
    assert_eq!(reached, recipients);
}

/// RFC 2920 §3.1: with all recipients refused a server may still say 354; an empty message then ends it.
#[test]
fn a_354_without_recipients_is_answered_with_a_lone_dot() {
    let sink = Sink::scripted(|event| match event.stage {
        Stage::Rcpt if event.transaction == 1 => say("450 4.2.0 not now"),
        Stage::Data if event.transaction == 1 => say("354 go on"),
        Stage::Dot if event.transaction == 1 => say("250 2.0.0 taken"),
        _ => Act::Go,
    });
    let relay = Relay::towards(sink.address());
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("lone", 5000));
    let message = wait_for("the message", || {
        sink.accepted().into_iter().find(|message| !message.recipients.is_empty())
    });
    assert_eq!(
        message.id().as_deref(),
        Some("lone"),
        "the 250 to the empty message was taken for ours"
    );
    let empty = sink.all().into_iter().find(|message| message.recipients.is_empty());
    assert!(empty.is_none_or(|message| message.content.is_empty()), "content was sent for nobody");
    sink.assert_clean();
}

#[test]
fn a_connection_is_used_again() {
    let sink = Sink::start();
    let relay = Relay::start(
        Settings::towards(sink.address()).set("outbound.0.limits.connection_idle_max", "1m"),
    );
    for number in 1..=5 {
        relay.submit(
            "ana@sender.example",
            &["bo@receiver.example"],
            &letter(&number.to_string(), 300),
        );
        sink.wait_accepted(number);
    }
    assert_eq!(sink.connections(), 1);
    let reuses = relay.metric("chasqui_connection_reuse_total{connector=\"next-hop\"}");
    assert!(reuses >= 4.0, "{reuses}");
    sink.assert_clean();
}

/// A reused connection that turns out dead is replaced at once and is no failed try.
#[test]
fn a_connection_closed_while_idle_costs_no_try() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address())
        .set("outbound.0.limits.connection_idle_max", "1m")
        .set("queue.retry_connect.first", "1h")
        .set("queue.retry_connect.max", "1h")
        .set("queue.retry_reply.first", "1h")
        .set("queue.retry_reply.max", "1h");
    let relay = Relay::start(settings);
    for number in 1..=4 {
        relay.submit(
            "ana@sender.example",
            &["bo@receiver.example"],
            &letter(&number.to_string(), 300),
        );
        sink.wait_accepted(number);
        sink.close_connections();
    }
    assert_eq!(sink.accepted().len(), 4);
    sink.assert_clean();
}

/// As above, but the server closes only when the next MAIL comes: the client cannot know before.
#[test]
fn a_connection_closed_at_the_next_mail_costs_no_try() {
    let used = Mutex::new(std::collections::BTreeSet::new());
    let sink = Sink::scripted(move |event| {
        let is_first =
            event.stage != Stage::Mail || used.lock().expect("a script").insert(event.connection);
        if is_first { Act::Go } else { Act::Close }
    });
    let settings = Settings::towards(sink.address())
        .set("outbound.0.limits.connection_idle_max", "1m")
        .set("queue.retry_connect.first", "1h")
        .set("queue.retry_connect.max", "1h")
        .set("queue.retry_reply.first", "1h")
        .set("queue.retry_reply.max", "1h");
    let relay = Relay::start(settings);
    for number in 1..=3 {
        relay.submit(
            "ana@sender.example",
            &["bo@receiver.example"],
            &letter(&number.to_string(), 300),
        );
        sink.wait_accepted(number);
    }
}

#[test]
fn an_idle_connection_is_closed_in_good_order() {
    let sink = Sink::start();
    let relay = Relay::start(
        Settings::towards(sink.address()).set("outbound.0.limits.connection_idle_max", "200ms"),
    );
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("idle", 300));
    sink.wait_command("QUIT", 1);
}

/// One destination that stalls does not hold up the others.
#[test]
fn a_dead_destination_does_not_delay_the_others() {
    let dead = Sink::scripted(|_| Act::Stall);
    let good = Sink::start();
    let connector = format!(
        "name = \"dead\"\ntls = \"none\"\nrecipient_domains = [\"dead.example\"]\nsmart_hosts = [{{ host = \"127.0.0.1\", port = {} }}]",
        dead.address().port()
    );
    let relay = Relay::start(Settings::towards(good.address()).push("outbound", &connector));
    let mut session = relay.session();
    for number in 0..60 {
        let reply = session.deliver(
            "ana@sender.example",
            &[&format!("r{number}@dead.example")],
            &letter("dead", 300),
        );
        assert_eq!(reply.code, 250);
    }
    for number in 0..20 {
        let reply = session.deliver(
            "ana@sender.example",
            &[&format!("r{number}@good.example")],
            &letter("good", 300),
        );
        assert_eq!(reply.code, 250);
    }
    session.quit();
    good.wait_accepted(20);
    assert!(dead.connections() <= 20, "{} connections to one destination", dead.connections());
}

/// Without PIPELINING each command waits for its reply.
#[test]
fn a_server_without_extensions_gets_plain_smtp() {
    let sink = Sink::start();
    sink.set_extensions(&[]);
    let relay = Relay::towards(sink.address());
    relay.submit(
        "ana@sender.example",
        &["one@receiver.example", "two@receiver.example"],
        b"X-Letter: plain\r\n\r\nbody\r\n",
    );
    // `submit` declares 8BITMIME, which this server does not know: only a seven-bit message may pass.
    let ended = wait_for("an end", || {
        let accepted = sink.accepted();
        (!accepted.is_empty()).then_some(accepted)
    });
    assert!(ended.iter().all(|message| message.mail_parameters.is_empty()), "{ended:?}");
    sink.assert_clean();
}

/// RFC 5321 §3.2: a server that does not know EHLO is greeted with HELO.
#[test]
fn a_server_that_knows_only_helo_gets_its_mail() {
    let sink = Sink::scripted(|event| {
        if event.stage == Stage::Ehlo && event.line.starts_with("EHLO") {
            say("502 5.5.1 what?")
        } else {
            Act::Go
        }
    });
    let relay = Relay::towards(sink.address());
    let mut session = relay.session();
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    session.expect("RCPT TO:<bo@receiver.example>", 250);
    session.expect("DATA", 354);
    session.send(b"X-Letter: helo\r\n\r\nbody\r\n.\r\n");
    assert_eq!(session.read_reply().code, 250);
    assert_eq!(sink.wait_accepted(1)[0].id().as_deref(), Some("helo"));
    sink.assert_clean();
}
