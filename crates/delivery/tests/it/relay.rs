//! A spool, the delivery service, and what stands in for the queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use channel::{Receiver, Sender};
use delivery::{Applications, Config, Handshakes, Logins, Parts};
use mail::{
    Address, Attempt, AttemptEnd, BodyType, Destination, Domain, Envelope, Fate, MessageId, Origin,
    Outcome, Recipient, RecipientOutcome, Reply, ReversePath, Timestamp,
};
use policy::config::{OutboundConnector, SmartHost, Timeouts, TlsLevel};
use policy::{Admission, Live, Policy, Router};
use resolver::Resolver;
use spool::Spool;
use telemetry::Registry;
use testkit::dns::DnsServer;
use testkit::peer::Peer;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use units::{Clock, Span};

pub(crate) const CONTENT: &[u8] = b"Subject: hello\r\n\r\nText.\r\n.A line with a dot.\r\n";
const WAIT: Duration = Duration::from_secs(20);

/// What a test may choose.
pub(crate) struct Setup {
    pub(crate) connector: OutboundConnector,
    pub(crate) config: Config,
    pub(crate) dns: Option<DnsServer>,
    pub(crate) connectors: tls::client::Config,
    pub(crate) answer_wait_max: Span,
}

impl Setup {
    /// Smart hosts at these addresses, by order.
    pub(crate) fn to(addresses: &[SocketAddr]) -> Self {
        let host = |(order, address): (u16, &SocketAddr)| SmartHost {
            host: address.ip().to_string(),
            port: address.port(),
            order,
            weight: 1,
        };
        let hosts = (1..).zip(addresses).map(host).collect();
        Self::with(OutboundConnector { smart_hosts: hosts, ..connector() })
    }

    /// The exchangers that `dns` names, at `port`.
    pub(crate) fn by_mx(dns: DnsServer, port: u16) -> Self {
        let setup = Self::with(OutboundConnector { port, ..connector() });
        Self { dns: Some(dns), ..setup }
    }

    fn with(connector: OutboundConnector) -> Self {
        let connectors = tls::client::Config { roots: None, trusts_system: false };
        Self {
            connector,
            config: Config::default(),
            dns: None,
            connectors,
            answer_wait_max: Span::millis(300),
        }
    }

    pub(crate) fn tls(mut self, level: TlsLevel) -> Self {
        self.connector.tls = level;
        self
    }
}

/// Times out fast.
fn connector() -> OutboundConnector {
    OutboundConnector {
        name: "out".to_owned(),
        timeouts: Timeouts {
            connect: Span::seconds(5),
            greeting: Span::millis(300),
            ehlo: Span::millis(300),
            mail: Span::millis(300),
            rcpt: Span::millis(300),
            data: Span::millis(300),
            block: Span::millis(300),
            dot: Span::millis(300),
        },
        ..OutboundConnector::default()
    }
}

pub(crate) struct Relay {
    spool: Spool,
    pub(crate) registry: Arc<Registry>,
    pub(crate) handshakes: Handshakes,
    policy: Live,
    attempts: Sender<Attempt>,
    ends: Receiver<AttemptEnd>,
    stop: watch::Sender<bool>,
    service: JoinHandle<()>,
    _folder: tempfile::TempDir,
    pub(crate) dns: Option<DnsServer>,
}

