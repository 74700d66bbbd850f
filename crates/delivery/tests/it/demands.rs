//! What a connector asks of TLS besides its level.

use delivery::Handshakes;
use mail::{Fate, Outcome};
use policy::config::{ClientCertificate, OutboundConnector, TlsLevel, TlsVersion};
use testkit::authority::Authority;
use testkit::peer::{Peer, Script};

use crate::relay::{Relay, Setup, fates, unreachable};

const DELIVERED: [(Fate, u16); 1] = [(Fate::Delivered, 250)];

async fn deliver(peer: &Peer, change: impl FnOnce(&mut OutboundConnector)) -> Outcome {
    let mut setup = Setup::to(&[peer.address()]).tls(TlsLevel::Verify);
    change(&mut setup.connector);
    Relay::start(setup).deliver(&["a@x.example"]).await
}

#[tokio::test]
async fn a_connector_has_its_own_authority_and_name() {
    let authority = Authority::new("Partner Authority");
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let acceptor = authority.acceptor("mx.partner.example");
    let peer = Peer::start_tls(acceptor, [Script::default()]).await;

    let outcome = deliver(&peer, |connector| {
        connector.ca_file = Some(ca_file.clone());
        connector.tls_domain = Some("*.partner.example".to_owned());
        connector.tls_version_min = TlsVersion::Tls13;
    });
    assert_eq!(fates(outcome.await), DELIVERED);

    let outcome = deliver(&peer, |connector| connector.ca_file = Some(ca_file.clone())).await;
    let reply = unreachable(outcome);
    let want = "TLS: the certificate is not for 127.0.0.1 (it is for mx.partner.example, issued by CN=Partner Authority, good from";
    assert!(reply.text().contains(want), "{reply}");

    let name = |connector: &mut OutboundConnector| {
        connector.tls_domain = Some("*.partner.example".to_owned());
    };
    let reply = unreachable(deliver(&peer, name).await);
    assert!(reply.text().contains("no authority that is trusted here"), "{reply}");
}

#[test]
fn what_cannot_be_asked_for_is_named() {
    type Change = fn(&mut OutboundConnector);
    let pair = |certificate: &str, key: &str| ClientCertificate {
        certificate: Some(certificate.into()),
        key: Some(key.into()),
        ..ClientCertificate::default()
    };
    let cases: [(Change, &str, &str); 5] = [
        (|it| it.ca_file = Some("/x".into()), "ca_file", "only with tls = \"verify\""),
        (|it| it.tls_domain = Some("a.example".to_owned()), "tls_domain", "only with tls"),
        (
            |it| {
                (it.tls, it.tls_domain) = (TlsLevel::Verify, Some("*.*.example".to_owned()));
            },
            "tls_domain",
            "neither a host name",
        ),
        (
            |it| (it.tls, it.ca_file) = (TlsLevel::Verify, Some("/nowhere/ca.pem".into())),
            "ca_file",
            "cannot read /nowhere/ca.pem",
        ),
        (
            |it| it.client_certificate = Some(ClientCertificate::default()),
            "client_certificate",
            "wants either",
        ),
    ];
    for (change, key, words) in cases {
        let mut connector = OutboundConnector { name: "out".to_owned(), ..Default::default() };
        change(&mut connector);
        let error = Handshakes::look(&connector).unwrap_err();
        assert_eq!(error.key, key);
        assert!(error.source.to_string().contains(words), "{}", error.source);
    }
    let (one, two) = (Authority::new("One").issue("relay.example"), Authority::new("Two"));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), &one.certificate).unwrap();
    std::fs::write(path("key.pem"), &one.key).unwrap();
    std::fs::write(path("other.pem"), two.issue("relay.example").key).unwrap();
    let look = |key: &str| {
        Handshakes::look(&OutboundConnector {
            client_certificate: Some(pair(&path("cert.pem"), &path(key))),
            ..OutboundConnector::default()
        })
    };
    assert_eq!(look("key.pem").unwrap().unwrap().names, ["relay.example"]);
    let error = look("other.pem").unwrap_err();
    assert!(error.source.to_string().contains("does not fit the certificate"), "{}", error.source);
}

#[tokio::test]
async fn files_are_read_again_and_stay_as_they_were_if_they_are_bad() {
    let authority = Authority::new("New Authority");
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, Authority::new("Old Authority").pem()).unwrap();
    let peer = Peer::start_tls(authority.acceptor("127.0.0.1"), [Script::default()]).await;
    let mut setup = Setup::to(&[peer.address()]).tls(TlsLevel::Verify);
    setup.config.host_rest = units::Span::millis(0);
    setup.connector.ca_file = Some(ca_file.clone());
    let mut relay = Relay::start(setup);
    unreachable(relay.deliver(&["a@x.example"]).await);
    std::fs::write(&ca_file, authority.pem()).unwrap();
    relay.handshakes.reload().unwrap();
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
    std::fs::write(&ca_file, "nothing").unwrap();
    assert!(relay.handshakes.reload().is_err());
    assert_eq!(fates(relay.deliver(&["a@x.example"]).await), DELIVERED);
}
