//! Whether the relay takes mail, as monitoring and operators are told: the same that a client hears at MAIL.

use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::{Act, Sink, Stage};
use crate::harness::wait::wait_until;

/// Neither takes the content nor refuses it.
fn stalled() -> Sink {
    Sink::scripted(|event| if event.stage == Stage::Dot { Act::Stall } else { Act::Go })
}

#[track_caller]
fn assert_refuses(relay: &Relay, words: &str) {
    let answer = relay.get("/health/ready");
    assert_eq!((answer.status, answer.body.as_str()), (503, &*format!("not ready: {words}\n")));
    assert_eq!(relay.get("/health/live").status, 200);
    let status = relay.cli_json(&["status"]);
    assert_eq!(status["health"]["ready"], false);
    assert_eq!(status["health"]["reasons"], serde_json::json!([words]));
    let text = relay.cli(&["status"]).succeeded();
    assert!(text.contains(&format!("health     refuses mail: {words}\n")), "{text}");
}

#[track_caller]
fn assert_takes(relay: &Relay, sink: &Sink, id: &str) {
    let answer = relay.get("/health/ready");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready\n"));
    assert!(relay.cli(&["status"]).succeeded().contains("health     takes mail\n"));
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter(id, 300));
    sink.wait_letters([&id.to_owned()]);
}

/// The next hop takes mail again: what was held goes out, whatever the health says, and brings it back.
#[track_caller]
fn recovers(relay: &Relay, sink: &Sink, held: &str) {
    sink.set_script(|_| Act::Go);
    sink.close_connections();
    sink.wait_letters([&held.to_owned()]);
    wait_until("ready", || relay.get("/health/ready").status == 200);
    assert_takes(relay, sink, "after");
    assert_eq!(sink.accepted().len(), 2);
}

#[test]
fn a_spool_that_holds_its_limit_of_messages_is_not_ready() {
    let sink = stalled();
    let relay = Relay::start(Settings::towards(sink.address()).set("spool.messages_max", 1));
    assert_eq!(relay.get("/health/ready").status, 200);
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("held", 300));
    let words = "the spool holds its limit of 1 messages";
    let refused = relay.session().expect("MAIL FROM:<ana@sender.example>", 452);
    assert!(refused.text().ends_with(words), "{refused:?}");
    assert_refuses(&relay, words);
    recovers(&relay, &sink, "held");
}

/// Less than the size of an ordinary message is no room.
#[test]
fn a_spool_that_holds_its_limit_of_octets_is_not_ready() {
    let sink = stalled();
    let relay = Relay::start(Settings::towards(sink.address()).set("spool.octets_max", "200KiB"));
    assert_eq!(relay.get("/health/ready").status, 200);
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("held", 180_000));
    let refused = relay.session().expect("MAIL FROM:<ana@sender.example> SIZE=64000", 452);
    let words = "the spool holds its limit of 204800 octets";
    assert!(refused.text().ends_with(words), "{refused:?}");
    assert_refuses(&relay, words);
    recovers(&relay, &sink, "held");
}

/// The reserve of free space keeps new mail out and lets what is queued go.
#[test]
fn a_device_short_of_space_is_not_ready_and_deliveries_go_on() {
    let sink = stalled();
    let settings = Settings::towards(sink.address());
    let mut relay = Relay::start(settings.clone().set("spool.free_octets_min", "1MiB"));
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("held", 300));
    sink.wait_command("DATA", 1);
    relay.kill();
    // More than any device has.
    relay.set_settings(settings.clone().set("spool.free_octets_min", "1000000GiB"));
    relay.restart();
    sink.wait_command("DATA", 2);
    let refused = relay.session().expect("MAIL FROM:<ana@sender.example>", 452);
    let words = "the device of the spool is short of space";
    assert!(refused.text().ends_with(words), "{refused:?}");
    assert_refuses(&relay, words);
    sink.set_script(|_| Act::Go);
    sink.close_connections();
    sink.wait_letters([&"held".to_owned()]);
    wait_until("an empty queue", || relay.cli_json(&["status"])["spool"]["messages"] == 0);
    assert_refuses(&relay, words);
    relay.terminate();
    relay.set_settings(settings.set("spool.free_octets_min", "1MiB"));
    relay.restart();
    assert_takes(&relay, &sink, "after");
}

#[test]
fn a_relay_that_stops_is_not_ready() {
    let sink = stalled();
    let mut relay = Relay::towards(sink.address());
    relay.submit("ana@sender.example", &["bo@receiver.example"], &letter("held", 300));
    sink.wait_command("DATA", 1);
    relay.process().signal("TERM");
    // The open transaction holds the end up.
    wait_until("not ready", || relay.get("/health/ready").status == 503);
    assert_eq!(relay.get("/health/ready").body, "not ready: the relay is stopping\n");
    sink.close_connections();
    assert!(relay.wait_end().success(), "{}", relay.log_tail());
}
