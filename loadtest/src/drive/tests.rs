//! Whole runs over loopback: source straight to sink, and through a relay whose faults are known.

mod relay;

use std::time::Duration;

use units::{ByteSize, Span};

use self::relay::{Answer, Habits, Mail, Relay};
use super::*;
use crate::domains::Domains;
use crate::load::{Load, Login, Mechanism, Recipients, SourceTls, WeightedCount};
use crate::pace::Pace;
use crate::sink::script::{DomainClass, SinkScript, Stage};
use crate::size::Sizes;

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn scenario(load: Load, sink: SinkScript) -> Scenario {
    Scenario { load, sink, ..Scenario::default() }
}

/// Small, so that many of them fit a test.
fn small() -> Load {
    Load { messages: 40, connections: 4, size: Sizes::Fixed(ByteSize::kib(1)), ..Load::default() }
}

fn class(name: &str, domains: &str) -> DomainClass {
    DomainClass { name: name.to_owned(), domains: domains.to_owned(), ..DomainClass::default() }
}

/// A sink for the scenario and the counters it writes.
async fn sink(scenario: &Scenario) -> (Sink, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    (Sink::listen(ANY_PORT, scenario, 0xab, &watch).await.unwrap(), watch)
}

/// Source straight to sink.
async fn direct(scenario: &Scenario) -> Outcome {
    let (sink, watch) = sink(scenario).await;
    drive(scenario, sink.address(), &sink, &Clock::system(), &watch).await.unwrap()
}

/// Through a relay with the given habits.
async fn relayed(scenario: &Scenario, habits: Habits) -> Outcome {
    let (sink, watch) = sink(scenario).await;
    let relay = Relay::start(&sink, habits).await;
    drive(scenario, relay.address, &sink, &Clock::system(), &watch).await.unwrap()
}

fn check_all_arrived(outcome: &Outcome, recipients: u64) {
    assert_eq!(
        (outcome.accepted, outcome.refused),
        (outcome.messages, 0),
        "{:?}",
        outcome.last_refusal
    );
    assert_eq!((outcome.recipients, outcome.delivered), (recipients, recipients));
    assert_eq!((outcome.lost, outcome.duplicates, outcome.damaged, outcome.unknown), (0, 0, 0, 0));
    assert_eq!(outcome.delivered_messages, outcome.messages);
    assert_eq!(outcome.accept_latency_us.len(), outcome.messages);
    assert_eq!(outcome.delivery_latency_us.len(), recipients);
    assert!(outcome.deliver_seconds > 0.0 && outcome.accept_seconds > 0.0);
}

#[tokio::test]
async fn straight_to_the_sink_all_arrives_in_each_way_of_sending() {
    let weighted = |count| WeightedCount { count, weight: 1.0 };
    let several = Recipients::Weighted(vec![weighted(1), weighted(7)]);
    for load in [
        small(),
        Load { pipelining: true, ..small() },
        Load { per_connection: 1, ..small() },
        Load { per_connection: 3, pipelining: true, ..small() },
        Load { size: Sizes::Fixed(ByteSize::octets(10)), ..small() },
        Load { size: Sizes::Fixed(ByteSize::mib(1)), messages: 5, ..small() },
        Load { pace: Pace::Rate(5_000.0), ..small() },
        Load {
            recipients: several,
            domains: Domains::Zipf { count: 1_000_000, zipf: 1.0 },
            ..small()
        },
    ] {
        let plan = Plan::new(&load, &[], 0xab).unwrap();
        let recipients = (0..load.messages).map(|number| u64::from(plan.recipients(number))).sum();
        check_all_arrived(&direct(&scenario(load, SinkScript::default())).await, recipients);
    }
}

#[tokio::test]
async fn tls_on_both_sides() {
    for resumption in [false, true] {
        let load = Load {
            tls: SourceTls::Starttls,
            tls_resumption: resumption,
            per_connection: 2,
            pipelining: true,
            ..small()
        };
        let sink = SinkScript { tls: true, tls_resumption: resumption, ..SinkScript::default() };
        check_all_arrived(&direct(&scenario(load, sink)).await, 40);
    }
    for tls in [SourceTls::Starttls, SourceTls::Implicit] {
        let load = Load { tls, ..small() };
        let habits = Habits { tls, ..Habits::default() };
        check_all_arrived(&relayed(&scenario(load, SinkScript::default()), habits).await, 40);
    }
}

