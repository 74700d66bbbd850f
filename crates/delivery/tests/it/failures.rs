//! A peer that refuses, drops, stalls or talks nonsense, at each stage (RFC 5321 §4.2.1, §4.2.5, §4.5.3.2).

use mail::{Fate, Outcome};
use testkit::peer::Act::{Close, Raw, Reply, Reset, Stall};
use testkit::peer::{Act, CONNECT, DOT, Peer, Script};

use crate::relay::{Relay, fates, unreachable};

/// What a deviation means for one recipient.
#[derive(Debug, PartialEq, Eq)]
enum Want {
    /// The destination rests.
    Unreachable,
    /// This message waits.
    Deferred,
    /// The sender is told.
    Failed,
}

async fn check(prefix: &'static str, acts: &[Act], want: &Want) {
    let peer = Peer::start([Script::default().on(prefix, acts)]).await;
    let mut relay = Relay::to(&peer);
    let outcome = relay.deliver(&["a@x.example"]).await;
    let case = format!("{prefix} {acts:?} gave {outcome:?}");
    let got = match &outcome {
        Outcome::Unreachable { reply, .. } => {
            assert_eq!(reply.code() / 100, 4, "{case}");
            assert!(reply.text().contains("127.0.0.1[127.0.0.1]:"), "{case}");
            Want::Unreachable
        }
        Outcome::Answered(outcomes) => match outcomes[0].fate {
            Fate::Deferred => Want::Deferred,
            Fate::Failed => Want::Failed,
            Fate::Delivered => panic!("{case}"),
        },
        Outcome::Hindered { .. }
        | Outcome::Elsewhere
        | Outcome::Missing
        | Outcome::Taken { .. }
        | Outcome::Decided(_)
        | Outcome::Discarded => {
            panic!("{case}")
        }
    };
    assert_eq!(&got, want, "{case}");
    let dots = peer.seen().iter().flat_map(|seen| seen.lines.clone()).filter(|l| l == DOT).count();
    assert!(dots <= 1, "{case}: the content was sent {dots} times");
}

#[tokio::test]
async fn a_drop_at_each_stage_keeps_the_message() {
    for drop in [Close, Reset] {
        for (prefix, want) in [
            (CONNECT, Want::Unreachable),
            ("EHLO", Want::Unreachable),
            ("MAIL", Want::Unreachable),
            ("RCPT", Want::Deferred),
            ("DATA", Want::Deferred),
            (DOT, Want::Deferred),
        ] {
            check(prefix, std::slice::from_ref(&drop), &want).await;
        }
    }
}

#[tokio::test]
async fn a_stall_at_each_stage_keeps_the_message() {
    for (prefix, want) in [
        (CONNECT, Want::Unreachable),
        ("EHLO", Want::Unreachable),
        ("MAIL", Want::Deferred),
        ("RCPT", Want::Deferred),
        ("DATA", Want::Deferred),
        (DOT, Want::Deferred),
    ] {
        check(prefix, &[Stall], &want).await;
    }
}

#[tokio::test]
async fn a_4xx_at_each_stage_defers() {
    for (prefix, want) in [
        (CONNECT, Want::Unreachable),
        ("EHLO", Want::Unreachable),
        ("MAIL", Want::Deferred),
        ("RCPT", Want::Deferred),
        ("DATA", Want::Deferred),
        (DOT, Want::Deferred),
    ] {
        check(prefix, &[Reply("451 4.3.0 not now")], &want).await;
    }
    check(CONNECT, &[Reply("421 4.3.2 busy"), Close], &Want::Unreachable).await;
    check("MAIL", &[Reply("421 4.3.2 busy"), Close], &Want::Unreachable).await;
    check("RCPT", &[Reply("421 4.3.2 busy"), Close], &Want::Deferred).await;
    check(DOT, &[Reply("421 4.3.2 busy"), Close], &Want::Deferred).await;
}

#[tokio::test]
async fn a_5xx_fails_but_not_before_mail() {
    for (prefix, want) in [
        (CONNECT, Want::Unreachable),
        ("MAIL", Want::Failed),
        ("RCPT", Want::Failed),
        ("DATA", Want::Failed),
        (DOT, Want::Failed),
    ] {
        check(prefix, &[Reply("550 5.7.1 never")], &want).await;
    }
}

