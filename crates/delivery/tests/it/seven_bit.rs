//! Next hops without 8BITMIME (RFC 6152 §3).

use mail::{BodyType, Fate, Outcome};
use testkit::peer::{Peer, Script};

use crate::relay::{CONTENT, Relay, Setup, answered, envelope, fates};

const WIDE: &str = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 8bit\r\n\r\nOnly one \u{e9} in it.\r\n";
const CONVERTED: &str = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\nOnly one =C3=A9 in it.\r\n";

async fn without_8bitmime() -> (Peer, Relay) {
    let peer = Peer::start([Script::default().offers(&["PIPELINING", "SIZE"])]).await;
    let relay = Relay::to(&peer);
    (peer, relay)
}

async fn send(relay: &mut Relay, body_type: BodyType, content: &str) -> Outcome {
    let envelope = mail::Envelope { body_type, ..envelope(&["a@x.example", "b@x.example"]) };
    let id = relay.store_as(envelope, content.as_bytes()).await;
    relay.hand_out(id, "a@x.example").await;
    relay.end().await.outcome
}

#[tokio::test]
async fn what_has_wide_octets_is_converted_whatever_was_declared() {
    for declared in [BodyType::SevenBit, BodyType::EightBitMime] {
        let (peer, mut relay) = without_8bitmime().await;
        let outcome = send(&mut relay, declared, WIDE).await;
        assert_eq!(fates(outcome), [(Fate::Delivered, 250); 2]);
        let messages = peer.messages();
        assert_eq!(String::from_utf8_lossy(&messages[0].content), CONVERTED);
        let mail = format!("MAIL FROM:<sender@example.com> SIZE={}", CONVERTED.len());
        assert_eq!(messages[0].envelope[0], mail);
    }
}

#[tokio::test]
async fn what_was_declared_wide_and_is_not_goes_as_it_is() {
    let (peer, mut relay) = without_8bitmime().await;
    let content = String::from_utf8_lossy(CONTENT);
    let outcome = send(&mut relay, BodyType::EightBitMime, &content).await;
    assert_eq!(fates(outcome), [(Fate::Delivered, 250); 2]);
    assert_eq!(peer.messages()[0].content, CONTENT);
    assert!(!peer.messages()[0].envelope[0].contains("BODY="));
}

/// The connection is good for the next message.
#[tokio::test]
async fn what_is_signed_fails_in_words_and_the_connection_stays() {
    let (peer, mut relay) = without_8bitmime().await;
    let signed = format!("DKIM-Signature: v=1\r\n{WIDE}");
    for outcome in answered(send(&mut relay, BodyType::EightBitMime, &signed).await) {
        assert_eq!(outcome.fate, Fate::Failed);
        let want = format!(
            "554 5.6.3 127.0.0.1[127.0.0.1]:{}: the next hop takes 7-bit content only (no 8BITMIME), \
             and the message cannot be converted: it is signed (DKIM-Signature), and a change would break the signature",
            peer.address().port()
        );
        assert_eq!(outcome.reply.to_string(), want);
        assert!(outcome.peer.is_none());
    }
    assert_eq!(
        fates(send(&mut relay, BodyType::SevenBit, WIDE).await),
        [(Fate::Delivered, 250); 2]
    );
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn what_is_large_is_converted_up_to_a_limit() {
    let (peer, mut relay) = without_8bitmime().await;
    let large = WIDE.to_owned() + &"A line without anything odd.\r\n".repeat(50_000);
    assert_eq!(
        fates(send(&mut relay, BodyType::SevenBit, &large).await),
        [(Fate::Delivered, 250); 2]
    );
    assert!(peer.messages()[0].content.is_ascii());
    let huge = WIDE.to_owned() + &"A line without anything odd.\r\n".repeat(1_200_000);
    let outcome = answered(send(&mut relay, BodyType::SevenBit, &huge).await);
    assert!(outcome[0].reply.text().ends_with("it is larger than 32 MiB"), "{:?}", outcome[0]);
}

/// Only if no host of the destination can have it is a message returned.
#[tokio::test]
async fn what_cannot_be_converted_goes_to_another_host_with_8bitmime() {
    let signed = format!("DKIM-Signature: v=1\r\n{WIDE}");
    let plain = || Script::default().offers(&["PIPELINING"]);
    let (first, second) = (Peer::start([plain()]).await, Peer::start([plain()]).await);
    let third = Peer::start([Script::default().offers(&["8BITMIME"])]).await;
    let hosts = [first.address(), second.address(), third.address()];
    let mut relay = Relay::start(Setup::to(&hosts));
    let outcome = send(&mut relay, BodyType::EightBitMime, &signed).await;
    assert_eq!(fates(outcome), [(Fate::Delivered, 250); 2]);
    assert_eq!(String::from_utf8_lossy(&third.messages()[0].content), signed);
    // One that is away now may be the one that can have it.
    drop(third);
    let mut relay = Relay::start(Setup::to(&hosts));
    let outcome = send(&mut relay, BodyType::EightBitMime, &signed).await;
    assert_eq!(fates(outcome), [(Fate::Deferred, 451); 2]);
    let mut relay = Relay::start(Setup::to(&hosts[..2]));
    let outcome = send(&mut relay, BodyType::EightBitMime, &signed).await;
    assert_eq!(fates(outcome), [(Fate::Failed, 554); 2]);
}