#[tokio::test]
async fn users_log_in_by_both_mechanisms() {
    for (mechanism, login) in [
        (Mechanism::Plain, &[("AUTH PLAIN AHRlc3QAc2VjcmV0", "235 welcome")][..]),
        (
            Mechanism::Login,
            &[
                ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
                ("dGVzdA==", "334 UGFzc3dvcmQ6"),
                ("c2VjcmV0", "235 welcome"),
            ],
        ),
    ] {
        let user = Login { user: "test".into(), password: "secret".into(), mechanism };
        let load = Load { login: Some(user), per_connection: 10, ..small() };
        let habits = Habits { login, ..Habits::default() };
        check_all_arrived(&relayed(&scenario(load, SinkScript::default()), habits).await, 40);
    }
}

/// A relay that drops, doubles, spoils and mixes up single messages.
#[tokio::test]
async fn what_a_relay_does_wrong_is_counted_exactly() {
    let earlier = std::sync::Mutex::new(None::<Mail>);
    let forward = move |mail: Mail| match mail.number {
        3 | 4 => Vec::new(),
        5 => vec![mail.clone(), mail.clone(), mail],
        6 => {
            let mut spoiled = mail;
            let at = spoiled.content.len() - 10;
            spoiled.content[at] ^= 1;
            vec![spoiled]
        }
        7 => {
            *earlier.lock().unwrap() = Some(mail.clone());
            vec![mail]
        }
        8 => {
            let content = earlier.lock().unwrap().take().unwrap().content;
            vec![Mail { content, ..mail }]
        }
        9 => {
            let mut one_dropped = mail;
            one_dropped.to.pop();
            vec![one_dropped]
        }
        _ => vec![mail],
    };
    let load = Load { recipients: Recipients::Fixed(2), connections: 1, ..small() };
    let scenario =
        Scenario { settle_wait_max: Span::millis(500), ..scenario(load, SinkScript::default()) };
    let habits = Habits { forward: Box::new(forward), ..Habits::default() };
    let outcome = relayed(&scenario, habits).await;
    assert_eq!((outcome.accepted, outcome.recipients), (40, 80));
    // Both of 3, 4 and 8, one of 9.
    assert_eq!((outcome.lost, outcome.delivered), (7, 73));
    assert_eq!(outcome.duplicates, 4, "two copies more for both of 5");
    assert_eq!(outcome.damaged, 2, "6 was spoiled, 8 had the content of 7");
    assert_eq!(outcome.delivered_messages, 36);
    assert!(outcome.is_broken());
}

#[tokio::test]
async fn a_message_whose_reply_was_lost_is_in_doubt() {
    let answer = |mail: &Mail| match mail.number {
        3..=5 => Answer::Cut,
        7 => Answer::Refuse,
        _ => Answer::Take,
    };
    let forward = |mail: Mail| match mail.number {
        3 => Vec::new(),
        5 => vec![mail.clone(), mail],
        _ => vec![mail],
    };
    let habits =
        Habits { answer: Box::new(answer), forward: Box::new(forward), ..Habits::default() };
    // One connection after the other, so that what comes in doubt is there before the last.
    let load = Load { connections: 1, ..small() };
    let outcome = relayed(&scenario(load, SinkScript::default()), habits).await;
    assert_eq!((outcome.accepted, outcome.refused, outcome.in_doubt), (36, 1, 3));
    assert_eq!((outcome.recipients, outcome.lost), (36, 0));
    assert!(outcome.last_refusal.is_some());
}

#[tokio::test]
async fn recipients_that_the_relay_declines_are_not_awaited() {
    for pipelining in [false, true] {
        let load = Load { recipients: Recipients::Fixed(2), pipelining, ..small() };
        let declines = |line: &str| line.contains("<user0.ab.3@") || line.contains(".ab.4@");
        let habits = Habits { declines, ..Habits::default() };
        let outcome = relayed(&scenario(load, SinkScript::default()), habits).await;
        assert_eq!((outcome.accepted, outcome.refused), (39, 1), "nobody is left of message 4");
        assert_eq!((outcome.recipients, outcome.delivered, outcome.lost), (77, 77, 0));
        assert_eq!(outcome.last_refusal.as_deref(), Some("550 no such user"));
    }
}

