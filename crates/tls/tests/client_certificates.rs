//! What a server asks of its clients' certificates, which certificate it shows, and which versions it speaks.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tls::server::{Acceptor, ClientCertificates, Config, Options, PeerCertificate, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let params = authority_params(name);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    /// One that this one vouches for.
    fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and a key as PEM.
    fn issue(&self, names: &[&str], turn: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "a common name");
        turn(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server with its files.
struct Server {
    folder: tempfile::TempDir,
    authority: Authority,
    options: Options,
}

impl Server {
    fn new(asked: ClientCertificates) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority("Ours");
        std::fs::write(folder.path().join("roots.pem"), &authority.pem).unwrap();
        let options = Options {
            client_certificates: asked,
            client_authorities: Some(folder.path().join("roots.pem")),
            ..Options::default()
        };
        Self { folder, authority, options }
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.folder.path(), name)
    }

    fn files(&self, name: &str) -> Config {
        let (certificate, key) = self.authority.issue(&[name], |_| {});
        let label = name.replace('*', "any");
        let (one, two) = (self.path(&format!("{label}.pem")), self.path(&format!("{label}.key")));
        std::fs::write(&one, certificate).unwrap();
        std::fs::write(&two, key).unwrap();
        Config { certificate: one, key: two }
    }

    fn acceptor(&self) -> Acceptor {
        Acceptor::open_with(&self.files("mx.example"), &self.options).unwrap()
    }

    fn client(&self, shows: Option<(String, String)>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_root_certificates(roots);
        let Some((certificates, key)) = shows else {
            return Arc::new(builder.with_no_client_auth());
        };
        let chain = CertificateDer::pem_slice_iter(certificates.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let certified = CertifiedKey::from_der(chain, key, &provider).unwrap();
        Arc::new(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
    }
}

/// What the server found, or how it refused.
type Found = Result<(Option<PeerCertificate>, HandshakeKind), String>;

/// A handshake and one octet each way; what the server says and the name that its certificate must be for.
async fn shake(acceptor: &Acceptor, client: &Arc<ClientConfig>, host: &str) -> (Found, bool) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = async {
        let mut stream = acceptor.accept(far).await.map_err(|error| error.to_string())?;
        let session = stream.get_ref().1;
        let found = (acceptor.peer_certificate(session), session.handshake_kind().unwrap());
        stream.write_all(b"x").await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        Ok(found)
    };
    let client = async {
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(client));
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let Ok(mut stream) = connector.connect(name, near).await else { return false };
        stream.read_exact(&mut [0]).await.is_ok()
    };
    tokio::join!(server, client)
}

fn peer(found: Found) -> PeerCertificate {
    found.unwrap().0.unwrap()
}

#[tokio::test]
async fn a_trusted_certificate_says_whose_it_is() {
    let server = Server::new(ClientCertificates::Ask);
    let acceptor = server.acceptor();
    let shown = server.authority.issue(&["Mail.Example.com", "*.b.example"], |_| {});
    let peer = peer(shake(&acceptor, &server.client(Some(shown)), "mx.example").await.0);
    assert_eq!(peer.fault, None);
    assert_eq!(&*peer.subject, "CN=a common name");
    assert_eq!(peer.trusted_names().concat(), "mail.example.com*.b.example");
    // Without alternative names the common name counts.
    let shown = server.authority.issue(&[], |_| {});
    let peer = self::peer(shake(&acceptor, &server.client(Some(shown)), "mx.example").await.0);
    assert_eq!(peer.trusted_names().concat(), "a common name");
    let (found, _) = shake(&acceptor, &server.client(None), "mx.example").await;
    assert_eq!(found.unwrap().0, None);
}

/// Each fault has its words; asked only, the client goes on, and nothing is proven.
#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named() {
    let (ask, require) =
        (Server::new(ClientCertificates::Ask), Server::new(ClientCertificates::Require));
    let stranger = authority("Stranger");
    let names = &["mail.example.com"];
    let year = rcgen::date_time_ymd;
    for server in [ask, require] {
        let middle = server.authority.below("Middle");
        let foreign = stranger.below("Foreign Middle");
        let with = |(leaf, key): (String, String), issuer: &Authority| (leaf + &issuer.pem, key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap();
        let own = (own.self_signed(&key).unwrap().pem(), key.serialize_pem());
        let cases = [
            (server.authority.issue(names, |it| it.not_after = year(2021, 1, 1)), "has expired"),
            (
                server.authority.issue(names, |it| it.not_before = year(2998, 1, 1)),
                "is not valid yet",
            ),
            (stranger.issue(names, |_| {}), "incomplete chain: only the certificate itself was"),
            (middle.issue(names, |_| {}), "incomplete chain: only the certificate itself was"),
            (with(foreign.issue(names, |_| {}), &foreign), "chain ends at CN=Stranger, which"),
            (own, "self-signed"),
            (authority("Ours").issue(names, |_| {}), "names CN=Ours as its issuer but"),
        ];
        let acceptor = server.acceptor();
        for (shown, words) in cases {
            let (found, goes_on) =
                shake(&acceptor, &server.client(Some(shown)), "mx.example").await;
            let said = if acceptor_requires(&server) {
                assert!(!goes_on);
                found.unwrap_err()
            } else {
                assert!(goes_on);
                let peer = peer(found);
                assert!(peer.trusted_names().is_empty());
                peer.fault.unwrap().into()
            };
            assert!(said.contains(words), "{words}: {said}");
        }
        let shown = with(middle.issue(names, |_| {}), &middle);
        let peer = peer(shake(&acceptor, &server.client(Some(shown)), "mx.example").await.0);
        assert_eq!(peer.trusted_names().concat(), "mail.example.com");
    }
}

