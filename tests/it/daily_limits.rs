//! Limits of outbound connectors: what is left waits, or goes by the next connector; the count is kept.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::wait::wait_until;

fn limited(sink: &Sink, more: &str) -> Settings {
    let hosts =
        format!("smart_hosts = [{{ host = \"127.0.0.1\", port = {} }}]", sink.address().port());
    Settings::towards(sink.address()).push(
        "outbound",
        &format!(
            "name = \"daily\"\nrecipient_domains = [\"x.example\"]\ntls = \"none\"\n{hosts}\n{more}"
        ),
    )
}

/// Runs a test again if the hour has changed meanwhile, and with it what may be sent.
pub(crate) fn within_an_hour(test: impl Fn()) {
    let hour = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() / 3600;
    loop {
        let begun = hour();
        let ended = catch_unwind(AssertUnwindSafe(&test));
        match ended {
            Err(panic) if hour() == begun => resume_unwind(panic),
            Err(_) => {}
            Ok(()) => return,
        }
    }
}

fn submit(relay: &Relay, ids: impl IntoIterator<Item = usize>) {
    for id in ids {
        let content = letter(&format!("{id}"), 100);
        relay.submit("ana@sender.example", &["bo@x.example"], &content);
    }
}

#[track_caller]
fn waiting(relay: &Relay, count: usize) -> Vec<Value> {
    let listed = || relay.cli_json(&["queue", "list"])["messages"].as_array().cloned();
    wait_until("the rest to wait", || {
        let messages = listed().unwrap_or_default();
        let is_held = |one: &Value| one["state"] == "resting" && one["last_reply"].is_string();
        messages.len() == count && messages.iter().all(is_held)
    });
    listed().unwrap_or_default()
}

/// `DA_16`: at the daily limit what is left waits for the next day, and says so; the count survives kill -9 and an
/// ordinary restart.
#[test]
fn da_16_the_daily_limit_defers_and_its_count_survives_restarts() {
    within_an_hour(|| {
        let sink = Sink::start();
        let mut relay = Relay::start(limited(&sink, "daily_messages_max = 3"));
        submit(&relay, 0..2);
        sink.wait_accepted(2);
        wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
        relay.kill();
        relay.restart();
        let shown = relay.cli_json(&["connector", "show", "daily"]);
        assert_eq!(
            (&shown["usage"]["sent_today"], &shown["usage"]["daily_max"]),
            (&2.into(), &3.into())
        );
        submit(&relay, 2..6);
        sink.wait_accepted(3);
        let left = waiting(&relay, 3);
        let words = "451 4.4.5 connector daily has sent the 3 messages that it may in a day";
        assert!(left[0]["last_reply"].as_str().unwrap().starts_with(words), "{left:?}");
        let one = relay.cli_json(&["queue", "show", left[0]["id"].as_str().unwrap()]);
        assert!(one["recipients"][0]["reply"].as_str().unwrap().starts_with(words), "{one}");
        let listed = relay.cli(&["connector", "show", "daily"]).succeeded();
        assert!(listed.contains("3 of 3 sent today, mail waits until "), "{listed}");
        wait_until("the metrics", || {
            relay.metric_sum("chasqui_connector_sent_today") > 2.5
                && relay.metric_sum("chasqui_connector_limit_reached") > 0.5
        });
        // Other mail goes on.
        relay.submit("ana@sender.example", &["bo@y.example"], &letter("other", 100));
        sink.wait_letters(&["other".to_owned()]);

        relay.terminate();
        relay.restart();
        waiting(&relay, 3);
        relay.cli(&["queue", "retry", "--all"]).succeeded();
        waiting(&relay, 3);
        assert_eq!(sink.accepted().len(), 4);
        // A higher limit takes effect at once, at the latest when the rest is over or ended by hand.
        relay.cli(&["connector", "set", "daily", "daily_messages_max=5", "--yes"]).succeeded();
        relay.cli(&["queue", "retry", "--all"]).succeeded();
        sink.wait_accepted(6);
        waiting(&relay, 1);
        sink.assert_clean();
    });
}

/// `DA_16`: with `on_limit = "spill"` the rest goes by the next connector, each message once; after a restart too.
#[test]
fn da_16_the_rest_spills_to_the_next_connector() {
    within_an_hour(|| {
        let (sink, next) = (Sink::start(), Sink::start());
        let port = i64::from(next.address().port());
        let more = "daily_messages_max = 2\non_limit = \"spill\"";
        let settings = limited(&sink, more).set("outbound.0.smart_hosts.0.port", port);
        let mut relay = Relay::start(settings);
        submit(&relay, 0..30);
        wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
        assert_eq!((sink.accepted().len(), next.accepted().len()), (2, 28));
        let shown = relay.cli_json(&["connector", "show", "daily"]);
        assert_eq!(shown["usage"]["is_spilling"], true, "{shown}");
        relay.kill();
        relay.restart();
        submit(&relay, 30..40);
        wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
        assert_eq!((sink.accepted().len(), next.accepted().len()), (2, 38));
        let mut all = sink.accepted_ids();
        all.extend(next.accepted_ids());
        assert_eq!(all.len(), 40);
    });
}

/// Where there is no next connector what would spill waits.
#[test]
fn without_a_next_connector_the_rest_waits() {
    within_an_hour(|| {
        let sink = Sink::start();
        let more = "daily_messages_max = 1\non_limit = \"spill\"";
        let settings = limited(&sink, more)
            .set("outbound.0.recipient_domains", vec!["other.example".to_owned()]);
        let relay = Relay::start(settings);
        submit(&relay, 0..4);
        sink.wait_accepted(1);
        waiting(&relay, 3);
        assert_eq!(sink.accepted().len(), 1);
    });
}

/// A rate holds in its window what is over it, and lets it go by a higher one.
#[test]
fn a_rate_holds_back_what_is_over_it() {
    within_an_hour(|| {
        let sink = Sink::start();
        let relay = Relay::start(limited(&sink, "rate_max = \"2/1h\""));
        submit(&relay, 0..5);
        sink.wait_accepted(2);
        let left = waiting(&relay, 3);
        let words = left[0]["last_reply"].as_str().unwrap();
        assert!(words.contains("connector daily may send 2/1h and has"), "{words}");
        relay.cli(&["connector", "set", "daily", "rate_max=\"10/1h\"", "--yes"]).succeeded();
        relay.cli(&["queue", "retry", "--all"]).succeeded();
        assert_eq!(sink.wait_accepted(5).len(), 5);
        sink.assert_clean();
    });
}

/// `OC_22`: in test mode a connector is tried and carries no mail, until that is turned off.
#[test]
fn oc_22_test_mode_carries_no_mail() {
    let (sink, next) = (Sink::start(), Sink::start());
    let port = i64::from(next.address().port());
    let settings = limited(&sink, "test_mode = true").set("outbound.0.smart_hosts.0.port", port);
    let relay = Relay::start(settings);
    submit(&relay, 0..1);
    next.wait_accepted(1);
    let test = ["connector", "test", "daily", "--from", "", "--to", "bo@x.example"];
    assert_eq!(relay.cli_json(&test)["verdict"], "pass");
    assert_eq!(sink.count("RCPT"), 1);
    relay.cli(&["connector", "set", "daily", "test_mode=false", "--yes"]).succeeded();
    submit(&relay, 1..2);
    sink.wait_accepted(1);
    assert_eq!(next.accepted().len(), 1);
}