#[tokio::test]
async fn each_fault_of_the_script_costs_no_message() {
    let own = |class| DomainClass { own_next_hop: true, ..class };
    let bad = || class("bad", "0..2");
    for script in [
        DomainClass { greylisting: true, ..bad() },
        DomainClass { rcpt_deferred: 0.5, fault_tries: 3, ..bad() },
        DomainClass { content_deferred: 1.0, ..bad() },
        DomainClass { reply_wait: Span::millis(2), ..bad() },
        DomainClass { disconnect: Some(Stage::Rcpt), ..bad() },
        DomainClass { disconnect: Some(Stage::Data), ..bad() },
        DomainClass { disconnect: Some(Stage::Content), disconnect_share: 0.5, ..bad() },
        DomainClass { disconnect: Some(Stage::Dot), ..bad() },
        own(DomainClass { disconnect: Some(Stage::Mail), ..bad() }),
        own(DomainClass { connections_max: 1, ..bad() }),
        own(DomainClass { read_octets_per_second: 20_000, ..bad() }),
    ] {
        let load = Load { domains: Domains::InTurn(10), ..small() };
        let sink = SinkScript { classes: vec![script], ..SinkScript::default() };
        let scenario = scenario(load, sink);
        let outcome = relayed(&scenario, Habits::default()).await;
        check_all_arrived(&outcome, 40);
        let classes: Vec<_> =
            outcome.classes.iter().map(|class| (class.name.as_str(), class.delivered)).collect();
        assert_eq!(classes, [("good", 32), ("bad", 8)], "{:?}", scenario.sink.classes);
    }
}

#[tokio::test]
async fn what_the_script_rejects_is_reported_and_not_lost() {
    let script = DomainClass { rcpt_rejected: 0.5, content_rejected: 0.3, ..class("bad", "0..5") };
    let load = Load { domains: Domains::InTurn(10), ..small() };
    let sink = SinkScript { classes: vec![script], ..SinkScript::default() };
    let scenario = scenario(load, sink);
    let outcome = relayed(&scenario, Habits::default()).await;
    assert!((5..20).contains(&outcome.rejected), "{}", outcome.rejected);
    assert_eq!((outcome.reported, outcome.unreported, outcome.lost), (outcome.rejected, 0, 0));
    assert_eq!(outcome.delivered, 40 - outcome.rejected);
    assert_eq!(outcome.unknown, 0, "reports are known");
    assert_eq!((outcome.classes[0].rejected, outcome.classes[1].rejected), (0, outcome.rejected));
    let again = relayed(&scenario, Habits::default()).await;
    assert_eq!(again.rejected, outcome.rejected, "the seed decides");
}

#[tokio::test]
async fn a_next_hop_that_never_takes_mail_withholds_and_the_others_do_not_notice() {
    for stage in [Stage::Connect, Stage::Greeting, Stage::Ehlo] {
        let dead =
            DomainClass { own_next_hop: true, disconnect: Some(stage), ..class("dead", "0..2") };
        let load = Load { domains: Domains::InTurn(10), messages: 20, ..small() };
        let sink = SinkScript { classes: vec![dead], ..SinkScript::default() };
        let outcome = relayed(&scenario(load, sink), Habits::default()).await;
        assert_eq!((outcome.delivered, outcome.withheld, outcome.lost), (16, 4, 0), "{stage:?}");
        assert_eq!((outcome.classes[0].delivered, outcome.classes[1].withheld), (16, 4));
    }
}

#[tokio::test]
async fn a_next_hop_that_is_away_at_first_gets_all_in_the_end() {
    for script in [
        SinkScript { down_until_accepted: 20, ..SinkScript::default() },
        SinkScript { down_for: Span::millis(50), ..SinkScript::default() },
        SinkScript { defer_until_accepted: 20, ..SinkScript::default() },
        // The source ends before: then the next hop comes up too.
        SinkScript { down_until_accepted: 1_000, ..SinkScript::default() },
    ] {
        let load = Load { messages: 20, ..small() };
        let outcome = relayed(&scenario(load, script), Habits::default()).await;
        check_all_arrived(&outcome, 20);
        assert!(outcome.up_seconds > 0.0 && outcome.up_seconds <= outcome.deliver_seconds);
        assert!(outcome.drained_per_second() > outcome.delivered_per_second());
    }
}

#[tokio::test]
async fn a_whole_sink_without_a_place_for_more_connections() {
    let sink = SinkScript { connections_max: 2, ..SinkScript::default() };
    check_all_arrived(&relayed(&scenario(small(), sink), Habits::default()).await, 40);
}

