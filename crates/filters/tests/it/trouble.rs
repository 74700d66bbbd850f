//! Milters that are dead, slow, lost or hostile.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use filters::config::{Config, OnFailure};
use filters::verdict::Action;
use tokio::net::TcpListener;
use units::{Clock, Span};

use crate::scripted::{Milter, Say, agree, but_for, go_on, say};
use crate::world::{
    SHORT, content, envelope, noted, one, recipient, said, sender, session, with_clock,
};

const LETTER: &str = "A: b\r\n\r\nbody\r\n";
const LATER: &str = "451 4.7.1 a filter cannot be asked at the moment; try again later";

/// What comes of a whole session, and the words to it.
async fn outcome(config: Config) -> (String, String) {
    let mut session = session(&one(config));
    let mut verdicts = vec![session.connect().await, session.helo("c.example").await];
    verdicts.push(session.mail(sender(), Box::default()).await);
    verdicts.push(session.rcpt(recipient("bob@example.net")).await);
    for verdict in verdicts {
        if verdict.action != Action::Continue {
            return (said(&verdict.action), noted(&verdict.notes));
        }
    }
    let verdict = session.content(content(LETTER)).await;
    (said(&verdict.action), noted(&verdict.notes))
}

/// Such a milter fails, whatever it does otherwise; with `accept` the mail goes on.
async fn fails(command: u8, answer: Say, words: &str) {
    fails_within(Config::default(), (command, answer), words).await;
}

/// The same of one that has little time. Nothing else may come of it, however slow the machine is.
async fn is_late(command: u8, answer: Say) {
    let limits =
        Config { answer_wait_max: SHORT, content_wait_max: Span::millis(400), ..Config::default() };
    fails_within(limits, (command, answer), "did not answer in time").await;
}

async fn fails_within(limits: Config, (command, answer): (u8, Say), words: &str) {
    let milter = Milter::start(but_for(command, answer)).await;
    let Config { answer_wait_max, content_wait_max, .. } = limits;
    let strict = Config { answer_wait_max, content_wait_max, ..milter.config() };
    let (said, noted) = outcome(strict.clone()).await;
    assert_eq!(said, LATER, "{words}");
    assert!(noted.contains(words), "`{noted}` does not say `{words}`");
    let (said, _) = outcome(Config { on_failure: OnFailure::Accept, ..strict }).await;
    assert_eq!(said, "continue", "{words}");
}

#[tokio::test]
async fn silence_has_an_end() {
    for command in *b"OCHMRTLNBE" {
        is_late(command, Say::Nothing).await;
    }
}

#[tokio::test]
async fn so_has_talk_without_an_answer() {
    for command in *b"CE" {
        is_late(command, Say::Flood(b"\0\0\0\x01p".to_vec())).await;
    }
    let change = b"\0\0\0\x07hX-A\0b\0".repeat(100);
    fails(b'E', Say::Flood(change), "more than 1000 changes").await;
    let large = [&b"\0\0\x80\x04hX\0"[..], &b"a ".repeat(0x4000), b"\0"].concat();
    fails(b'E', Say::Flood(large), "of more than 1 MiB").await;
}

