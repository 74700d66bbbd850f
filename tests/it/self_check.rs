//! The tests' own tools do what they say; otherwise nothing above means anything.

use std::time::Duration;

use crate::harness::disk::SmallDisk;
use crate::harness::letter::{assert_same, letter};
use crate::harness::postfix::Postfix;
use crate::harness::sink::{Act, Sink, Stage, say};
use crate::harness::smtp::Smtp;
use crate::harness::wait::{wait_until, within};

/// Client and sink agree on dots and line ends, octet for octet.
#[test]
fn the_sink_keeps_what_the_client_sends() {
    let sink = Sink::start();
    let long = vec![b'x'; 300_000];
    let contents: [&[u8]; 6] =
        [b"", b".\r\n", b"..\r\n.a\r\n\r\n.\r\n", b"a\r\n.", b"\xff\xfe\x80\r\n", &long];
    let mut session = Smtp::open(sink.address());
    for content in contents {
        assert_eq!(session.deliver("a@b.example", &["c@d.example"], content).code, 250);
    }
    session.send(
        b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 5\r\n.\r\na\rBDAT 1 LAST\r\n\n",
    );
    let codes: Vec<u16> = (0..4).map(|_| session.read_reply().code).collect();
    assert_eq!(codes, [250; 4]);
    session.quit();
    let received = sink.wait_accepted(7);
    for (message, content) in received.iter().zip(contents) {
        let is_whole = content.is_empty() || content.ends_with(b"\r\n");
        let want = [content, if is_whole { b"" } else { b"\r\n" }].concat();
        assert_same("content", &message.content, &want);
    }
    assert_same("chunks", &received[6].content, b".\r\na\r\n");
    sink.assert_clean();
}

/// A bare LF is noticed and ends nothing.
#[test]
fn the_sink_is_strict() {
    let sink = Sink::start();
    let mut session = Smtp::open(sink.address());
    session.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
    let codes: Vec<u16> = (0..3).map(|_| session.read_reply().code).collect();
    assert_eq!(codes, [250, 250, 354]);
    session.send(b"a\n.\nb\n.\r\nc\r\n.\r\n");
    assert_eq!(session.read_reply().code, 250);
    assert_same("content", &sink.wait_accepted(1)[0].content, b"a\n.\nb\n.\r\nc\r\n");
    assert!(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sink.assert_clean())).is_err()
    );
}

#[test]
fn the_sink_fails_as_scripted() {
    let sink = Sink::scripted(|event| match (event.stage, event.connection) {
        (Stage::Greeting, 2) => Act::SayAndClose("421 4.3.2 busy".to_owned()),
        (Stage::Rcpt, 3) => say("550 5.1.1 nobody"),
        (Stage::Greeting, 1) | (Stage::Dot, 4) => Act::Close,
        (Stage::Mail, 5) => Act::Stall,
        _ => Act::Go,
    });
    assert!(Smtp::try_open(sink.address()).is_err());
    let mut busy = Smtp::connect(sink.address()).expect("a connection");
    assert_eq!(busy.read_reply().code, 421);
    assert!(busy.is_closed());
    let content = letter("script", 300);
    let mut session = Smtp::open(sink.address());
    assert_eq!(session.deliver("a@b.example", &["c@d.example"], &content).code, 550);
    let mut session = Smtp::open(sink.address());
    assert!(session.try_deliver("a@b.example", &["c@d.example"], &content).is_err());
    assert!(!sink.all()[0].is_accepted());
    let mut session = Smtp::open(sink.address());
    session.send(b"MAIL FROM:<a@b.example>\r\n");
    sink.wait_command("MAIL", 3);
    drop(session);
    wait_until("the end of the stall", || sink.closed_by_peer() >= 1);
}

/// A message goes through Postfix, so that a failure elsewhere is not Postfix's.
#[test]
fn postfix_relays_to_the_sink() {
    let sink = Sink::start();
    let postfix = Postfix::towards(sink.address(), "postfix.test");
    let mut session = Smtp::open(postfix.address());
    let content = letter("postfix", 5000);
    assert_eq!(session.deliver("a@b.example", &["c@d.example"], &content).code, 250);
    session.quit();
    let received = sink.wait_accepted(1);
    assert!(received[0].content.ends_with(&content), "{}", postfix.log());
    sink.assert_clean();
}

#[test]
fn the_small_disk_is_small() {
    let disk = SmallDisk::mount(4 << 20);
    let ballast = disk.fill();
    drop(ballast);
    let _again = disk.fill();
}

#[test]
fn waiting_has_an_end() {
    assert_eq!(within(Duration::from_millis(20), || None::<()>), None);
    assert_eq!(within(Duration::from_millis(20), || Some(1)), Some(1));
}