#[tokio::test]
async fn mail_of_another_run_is_unknown() {
    let scenario = scenario(small(), SinkScript::default());
    let (sink, _) = sink(&scenario).await;
    let watch = Arc::new(Watch::default());
    let clock = Clock::system();
    let outcome = send(&scenario, sink.address(), 0xcd, &clock, &watch).await.unwrap();
    assert_eq!((outcome.accepted, outcome.lost, outcome.delivered), (40, 0, 0));
    assert_eq!((sink.tally().unknown(), sink.tally().watch.delivered()), (40, 0));
}

#[tokio::test]
async fn source_and_sink_apart_agree_by_scenario_and_run() {
    let scenario = scenario(small(), SinkScript::default());
    let (sink, watch) = sink(&scenario).await;
    let (clock, source_watch) = (Clock::system(), Arc::new(Watch::default()));
    let sent = send(&scenario, sink.address(), 0xab, &clock, &source_watch);
    let received = receive(&scenario, &sink, &clock, &watch);
    let (sent, received) = tokio::join!(sent, received);
    assert_eq!(sent.unwrap().accepted, 40);
    let received = received.unwrap();
    assert_eq!((received.delivered, received.lost, received.duplicates), (40, 0, 0));
    assert_eq!(received.delivery_latency_us.len(), 0, "the start is known elsewhere");
}

/// Without this, a relay that stops for a second would show one slow message instead of all that had to wait.
#[tokio::test]
async fn in_an_open_loop_latency_counts_from_when_a_message_was_due() {
    let clock = Clock::manual(0);
    let load = Load { messages: 5, connections: 1, pace: Pace::Rate(10.0), ..small() };
    let scenario = scenario(load, SinkScript::default());
    let watch = Arc::new(Watch::default());
    let sink = Sink::open(ANY_PORT, &scenario, 1, &watch, &clock).unwrap();
    let relay_clock = clock.clone();
    let answer = move |mail: &Mail| {
        if mail.number == 0 {
            relay_clock.advance(Duration::from_secs(1));
        }
        Answer::Take
    };
    let habits = Habits { answer: Box::new(answer), ..Habits::default() };
    let relay = Relay::start(&sink, habits).await;
    let outcome = drive(&scenario, relay.address, &sink, &clock, &watch).await.unwrap();
    let millis: Vec<_> = outcome
        .accept_latency_us
        .iter_recorded()
        .map(|step| step.value_iterated_to() / 1000)
        .collect();
    assert_eq!(millis, [600, 700, 800, 900, 1000]);
    assert_eq!(outcome.delivery_latency_us.max() / 1000, 1000);
    assert_eq!(outcome.offered_per_second, Some(10.0));
}

#[tokio::test]
async fn a_relay_that_stops_answering_does_not_hold_the_report_up() {
    let clock = Clock::manual(0);
    let scenario = scenario(Load { connections: 1, ..small() }, SinkScript::default());
    let watch = Arc::new(Watch::default());
    let sink = Sink::open(ANY_PORT, &scenario, 1, &watch, &clock).unwrap();
    let relay_clock = clock.clone();
    let answer = move |_: &Mail| {
        relay_clock.advance(Duration::from_hours(1));
        Answer::Silence
    };
    let habits = Habits { answer: Box::new(answer), ..Habits::default() };
    let relay = Relay::start(&sink, habits).await;
    let outcome = drive(&scenario, relay.address, &sink, &clock, &watch).await.unwrap();
    assert_eq!((outcome.accepted, outcome.in_doubt, outcome.lost), (0, 1, 0));
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_an_error() {
    let clock = Clock::manual(0);
    let scenario = scenario(small(), SinkScript::default());
    let watch = Arc::new(Watch::default());
    let sink = Sink::open(ANY_PORT, &scenario, 1, &watch, &clock).unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(ANY_PORT).unwrap();
    let nobody = socket.local_addr().unwrap();
    let run = drive(&scenario, nobody, &sink, &clock, &watch);
    let patience = async {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        loop {
            clock.advance(Duration::from_mins(1));
            tokio::task::yield_now().await;
        }
    };
    let outcome = tokio::select! {
        outcome = run => outcome,
        () = patience => unreachable!(),
    };
    let error = format!("{:#}", outcome.err().unwrap());
    assert!(error.contains(&format!("cannot connect to {nobody}")), "{error}");
}

#[tokio::test]
async fn the_timeline_ends_with_all_that_came() {
    let outcome = direct(&scenario(small(), SinkScript::default())).await;
    let last = outcome.timeline.last().unwrap();
    assert_eq!((last.accepted, last.delivered), (40, 40));
    assert!(outcome.timeline.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms));
}