#[tokio::test]
async fn a_lost_connection_is_a_failure() {
    for command in *b"OCHMRTLNBE" {
        fails(command, Say::Close, "closed the connection").await;
    }
    fails(b'E', say(b'4', b""), "says that it is going down").await;
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("inet:{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    let milter = Milter::start(but_for(0, Say::Nothing)).await;
    let (said, noted) = outcome(Config { address, ..milter.config() }).await;
    assert!(said == LATER && noted.contains("cannot connect"), "{noted}");
}

#[tokio::test]
async fn what_is_no_milter_is_found_out() {
    for (command, answer, words) in [
        (b'O', Say::Raw(b"220 mail.example ESMTP\r\n".to_vec()), "a packet of 842149920 octets"),
        (b'O', Say::Raw(vec![0; 4]), "a packet of 0 octets"),
        (b'O', go_on(), "does not answer the offer"),
        (b'O', say(b'O', b"\0\0"), "cut off"),
        (b'O', say(b'O', b"\0\0\0\x01\0\0\0\0\0\0\0\0"), "speaks version 1"),
        (b'O', agree(2, 0), "wants to do what is not offered"),
        (b'O', agree(0, 0x800), "wants steps that are not offered"),
        (b'M', say(b'?', b""), "an answer of kind `?`"),
        (b'M', say(b'y', b"250 ok\0"), "is no reply that refuses"),
        (b'M', say(b'h', b"X-A\0b\0"), "changes a message before its end"),
        (b'M', say(b's', b""), "skips what is no body"),
        (b'E', say(b'h', b"X-A\0b\r\nBcc: c\0"), "line end"),
        (b'E', say(b'i', b"\0"), "cut off"),
        (b'E', say(b'+', b"<a@b>\r\nDATA\0"), "`<a@b>??DATA`"),
        (b'E', say(b'b', b"another body"), "an answer of kind `b`"),
    ] {
        fails(command, answer, words).await;
    }
}

#[tokio::test]
async fn changes_that_were_not_announced_fail() {
    let script = |kind, _: &[u8]| match kind {
        b'O' => agree(0x01, 0),
        b'E' => say(b'q', b"hold\0"),
        _ => go_on(),
    };
    let milter = Milter::start(script).await;
    let (said, noted) = outcome(milter.config()).await;
    assert!(said == LATER && noted.contains("did not announce"), "{noted}");
}

#[tokio::test]
async fn a_dead_milter_rests_and_comes_back() {
    let milter = Milter::start(but_for(b'O', Say::Close)).await;
    let clock = Clock::manual(0);
    let config = Config { failures_max: 2, on_failure: OnFailure::Accept, ..milter.config() };
    let filters = with_clock(&[config], &clock);
    let mut words = Vec::new();
    for _ in 0..4 {
        let verdict = session(&filters).connect().await;
        assert_eq!(verdict.action, Action::Continue);
        words.push(noted(&verdict.notes));
    }
    assert_eq!(milter.connections(), 2, "{words:?}");
    assert_eq!(words[3], "scripted at connect: failed: rests after failures; goes on without it");
    clock.advance(Duration::from_secs(30));
    session(&filters).connect().await;
    session(&filters).connect().await;
    assert_eq!(milter.connections(), 3, "one tries whether it is back");
}

#[tokio::test]
async fn a_connection_that_died_while_idle_is_replaced() {
    let ends = AtomicUsize::new(0);
    let script = move |kind, _: &[u8]| match kind {
        b'O' => agree(0, 0),
        // The first message is the last of its connection.
        b'M' if ends.load(Ordering::SeqCst) == 1 => {
            ends.fetch_add(1, Ordering::SeqCst);
            Say::Close
        }
        b'E' => {
            ends.fetch_add(1, Ordering::SeqCst);
            go_on()
        }
        _ => go_on(),
    };
    let milter = Milter::start(script).await;
    let mut session = session(&one(milter.config()));
    session.connect().await;
    session.helo("c.example").await;
    for _ in 0..2 {
        envelope(&mut session).await;
        assert_eq!(session.content(content(LETTER)).await.action, Action::Continue);
    }
    let heard: String = milter.heard().iter().filter_map(|line| line.chars().next()).collect();
    assert_eq!((heard.as_str(), milter.connections()), ("CHMRTLNBEMCHMRTLNBE", 2));
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_leaves_nothing_behind() {
    let milter = Milter::start(but_for(b'R', say(b'r', b""))).await;
    let mut session = session(&one(milter.config()));
    session.mail(sender(), Box::default()).await;
    {
        let mut question = std::pin::pin!(session.rcpt(recipient("bob@example.net")));
        std::future::poll_fn(|context| {
            assert!(question.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    session.abort();
    // The refusal of the recipient is not taken for an answer to this.
    assert_eq!(session.mail(sender(), Box::default()).await.action, Action::Continue);
    assert_eq!(milter.connections(), 2);
}
