//! Limits on connections and on content.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use filters::config::{Config, OnTooLarge};
use filters::facts::Content;
use filters::verdict::Action;
use units::ByteSize;

use crate::scripted::{Milter, Say, but_for};
use crate::world::{SHORT, content, envelope, noted, one, said, sender, session};

/// Looks once whether an answer is there, which it is not.
async fn waits<T>(mut question: Pin<&mut impl Future<Output = T>>) {
    poll_fn(|context| {
        assert!(question.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn no_place_is_waited_for_without_end() {
    let milter = Milter::start(but_for(b'O', Say::Nothing)).await;
    let filters = one(Config { connections_max: 1, answer_wait_max: SHORT, ..milter.config() });
    let (mut first, mut second) = (session(&filters), session(&filters));
    let mut question = pin!(first.mail(sender(), Box::default()));
    waits(question.as_mut()).await;
    let verdict = second.mail(sender(), Box::default()).await;
    assert!(noted(&verdict.notes).contains("no connection was free in time"), "{verdict:?}");
    assert!(said(&verdict.action).starts_with("451 4.7.1 "));
}

#[tokio::test]
async fn a_place_that_is_given_back_is_taken() {
    let milter = Milter::start(but_for(0, Say::Nothing)).await;
    let filters = one(Config { connections_max: 1, ..milter.config() });
    let (mut first, mut second) = (session(&filters), session(&filters));
    assert_eq!(first.mail(sender(), Box::default()).await.action, Action::Continue);
    let mut question = pin!(second.mail(sender(), Box::default()));
    waits(question.as_mut()).await;
    assert_eq!(milter.connections(), 1);
    drop(first);
    assert_eq!(question.await.action, Action::Continue);
}

#[tokio::test]
async fn idle_sessions_leave_room() {
    let milter = Milter::start(but_for(0, Say::Nothing)).await;
    let filters = one(Config { connections_max: 2, ..milter.config() });
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let mut session = session(&filters);
        envelope(&mut session).await;
        assert_eq!(session.content(content("A: b\r\n\r\n")).await.action, Action::Continue);
        sessions.push(session);
    }
}

#[tokio::test]
async fn large_content_is_not_shown() {
    let milter = Milter::start(but_for(0, Say::Nothing)).await;
    let config = Config { content_octets_max: ByteSize::octets(10), ..milter.config() };
    let refusing = Config { on_too_large: OnTooLarge::Refuse, ..config.clone() };
    let fits = || Content::new(vec![Bytes::from_static(b"A: b\r\n\r\n12")]);
    let large = || Content::new(vec![Bytes::from_static(b"A: b\r\n\r\n123")]);
    for (config, content, want, words) in [
        (&config, fits(), "continue", ""),
        (&config, large(), "continue", "not asked: 11 octets are more than the 10B it is shown"),
        (
            &config,
            Content::unseen(1 << 40),
            "continue",
            "not asked: 1099511627776 octets are more than the 10B it is shown",
        ),
        (
            &refusing,
            large(),
            "552 5.3.4 content that a filter must see may have 10B at most",
            "refused with 552",
        ),
    ] {
        let mut session = session(&one(config.clone()));
        envelope(&mut session).await;
        assert_eq!(session.content_octets_max(), Some(10));
        let verdict = session.content(content).await;
        assert_eq!(said(&verdict.action), want);
        let noted = noted(&verdict.notes);
        assert!(noted.contains(words) && noted.is_empty() == words.is_empty(), "{noted}");
    }
}
