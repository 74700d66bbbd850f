//! What goes well.

use mail::{BodyType, Fate, MessageId, Outcome, ReversePath};
use policy::config::Limits;
use testkit::peer::{Act, Peer, Script};

use crate::relay::{CONTENT, Relay, Setup, answered, envelope, fates};

#[tokio::test]
async fn a_message_arrives_byte_for_byte_with_its_envelope() {
    let peer = Peer::start([Script::default()]).await;
    let mut relay = Relay::to(&peer);
    let outcomes = answered(relay.deliver(&["a@x.example", "\"b c\"@x.example"]).await);
    let places: Vec<_> = outcomes.iter().map(|one| (one.recipient, one.fate)).collect();
    assert_eq!(places, [(0, Fate::Delivered), (1, Fate::Delivered)]);
    assert_eq!(outcomes[0].reply.to_string(), "250 2.0.0 taken");
    let host = outcomes[0].peer.as_ref().unwrap();
    assert_eq!((&*host.host, host.address, &host.tls), ("127.0.0.1", peer.address(), &None));

    let messages = peer.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].content, CONTENT);
    assert!(messages[0].envelope[0].starts_with("MAIL FROM:<sender@example.com>"));
    assert_eq!(messages[0].envelope[1..], ["RCPT TO:<a@x.example>", "RCPT TO:<\"b c\"@x.example>"]);
    assert_eq!(peer.seen()[0].lines[0], "EHLO relay.example");
}

#[tokio::test]
async fn large_content_is_streamed_unchanged() {
    let peer = Peer::start([Script::default()]).await;
    let mut relay = Relay::to(&peer);
    let mut content = b"Subject: large\r\n\r\n".to_vec();
    for line in 0..120_000 {
        content.extend(format!("{}line {line} .\r\n..\r\n", ".".repeat(line % 4)).as_bytes());
    }
    let id = relay.store(&["a@x.example"], &content).await;
    relay.hand_out(id, "a@x.example").await;
    assert_eq!(fates(relay.end().await.outcome), [(Fate::Delivered, 250)]);
    assert!(peer.messages()[0].content == content, "the content differs");
}

#[tokio::test]
async fn many_recipients_are_split_over_one_connection() {
    let peer = Peer::start([Script::default()]).await;
    let mut setup = Setup::to(&[peer.address()]);
    setup.connector.limits = Limits { recipients_per_transaction_max: 2, ..Limits::default() };
    let mut relay = Relay::start(setup);
    let outcomes = answered(
        relay
            .deliver(&["a@x.example", "b@x.example", "c@x.example", "d@x.example", "e@x.example"])
            .await,
    );
    assert!(outcomes.iter().all(|one| one.fate == Fate::Delivered));
    assert_eq!(outcomes.iter().map(|one| one.recipient).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let sizes: Vec<_> = peer.messages().iter().map(|one| one.envelope.len() - 1).collect();
    assert_eq!((peer.seen().len(), sizes), (1, vec![2, 2, 1]));
}

/// Who was taken is reported while the next transaction is under way; who failed or waits, at the end.
#[tokio::test]
async fn who_was_taken_is_reported_before_the_end() {
    let script = Script::default()
        .replies("RCPT TO:<b@", "550 5.1.1 no")
        .on("RCPT TO:<d@", &[Act::Pause, Act::Reply("450 4.2.0 later")]);
    let peer = Peer::start([script]).await;
    let mut setup = Setup::to(&[peer.address()]);
    setup.connector.limits = Limits { recipients_per_transaction_max: 1, ..Limits::default() };
    setup.connector.timeouts.rcpt = units::Span::seconds(60);
    let mut relay = Relay::start(setup);
    let recipients = ["a@x.example", "b@x.example", "c@x.example", "d@x.example"];
    let id = relay.store(&recipients, CONTENT).await;
    relay.hand_out(id, recipients[0]).await;
    for place in [0, 2] {
        let part = relay.report().await;
        let Outcome::Taken { outcomes: taken, .. } = part.outcome else { panic!("{part:?}") };
        assert_eq!((taken.len(), taken[0].recipient, part.is_further), (1, place, place > 0));
    }
    peer.go_on();
    let end = relay.report().await;
    assert!(end.is_further);
    assert_eq!(fates(end.outcome), [(Fate::Failed, 550), (Fate::Deferred, 450)]);
}

#[tokio::test]
async fn recipients_that_are_too_many_follow_at_once_in_a_further_transaction() {
    use Act::Reply;
    for refusal in ["452 4.5.3 too many recipients", "552 5.5.3 too many recipients"] {
        let script = Script::default().times(2, "RCPT", &[Reply("250 2.1.5 ok")]).times(
            1,
            "RCPT",
            &[Reply(refusal)],
        );
        let peer = Peer::start([script]).await;
        let mut relay = Relay::to(&peer);
        let outcome = relay.deliver(&["a@x.example", "b@x.example", "c@x.example"]).await;
        assert_eq!(fates(outcome), [(Fate::Delivered, 250); 3], "{refusal}");
        let sizes: Vec<_> = peer.messages().iter().map(|one| one.envelope.len() - 1).collect();
        assert_eq!((peer.seen().len(), sizes), (1, vec![2, 1]), "{refusal}");
    }
}

#[tokio::test]
async fn a_peer_without_pipelining_is_spoken_to_step_by_step() {
    let peer = Peer::start([Script::default().offers(&[])]).await;
    let mut relay = Relay::to(&peer);
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), [(Fate::Delivered, 250)]);
    let peer = Peer::start([Script::default().replies("EHLO", "502 5.5.1 HELO only")]).await;
    let mut relay = Relay::to(&peer);
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), [(Fate::Delivered, 250)]);
    assert_eq!(peer.seen()[0].lines[1], "HELO relay.example");
    assert_eq!(peer.seen()[0].lines[2], "MAIL FROM:<sender@example.com>");
}

#[tokio::test]
async fn what_the_peer_cannot_take_fails_here() {
    let peer = Peer::start([Script::default().offers(&["PIPELINING"])]).await;
    let mut relay = Relay::to(&peer);
    let mut with_utf8 = envelope(&["grün@x.example"]);
    with_utf8.needs_smtputf8 = true;
    let id = relay.store_as(with_utf8, CONTENT).await;
    relay.hand_out(id, "a@x.example").await;
    let outcomes = answered(relay.end().await.outcome);
    assert_eq!(outcomes[0].fate, Fate::Failed);
    assert_eq!(outcomes[0].reply.status().unwrap().to_string(), "5.6.7");
    assert!(outcomes[0].reply.text().starts_with("127.0.0.1[127.0.0.1]:"), "{:?}", outcomes[0]);
    assert!(outcomes[0].peer.is_none());

    let mut eight_bit = envelope(&["a@x.example"]);
    eight_bit.body_type = BodyType::EightBitMime;
    eight_bit.sender = ReversePath::Null;
    let id = relay.store_as(eight_bit, "Subject: x\r\n\r\n\u{e9}\r\n".as_bytes()).await;
    relay.hand_out(id, "a@x.example").await;
    let outcomes = answered(relay.end().await.outcome);
    assert_eq!(outcomes[0].reply.status().unwrap().to_string(), "5.6.3");
    assert!(peer.messages().is_empty());
}

#[tokio::test]
async fn a_message_that_the_spool_does_not_have_is_missing() {
    let peer = Peer::start([Script::default()]).await;
    let mut relay = Relay::to(&peer);
    relay.hand_out(MessageId::new(1, 2), "a@x.example").await;
    assert!(matches!(relay.end().await.outcome, Outcome::Missing));
    assert!(peer.seen().is_empty());
}
