//! What the tests share.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use auth::config::{Key, KeyState, Signing};
use auth::finding::Evaluation;
use auth::{Authenticator, Client, Config, Content, Dns, Kind, Made, Signer};
use bytes::Bytes;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail::Timestamp;
use telemetry::Registry;
use testkit::dns::{Answer, DnsServer, Kind as Asked, Record};
use units::Clock;

/// A resolver that asks `server` once.
pub(crate) fn resolver(server: SocketAddr) -> TokioResolver {
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().timeout = std::time::Duration::from_millis(300);
    builder.options_mut().attempts = 0;
    builder.build().unwrap()
}

pub(crate) fn dns(server: &DnsServer) -> Dns {
    Dns::new(resolver(server.address()))
}

pub(crate) fn authenticator(server: &DnsServer, config: Config) -> Authenticator {
    let resolver = resolver(server.address());
    Authenticator::new(resolver, config, "relay.example.net", Clock::system(), &Registry::new())
}

/// The client of most tests.
pub(crate) fn client(sender: &str) -> Client<'_> {
    Client { address: IpAddr::from([192, 0, 2, 1]), helo: "mail.example.com", sender }
}

/// Evaluates a message with CRLF or LF, its body in one piece.
pub(crate) async fn evaluate(server: &DnsServer, sender: &str, message: &str) -> Evaluation {
    evaluate_with(server, Config::default(), sender, &crlf(message)).await
}

pub(crate) async fn evaluate_with(
    server: &DnsServer,
    config: Config,
    sender: &str,
    message: &[u8],
) -> Evaluation {
    let (header, body) = split(message);
    let body = [Bytes::copy_from_slice(body)];
    let content = Content { header, body: &body, octets_unseen: 0 };
    authenticator(server, config).evaluate(&client(sender), None, content).await
}

pub(crate) fn crlf(text: &str) -> Vec<u8> {
    text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}

/// The header with its empty line, and the body.
pub(crate) fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    message.split_at(end.map_or(message.len(), |end| end + 4))
}

/// A key for `domain`, in a file.
pub(crate) fn key(folder: &Path, kind: Kind, domain: &str, selector: &str) -> (Key, Made) {
    let made = auth::make(kind, domain, selector).unwrap();
    let file = folder.join(format!("{selector}.{domain}.pem"));
    std::fs::write(&file, made.pem.as_bytes()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let key = Key {
        domain: domain.to_owned(),
        selector: selector.to_owned(),
        key_file: file,
        state: KeyState::Active,
        check_dns: false,
    };
    (key, made)
}

pub(crate) fn signer(keys: &[Key]) -> Signer {
    signer_with(&Signing::default(), keys)
}

pub(crate) fn signer_with(config: &Signing, keys: &[Key]) -> Signer {
    Signer::open(config, keys, Clock::system(), &Registry::new()).unwrap()
}

pub(crate) fn publish(server: &DnsServer, made: &Made) {
    let text = Record::Txt(made.record.value.clone());
    server.set(&made.record.name, Asked::Txt, Answer::Records(vec![text]));
}

/// The message with its signatures on top.
pub(crate) fn signed(signer: &Signer, message: &[u8]) -> Vec<u8> {
    let (header, body) = split(message);
    let now = Timestamp::from_millis(Clock::system().unix_millis());
    let fields = signer.sign(signer.keys(), header, [body], now).unwrap();
    [fields.concat(), message.to_vec()].concat()
}