#[tokio::test]
async fn what_is_not_a_reply_is_not_a_success() {
    for prefix in [CONNECT, "EHLO"] {
        check(prefix, &[Raw("hello\r\n"), Close], &Want::Unreachable).await;
        check(prefix, &[Raw("220"), Close], &Want::Unreachable).await;
    }
    for prefix in ["RCPT", "DATA", DOT] {
        check(prefix, &[Raw("ok\r\n"), Close], &Want::Deferred).await;
    }
    // The 221 of a pipelined QUIT, say, must not be taken for the dot's reply.
    check(DOT, &[Raw("ok\r\n221 2.0.0 bye\r\n"), Close], &Want::Deferred).await;
    check(DOT, &[Raw("25\r\n250 2.0.0 taken\r\n"), Close], &Want::Deferred).await;
}

#[tokio::test]
async fn a_reply_without_end_is_cut_off() {
    // Lines without text slip through a limit on text.
    let endless: &'static str = Box::leak("220-\r\n".repeat(100_000).into_boxed_str());
    check(CONNECT, &[Raw(endless)], &Want::Unreachable).await;
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() {
    let script = Script::default()
        .replies("RCPT TO:<b@", "450 4.2.0 greylisted")
        .replies("RCPT TO:<c@", "550 5.1.1 no such user");
    let peer = Peer::start([script]).await;
    let mut relay = Relay::to(&peer);
    let recipients = ["a@x.example", "b@x.example", "c@x.example", "d@x.example"];
    let fates = fates(relay.deliver(&recipients).await);
    assert_eq!(
        fates,
        [
            (Fate::Delivered, 250),
            (Fate::Deferred, 450),
            (Fate::Failed, 550),
            (Fate::Delivered, 250)
        ]
    );
    let messages = peer.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].envelope[1..], ["RCPT TO:<a@x.example>", "RCPT TO:<d@x.example>"]);
}

#[tokio::test]
async fn after_a_refused_message_the_connection_serves_the_next() {
    let script = Script::default().times(1, "MAIL", &[Reply("550 5.7.1 not from you")]);
    let peer = Peer::start([script]).await;
    let mut relay = Relay::to(&peer);
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), [(Fate::Failed, 550)]);
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), [(Fate::Delivered, 250)]);
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn nobody_listening_is_named() {
    let peer = Peer::start([Script::default()]).await;
    let (mut relay, address) = (Relay::to(&peer), peer.address());
    drop(peer);
    let reply = unreachable(relay.deliver(&["a@x.example"]).await);
    let want = format!(
        "451 4.4.1 127.0.0.1[127.0.0.1]:{} cannot be connected to: connection refused",
        address.port()
    );
    assert_eq!(reply.to_string(), want);
    assert!(relay.shows("chasqui_connect_failures_total{connector=\"out\",stage=\"connect\"} 1"));
}

/// A peer that refuses in the middle of the content and then neither reads nor closes holds nobody up.
#[tokio::test]
async fn a_refusal_before_the_end_of_the_content_is_enough() {
    let acts = [Reply("354 go ahead"), Act::Read, Reply("552 5.3.4 too big"), Act::Pause];
    let peer = Peer::start([Script::default().on("DATA", &acts)]).await;
    let mut relay = Relay::to(&peer);
    let content = "A line of the content.\r\n".repeat(800_000);
    let id = relay.store(&["a@x.example"], content.as_bytes()).await;
    relay.hand_out(id, "a@x.example").await;
    assert_eq!(fates(relay.end().await.outcome), [(Fate::Failed, 552)]);
}

/// What our own machine could not do says nothing of the destination.
#[tokio::test]
async fn a_spool_that_cannot_be_read_is_no_fault_of_the_destination() {
    let peer = Peer::start([Script::default()]).await;
    let mut relay = Relay::to(&peer);
    relay.close_spool().await;
    relay.hand_out(mail::MessageId::new(1, 1), "a@x.example").await;
    let outcome = relay.end().await.outcome;
    let Outcome::Hindered { reply } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reply.status(), Some(mail::EnhancedStatus::new(4, 3, 0)));
}
