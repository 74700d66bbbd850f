//! TLS by the connector's level (RFC 3207, RFC 7435).

use mail::Fate;
use policy::config::TlsLevel;
use testkit::authority::Authority;
use testkit::peer::Act::{Close, Raw, Reply};
use testkit::peer::{Act, Peer, Script, Seen};

use crate::relay::{Relay, Setup, answered, fates, unreachable};

const DELIVERED: [(Fate, u16); 1] = [(Fate::Delivered, 250)];
const ALL: [TlsLevel; 4] =
    [TlsLevel::None, TlsLevel::Opportunistic, TlsLevel::Encrypt, TlsLevel::Verify];

/// A relay to `peer`; trusts `authority` if there is one.
fn relay(peer: &Peer, level: TlsLevel, authority: Option<&Authority>) -> Relay {
    let mut setup = Setup::to(&[peer.address()]).tls(level);
    let folder = tempfile::tempdir().unwrap();
    if let Some(authority) = authority {
        let path = folder.path().join("roots.pem");
        std::fs::write(&path, authority.pem()).unwrap();
        setup.connectors.roots = Some(path);
    }
    Relay::start(setup)
}

fn has_mail(peer: &Peer) -> bool {
    peer.seen().iter().flat_map(|seen| &seen.lines).any(|line| line.starts_with("MAIL"))
}

