//! Addresses that stand for others: recipients under a suffix, and return paths of the relay's own.

use crate::harness::letter::letter;
use crate::harness::relay::Relay;
use crate::harness::settings::Settings;
use crate::harness::sink::Sink;

/// EE-17: the suffix is taken off, the message is certified, and the sender hears of the recipient by the name it gave.
#[test]
fn a_recipient_under_the_suffix_is_certified() {
    let sink = Sink::start();
    sink.set_extensions(&["PIPELINING", "8BITMIME", "DSN"]);
    let settings = Settings::towards(sink.address());
    let relay = Relay::start(settings.set("inbound.0.certified_suffix", "evidence.example"));
    let mut session = relay.session();
    session.expect("MAIL FROM:<ana@sender.example>", 250);
    session.expect("RCPT TO:<Bo.B@dest.example.Evidence.example>", 250);
    session.expect("RCPT TO:<cy@dest.example.evidence.example> ORCPT=rfc822;c@first.example", 250);
    session.expect("RCPT TO:<dan@dest.example>", 250);
    for (recipient, words) in [
        ("bo@evidence.example", "5.1.2 no recipient domain before evidence.example"),
        ("bo@dest.evidence.example", "5.1.2 no recipient domain before evidence.example"),
        ("bo@dest.example.evidence.example.evidence.example", "stands twice"),
    ] {
        let reply = session.expect(&format!("RCPT TO:<{recipient}>"), 550);
        assert!(reply.text().contains(words), "{reply:?}");
    }
    session.expect("DATA", 354);
    session.send(b"X-Letter: certified\r\n\r\nbody\r\n.\r\n");
    assert_eq!(session.read_reply().code, 250);
    session.quit();
    let message = sink.wait_accepted(1).remove(0);
    assert_eq!(message.recipients, ["Bo.B@dest.example", "cy@dest.example", "dan@dest.example"]);
    for (recipient, parameters) in [
        ("Bo.B@dest.example", " ORCPT=rfc822;Bo.B@dest.example.Evidence.example"),
        ("cy@dest.example", " ORCPT=rfc822;c@first.example"),
        ("dan@dest.example", ""),
    ] {
        assert_eq!(sink.count(&format!("RCPT TO:<{recipient}>{parameters}")), 1, "{recipient}");
    }
    assert!(relay.log_with("message accepted").contains(r#""certified":true"#));
}

/// Who names no suffix has no special names, and nothing else is certified.
#[test]
fn without_the_suffix_nothing_is_certified() {
    let sink = Sink::start();
    let settings = Settings::towards(sink.address());
    let relay = Relay::start(settings.set("inbound.0.certified_suffix", "evidence.example"));
    relay.submit("ana@sender.example", &["bo@dest.example"], &letter("plain", 300));
    assert!(!relay.log_with("message accepted").contains("certified"));
    let other = Relay::towards(sink.address());
    other.submit("ana@sender.example", &["bo@dest.evidence.example"], &letter("name", 300));
    let received = sink.wait_accepted(2);
    assert!(received.iter().any(|it| it.recipients == ["bo@dest.evidence.example"]));
}