fn acceptor_requires(server: &Server) -> bool {
    server.options.client_certificates == ClientCertificates::Require
}

#[tokio::test]
async fn who_shows_nothing_is_refused_only_if_it_is_required() {
    for (asked, is_taken) in [
        (ClientCertificates::No, true),
        (ClientCertificates::Ask, true),
        (ClientCertificates::Require, false),
    ] {
        let server = Server::new(asked);
        let (found, _) = shake(&server.acceptor(), &server.client(None), "mx.example").await;
        assert_eq!(found.is_ok(), is_taken);
        if let Err(words) = found {
            assert_eq!(words, "the client shows no certificate");
        }
    }
}

/// Most public authorities issue certificates for servers only; mail hosts show those.
#[tokio::test]
async fn a_certificate_for_servers_serves_a_client_too() {
    let server = Server::new(ClientCertificates::Require);
    let acceptor = server.acceptor();
    for (purpose, is_taken) in [
        (ExtendedKeyUsagePurpose::ClientAuth, true),
        (ExtendedKeyUsagePurpose::ServerAuth, true),
        (ExtendedKeyUsagePurpose::CodeSigning, false),
    ] {
        let shown = server
            .authority
            .issue(&["mail.example.com"], |it| it.extended_key_usages.push(purpose.clone()));
        let (found, _) = shake(&acceptor, &server.client(Some(shown)), "mx.example").await;
        assert_eq!(found.is_ok(), is_taken, "{purpose:?}");
    }
}

/// A resumed session still knows its client.
#[tokio::test]
async fn a_resumed_session_knows_its_client() {
    let server = Server::new(ClientCertificates::Require);
    let acceptor = server.acceptor();
    let client = server.client(Some(server.authority.issue(&["mail.example.com"], |_| {})));
    for want in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (peer, kind) = shake(&acceptor, &client, "mx.example").await.0.unwrap();
        assert_eq!(kind, want);
        assert_eq!(peer.unwrap().trusted_names().concat(), "mail.example.com");
    }
    // Its authority is trusted no more: the ticket does not help.
    std::fs::write(server.path("roots.pem"), authority("Another").pem).unwrap();
    acceptor.reload().unwrap();
    let words = shake(&acceptor, &client, "mx.example").await.0.unwrap_err();
    assert!(words.contains("incomplete chain"), "{words}");
}

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let mut server = Server::new(ClientCertificates::No);
    server.options.further = vec![server.files("second.example"), server.files("*.third.example")];
    let acceptor = server.acceptor();
    for (host, is_served) in [
        ("mx.example", true),
        ("second.example", true),
        ("SECOND.example", true),
        ("a.third.example", true),
        ("a.b.third.example", false),
        ("third.example", false),
        ("other.example", false),
    ] {
        let (_, is_for_host) = shake(&acceptor, &server.client(None), host).await;
        assert_eq!(is_for_host, is_served, "{host}");
    }
    // A broken file leaves all old ones in use.
    let second = server.options.further[0].certificate.clone();
    let good = std::fs::read(&second).unwrap();
    std::fs::write(&second, "no PEM").unwrap();
    acceptor.reload().unwrap_err();
    assert!(shake(&acceptor, &server.client(None), "second.example").await.1);
    std::fs::write(&second, good).unwrap();
    acceptor.reload().unwrap();
    assert!(shake(&acceptor, &server.client(None), "second.example").await.1);
}

#[tokio::test]
async fn an_older_version_than_the_least_is_refused_in_words() {
    let mut server = Server::new(ClientCertificates::No);
    server.options.version_min = Version::Tls13;
    let acceptor = server.acceptor();
    let mut client = server.client(None);
    assert!(shake(&acceptor, &client, "mx.example").await.1);
    let old = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS12])
    .unwrap()
    .with_root_certificates(RootCertStore::empty())
    .with_no_client_auth();
    client = Arc::new(old);
    let words = shake(&acceptor, &client, "mx.example").await.0.unwrap_err();
    assert!(words.contains("no TLS version") && words.contains("only 1.3 is spoken"), "{words}");
}
