//! The greylist: strangers come again, and are known from then on, over restarts too.

use crate::harness::accounts::{Accounts, PASSWORD, log_in};
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;
use crate::harness::smtp::{Reply, Smtp};
use crate::harness::wait::wait_for;

fn series(result: &str) -> String {
    format!("chasqui_reception_greylist_total{{listener=\"smtp\",result=\"{result}\"}}")
}

fn with_greylist(settings: Settings) -> Settings {
    settings
        .set("listener.0.greylist.wait", "1s")
        .set("listener.0.greylist.file", "greylist")
        .set("listener.0.greylist.exempt", vec!["127.0.0.9".to_owned()])
}

fn connect(relay: &Relay, last: u8) -> Smtp {
    let client = std::net::Ipv4Addr::new(127, 0, 0, last).into();
    let mut session = Smtp::connect_from(client, relay.smtp()).expect("a connection");
    assert_eq!(session.read_reply().code, 220);
    session.expect("EHLO client.test", 250);
    session
}

fn rcpt(session: &mut Smtp, recipient: &str) -> Reply {
    session.command("RSET");
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    session.command(&format!("RCPT TO:<{recipient}>"))
}

#[test]
fn strangers_wait_once_and_a_restart_forgets_nobody() {
    let sink = Sink::start();
    let mut relay = Relay::start(with_greylist(Settings::towards(sink.address())));
    let mut session = connect(&relay, 1);
    let reply = rcpt(&mut session, "bo@receiver.example");
    assert_eq!(reply.code, 451, "{reply:?}");
    assert!(reply.text().starts_with("4.7.1 Greylisted: come back in 1 seconds"), "{reply:?}");
    relay.assert_metric(&series("passed"), 0.0);
    // Those that are spared do not wait.
    assert_eq!(rcpt(&mut connect(&relay, 9), "cy@receiver.example").code, 250);
    // A neighbour may come again for it.
    let mut neighbour = connect(&relay, 2);
    wait_for("the wait to be over", || {
        (rcpt(&mut neighbour, "bo@receiver.example").code == 250).then_some(())
    });
    relay.assert_metric(&series("passed"), 1.0);
    assert_eq!(rcpt(&mut session, "dan@receiver.example").code, 451);
    let reply =
        session.command("RSET").code + connect(&relay, 3).command("MAIL FROM:<x@y.example>").code;
    assert_eq!(reply, 500);
    session.command("RSET");
    let letter = b"Subject: test\r\n\r\n";
    let reply = session.deliver("ana@sender.example", &["bo@receiver.example"], letter);
    assert_eq!(reply.code, 250, "{reply:?}");
    assert!(relay.terminate().success());
    relay.restart();
    assert_eq!(rcpt(&mut connect(&relay, 1), "bo@receiver.example").code, 250);
    relay.assert_metric(&series("deferred"), 0.0);
    assert_eq!(rcpt(&mut connect(&relay, 1), "eve@receiver.example").code, 451);
    relay.assert_metric(&series("deferred"), 1.0);
    sink.wait_accepted(1);
}

#[test]
fn who_has_logged_in_does_not_wait() {
    let (sink, accounts) = (Sink::start(), Accounts::new());
    let settings = accounts
        .settings(&sink)
        .set("listener.0.auth.login_without_tls", true)
        .set("inbound.0.sender_ip_addresses", vec!["127.0.0.0/8".to_owned()]);
    let relay = Relay::start(with_greylist(settings));
    let mut session = connect(&relay, 1);
    assert_eq!(rcpt(&mut session, "bo@receiver.example").code, 451);
    session.command("RSET");
    assert_eq!(log_in(&mut session, "ana@sender.example", PASSWORD).code, 235);
    assert_eq!(rcpt(&mut session, "bo@receiver.example").code, 250);
}
