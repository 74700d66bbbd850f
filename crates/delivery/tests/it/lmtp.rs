//! LMTP (RFC 2033).

use mail::{Fate, Outcome};
use policy::config::{Protocol, SmartHost};
use testkit::peer::Act::{Close, Reply};
use testkit::peer::{Act, DOT, Peer, Script};
use tokio::net::{TcpStream, UnixListener};

use crate::relay::{CONTENT, Relay, Setup, answered, fates};

const RECIPIENTS: [&str; 3] = ["a@x.example", "b@x.example", "c@x.example"];

fn script(at_the_dot: &[Act]) -> Script {
    Script::default()
        .replies("LHLO", "250-peer.example\r\n250 PIPELINING")
        .replies("EHLO", "500 5.5.1 LMTP is spoken here")
        .on(DOT, at_the_dot)
}

fn setup(peer: &Peer) -> Setup {
    let mut setup = Setup::to(&[peer.address()]);
    setup.connector.protocol = Protocol::Lmtp;
    setup
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() {
    let replies = [Reply("250 2.0.0 saved"), Reply("552 5.2.2 full"), Reply("451 4.2.0 locked")];
    let peer = Peer::start([script(&replies)]).await;
    let mut relay = Relay::start(setup(&peer));
    let outcomes = answered(relay.deliver(&RECIPIENTS).await);
    let got: Vec<_> = outcomes.iter().map(|it| (it.fate, it.reply.code())).collect();
    assert_eq!(got, [(Fate::Delivered, 250), (Fate::Failed, 552), (Fate::Deferred, 451)]);
    assert!(outcomes.iter().all(|outcome| outcome.peer.as_ref().unwrap().is_final));
    // Nothing is left over for the next message.
    assert_eq!(fates(relay.deliver(&RECIPIENTS).await).len(), 3);
    let seen = peer.seen();
    assert_eq!((seen.len(), seen[0].lines[0].as_str()), (1, "LHLO relay.example"));
}

/// Nobody who was answered is tried again at once or told something else.
#[tokio::test]
async fn those_behind_a_lost_connection_are_tried_later() {
    let peer = Peer::start([script(&[Reply("250 2.0.0 saved"), Close])]).await;
    let mut relay = Relay::start(setup(&peer));
    let outcomes = fates(relay.deliver(&RECIPIENTS).await);
    assert_eq!(outcomes, [(Fate::Delivered, 250), (Fate::Deferred, 451), (Fate::Deferred, 451)]);
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn a_socket_of_this_machine_will_do() {
    let replies = [Reply("250 2.0.0 saved"), Reply("250 2.0.0 saved"), Reply("250 2.0.0 saved")];
    let peer = Peer::start([script(&replies)]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp");
    let listener = UnixListener::bind(&path).unwrap();
    let far = peer.address();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(far).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let mut setup = setup(&peer);
    let host = format!("unix:{}", path.display());
    setup.connector.smart_hosts = vec![SmartHost { host: host.clone(), ..SmartHost::default() }];
    let mut relay = Relay::start(setup);
    for _ in 0..2 {
        let outcomes = answered(relay.deliver(&RECIPIENTS).await);
        assert_eq!(outcomes[0].peer.as_ref().unwrap().to_string(), host);
        assert!(outcomes.iter().all(|outcome| outcome.fate == Fate::Delivered));
    }
    assert_eq!(peer.messages()[0].content, CONTENT);
    assert_eq!(peer.seen().len(), 1, "the connection is used again");
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_named() {
    let peer = Peer::start([script(&[])]).await;
    let mut setup = setup(&peer);
    setup.connector.smart_hosts =
        vec![SmartHost { host: "unix:/nowhere/lmtp".to_owned(), ..SmartHost::default() }];
    let mut relay = Relay::start(setup);
    let Outcome::Unreachable { reply, .. } = relay.deliver(&RECIPIENTS).await else { panic!() };
    let want = "451 4.4.1 unix:/nowhere/lmtp cannot be connected to: no such file or directory";
    assert_eq!(reply.to_string(), want);
}

#[tokio::test]
async fn a_host_that_speaks_smtp_is_told_apart_from_one_that_refuses() {
    let peer = Peer::start([Script::default().replies("LHLO", "500 5.5.1 unknown command")]).await;
    let mut relay = Relay::start(setup(&peer));
    let Outcome::Unreachable { reply, .. } = relay.deliver(&RECIPIENTS).await else { panic!() };
    let want = format!(
        "451 4.4.1 127.0.0.1[127.0.0.1]:{} answered LHLO with 500 5.5.1 unknown command; speaks SMTP, not LMTP?",
        peer.address().port()
    );
    assert_eq!(reply.to_string(), want);
}