impl Relay {
    pub(crate) fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Arc::new(Registry::new());
        let clock = Clock::system();
        let spool_config = spool::Config {
            path: folder.path().join("spool"),
            free_octets_min: units::ByteSize::octets(0),
            ..spool::Config::default()
        };
        let spool = Spool::open(&spool_config, clock.clone(), 7, &registry).unwrap();
        let resolver_config = resolver::Config {
            // Without a server of the test's own nothing is asked.
            servers: vec![
                setup.dns.as_ref().map_or(([127, 0, 0, 1], 1).into(), DnsServer::address),
            ],
            answer_wait_max: setup.answer_wait_max,
            tries_max: 1,
            ..resolver::Config::default()
        };
        let resolver = Resolver::open(&resolver_config, 7, &registry).unwrap();
        let router = Router::new(vec![setup.connector]).unwrap();
        let (attempts, attempts_out) = channel::bounded(64);
        let (ends_in, ends) = channel::bounded(64);
        let (stop, stopping) = watch::channel(false);
        let handshakes = Handshakes::open(&setup.connectors, router.connectors()).unwrap();
        let logins = Logins::open(router.connectors(), &Clock::system()).unwrap();
        let policy = Live::new(Policy::new(Admission::new(Vec::new()), router));
        let parts = Parts {
            config: setup.config,
            hostname: "relay.example".into(),
            clock,
            seed: 7,
            registry: Arc::clone(&registry),
            spool: spool.clone(),
            policy: policy.clone(),
            resolver,
            handshakes: handshakes.clone(),
            logins,
            applications: Applications::default(),
            return_paths: auth::ReturnPaths::default(),
            filters: Arc::default(),
            signing: None,
            attempts: attempts_out,
            ends: ends_in,
        };
        let service = tokio::spawn(delivery::run(parts, stopping));
        Self {
            spool,
            registry,
            handshakes,
            policy,
            attempts,
            ends,
            stop,
            service,
            _folder: folder,
            dns: setup.dns,
        }
    }

    /// A relay with one smart host.
    pub(crate) fn to(peer: &Peer) -> Self {
        Self::start(Setup::to(&[peer.address()]))
    }

    /// Stores a message.
    pub(crate) async fn store(&self, recipients: &[&str], content: &[u8]) -> MessageId {
        self.store_as(envelope(recipients), content).await
    }

    pub(crate) async fn store_as(&self, envelope: Envelope, content: &[u8]) -> MessageId {
        let mut writer = self.spool.writer(self.spool.reserve(None).unwrap());
        for chunk in content.chunks(100_000) {
            writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        writer.commit(envelope, Timestamp::from_millis(1)).await.unwrap().id
    }

    /// Hands out an attempt for where the first recipient goes.
    pub(crate) async fn hand_out(&self, id: MessageId, recipient: &str) {
        let destination =
            self.policy.load().router.route(&Address::parse(recipient).unwrap()).unwrap();
        self.hand_out_to(id, destination).await;
    }

    async fn hand_out_to(&self, id: MessageId, destination: Destination) {
        let (received_at, ways) = (Timestamp::from_millis(1), self.policy.load().ways());
        let attempt = Attempt { id, destination, tries: 0, received_at, ways };
        self.attempts.send(attempt).await.unwrap();
    }

    /// The next end, with what was reported of the attempt before it.
    pub(crate) async fn end(&mut self) -> AttemptEnd {
        let mut taken = Vec::new();
        loop {
            let mut end = self.report().await;
            assert_eq!(end.is_further, !taken.is_empty());
            match end.outcome {
                Outcome::Taken { outcomes: more, .. } => taken.extend(more),
                Outcome::Answered(rest) => {
                    end.outcome = Outcome::Answered([taken, rest].concat());
                    return end;
                }
                _ => return end,
            }
        }
    }

    /// What is reported next of an attempt: a part of it, or its end.
    pub(crate) async fn report(&mut self) -> AttemptEnd {
        tokio::time::timeout(WAIT, self.ends.recv()).await.expect("an attempt has an end").unwrap()
    }

    /// Stores a message and waits for the end of its attempt.
    pub(crate) async fn deliver(&mut self, recipients: &[&str]) -> Outcome {
        let id = self.store(recipients, CONTENT).await;
        self.hand_out(id, recipients[0]).await;
        self.end().await.outcome
    }

    /// Nothing can be read from the spool any more.
    pub(crate) async fn close_spool(&self) {
        self.spool.clone().close().await;
    }

    /// Says stop.
    pub(crate) fn stop(&self) {
        self.stop.send(true).unwrap();
    }

    /// Waits until the service is over.
    pub(crate) async fn over(&mut self) {
        tokio::time::timeout(WAIT, &mut self.service).await.expect("the service ends").unwrap();
    }

    /// Whether the metrics hold `line`.
    pub(crate) fn shows(&self, line: &str) -> bool {
        self.registry.render().lines().any(|one| one == line)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.service.abort();
    }
}

pub(crate) fn envelope(recipients: &[&str]) -> Envelope {
    let recipient = |text: &&str| Recipient::from(Address::parse(text).unwrap());
    Envelope {
        sender: ReversePath::Address(Address::parse("sender@example.com").unwrap()),
        recipients: recipients.iter().map(recipient).collect(),
        body_type: BodyType::SevenBit,
        needs_smtputf8: false,
        wishes: mail::Wishes::default(),
        origin: Origin {
            client: None,
            helo: "client.example".into(),
            listener: "test".into(),
            connector: "test".into(),
            tls: None,
            login: None,
        },
        directions: None,
    }
}

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// The outcomes by recipient; panics on anything else.
pub(crate) fn answered(outcome: Outcome) -> Vec<RecipientOutcome> {
    let Outcome::Answered(mut outcomes) = outcome else { panic!("{outcome:?}") };
    outcomes.sort_by_key(|outcome| outcome.recipient);
    outcomes
}

/// Fate and code of each recipient.
pub(crate) fn fates(outcome: Outcome) -> Vec<(Fate, u16)> {
    answered(outcome).into_iter().map(|one| (one.fate, one.reply.code())).collect()
}

/// The reply of an unreachable destination; panics on anything else.
pub(crate) fn unreachable(outcome: Outcome) -> Reply {
    let Outcome::Unreachable { reply, .. } = outcome else { panic!("{outcome:?}") };
    reply
}