#[tokio::test]
async fn each_level_gets_what_it_asks_for() {
    let authority = Authority::new("Test Authority");
    for level in ALL {
        let peer = Peer::start_tls(authority.acceptor("127.0.0.1"), [Script::default()]).await;
        let mut relay = relay(&peer, level, Some(&authority));
        let outcomes = answered(relay.deliver(&["a@x.example"]).await);
        assert_eq!(outcomes[0].fate, Fate::Delivered, "{level:?}");
        let host = outcomes[0].peer.as_ref().unwrap();
        let seen = &peer.seen()[0];
        if level == TlsLevel::None {
            assert!(host.tls.is_none() && !seen.is_tls);
            continue;
        }
        assert!(host.tls.as_ref().unwrap().starts_with("TLSv1.3 TLS_"), "{host:?}");
        assert!(seen.is_tls);
        assert_eq!(seen.lines[..3], ["EHLO relay.example", "STARTTLS", "EHLO relay.example"]);
        // A second message goes over the same connection, whose session tickets must not look like a dead peer.
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
        assert_eq!(peer.seen().len(), 1, "{level:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_matters_to_verify_only() {
    let (authority, stranger) = (Authority::new("Test Authority"), Authority::new("Stranger"));
    for (issuer, name) in [(&stranger, "127.0.0.1"), (&authority, "other.example")] {
        for level in [TlsLevel::Opportunistic, TlsLevel::Encrypt] {
            let peer = Peer::start_tls(issuer.acceptor(name), [Script::default()]).await;
            let mut relay = relay(&peer, level, Some(&authority));
            let outcomes = answered(relay.deliver(&["a@x.example"]).await);
            assert!(outcomes[0].peer.as_ref().unwrap().tls.is_some(), "{level:?}");
        }
        let peer = Peer::start_tls(issuer.acceptor(name), [Script::default()]).await;
        let mut relay = relay(&peer, TlsLevel::Verify, Some(&authority));
        let reply = unreachable(relay.deliver(&["a@x.example"]).await);
        assert!(reply.to_string().starts_with("451 4.7.5 127.0.0.1["), "{reply}");
        assert!(reply.text().contains("certificate"), "{reply}");
        assert!(!has_mail(&peer));
        assert!(relay.shows("chasqui_tls_policy_total{policy=\"verify\",result=\"failed\"} 1"));
    }
}

#[tokio::test]
async fn without_starttls_mail_goes_clear_only_where_it_may() {
    for level in ALL {
        let peer = Peer::start([Script::default()]).await;
        let mut relay = relay(&peer, level, None);
        let outcome = relay.deliver(&["a@x.example"]).await;
        if matches!(level, TlsLevel::None | TlsLevel::Opportunistic) {
            assert_eq!(fates(outcome), DELIVERED, "{level:?}");
        } else {
            let reply = unreachable(outcome);
            assert!(reply.text().contains("does not offer STARTTLS"), "{reply}");
            assert!(!has_mail(&peer), "{level:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_starttls_goes_on_clear_on_the_same_connection_only_where_it_may() {
    let authority = Authority::new("Test Authority");
    let refusing = || Script::default().replies("STARTTLS", "454 4.7.0 not now");
    for level in [TlsLevel::Opportunistic, TlsLevel::Encrypt, TlsLevel::Verify] {
        let peer = Peer::start_tls(authority.acceptor("127.0.0.1"), [refusing()]).await;
        let mut relay = relay(&peer, level, Some(&authority));
        let outcome = relay.deliver(&["a@x.example"]).await;
        assert_eq!(peer.seen().len(), 1, "{level:?}");
        if level == TlsLevel::Opportunistic {
            assert_eq!(fates(outcome), DELIVERED);
        } else {
            assert!(unreachable(outcome).text().contains("454 4.7.0 not now"));
            assert!(!has_mail(&peer), "{level:?}");
        }
    }
}

#[tokio::test]
async fn a_failed_handshake_goes_on_clear_on_a_fresh_connection_only_where_it_may() {
    let authority = Authority::new("Test Authority");
    let broken = [
        vec![Reply("220 2.0.0 go ahead"), Act::Read, Raw("no TLS here\r\n")],
        vec![Reply("220 2.0.0 go ahead"), Close],
    ];
    for acts in broken {
        for level in [TlsLevel::Opportunistic, TlsLevel::Encrypt, TlsLevel::Verify] {
            let script = Script::default().on("STARTTLS", &acts);
            let peer = Peer::start_tls(authority.acceptor("127.0.0.1"), [script]).await;
            let mut relay = relay(&peer, level, Some(&authority));
            let outcome = relay.deliver(&["a@x.example"]).await;
            if level == TlsLevel::Opportunistic {
                assert_eq!(fates(outcome), DELIVERED, "{acts:?}");
                assert_eq!(peer.seen().len(), 2);
                assert!(!peer.seen()[0].lines.iter().any(|line| line.starts_with("MAIL")));
            } else {
                assert_eq!(unreachable(outcome).status().unwrap().to_string(), "4.7.5");
                assert!(!has_mail(&peer), "{level:?} {acts:?}");
            }
        }
    }
}

#[tokio::test]
async fn clear_text_behind_the_220_ends_the_connection() {
    let authority = Authority::new("Test Authority");
    for level in [TlsLevel::Opportunistic, TlsLevel::Encrypt] {
        let injected = [Raw("220 2.0.0 go ahead\r\n250 2.1.0 injected\r\n"), Act::Handshake];
        let script = Script::default().on("STARTTLS", &injected);
        let peer = Peer::start_tls(authority.acceptor("127.0.0.1"), [script]).await;
        let mut relay = relay(&peer, level, None);
        let reply = unreachable(relay.deliver(&["a@x.example"]).await);
        assert!(reply.text().contains("clear text behind its reply"), "{reply}");
        assert!(!has_mail(&peer), "{level:?}");
    }
}

/// Each question for TLS would cost a connection: for a while the host is not asked any more.
#[tokio::test]
async fn a_host_whose_tls_is_broken_is_remembered() {
    let authority = Authority::new("Test Authority");
    let broken = || Script::default().on("STARTTLS", &[Reply("220 2.0.0 go ahead"), Close]);
    let peer = Peer::start_tls(authority.acceptor("127.0.0.1"), [broken()]).await;
    let mut setup = Setup::to(&[peer.address()]).tls(TlsLevel::Opportunistic);
    setup.connector.limits.messages_per_connection_max = 1;
    let mut relay = Relay::start(setup);
    for _ in 0..3 {
        assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
    }
    let asked = |seen: &Seen| seen.lines.iter().any(|line| line == "STARTTLS");
    let seen = peer.seen();
    assert_eq!(seen.iter().map(asked).collect::<Vec<_>>(), [true, false, false, false]);
    assert!(relay.shows("chasqui_tls_policy_total{policy=\"opportunistic\",result=\"failed\"} 1"));
    assert!(relay.shows("chasqui_tls_policy_total{policy=\"opportunistic\",result=\"clear\"} 3"));
}

/// Who cannot be talked to in clear text either is asked for TLS again.
#[tokio::test]
async fn a_host_that_is_down_is_not_taken_for_one_without_tls() {
    let authority = Authority::new("Test Authority");
    let dying = Script::default().on("STARTTLS", &[Reply("220 2.0.0 go ahead"), Close]);
    let dead = Script::default().on(testkit::peer::CONNECT, &[Close]);
    let scripts = [dying, dead, Script::default()];
    let peer = Peer::start_tls(authority.acceptor("127.0.0.1"), scripts).await;
    let mut relay = relay(&peer, TlsLevel::Opportunistic, None);
    unreachable(relay.deliver(&["a@x.example"]).await);
    let outcomes = answered(relay.deliver(&["a@x.example"]).await);
    assert!(outcomes[0].peer.as_ref().unwrap().tls.is_some(), "{outcomes:?}");
}
