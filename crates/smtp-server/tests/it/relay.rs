//! A relay without queue and delivery.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use channel::Receiver;
use mail::Accepted;
use policy::config::{InboundConnector, OutboundConnector};
use policy::{Admission, Live, Policy, Router};
use resolver::Resolver;
use sasl::Authenticator;
use smtp_server::{Certificates, Listener, Parts, Server};
use spool::{Faults, Spool};
use telemetry::Registry;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use units::{ByteSize, Clock};

use crate::client::Client;

/// What a test may turn besides the listener.
pub(crate) struct Setup {
    pub(crate) spool: spool::Config,
    pub(crate) queue_capacity: usize,
    pub(crate) networks: Vec<&'static str>,
    pub(crate) recipient_domains: Vec<&'static str>,
    pub(crate) drain_wait_max: Duration,
    /// Accounts that the connector lets in.
    pub(crate) logins: Vec<&'static str>,
    pub(crate) accounts: sasl::config::Config,
}

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pub(crate) spool: Spool,
    pub(crate) faults: Faults,
    pub(crate) accepted: Receiver<Accepted>,
    pub(crate) certificates: Certificates,
    pub(crate) registry: Arc<Registry>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
    _folder: TempDir,
}

/// A listener on a port of the system's choice.
pub(crate) fn listener() -> Listener {
    Listener { address: "127.0.0.1:0".parse().unwrap(), ..Listener::default() }
}

impl Setup {
    fn policy(&self) -> Live {
        let inbound = InboundConnector {
            name: "applications".to_owned(),
            logins: self.logins.iter().map(ToString::to_string).collect(),
            sender_ip_addresses: self.networks.iter().map(|it| it.parse().unwrap()).collect(),
            ..InboundConnector::default()
        };
        let outbound = OutboundConnector {
            name: "internet".to_owned(),
            recipient_domains: self.recipient_domains.iter().map(ToString::to_string).collect(),
            ..OutboundConnector::default()
        };
        let hostname = mail::Domain::parse("relay.test").unwrap();
        let router = Router::new(vec![outbound]).unwrap().with_hostname(hostname);
        Live::new(Policy::new(Admission::new(vec![inbound]), router))
    }
}

impl Relay {
    pub(crate) fn start(listener: Listener) -> Self {
        Self::start_with(listener, |_| {})
    }

    pub(crate) fn start_with(listener: Listener, turn: impl FnOnce(&mut Setup)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut setup = Setup {
            spool: spool::Config {
                path: folder.path().join("spool"),
                free_octets_min: ByteSize::octets(0),
                segment_octets: ByteSize::mib(4),
                ..spool::Config::default()
            },
            queue_capacity: 64,
            networks: vec!["127.0.0.1/32", "::1/128"],
            recipient_domains: vec!["*"],
            drain_wait_max: Duration::from_secs(20),
            logins: Vec::new(),
            accounts: sasl::config::Config::default(),
        };
        turn(&mut setup);
        let (clock, registry) = (Clock::system(), Arc::new(Registry::new()));
        let faults = Faults::default();
        let spool =
            Spool::open_with(&setup.spool, clock.clone(), 1, (&registry, faults.clone())).unwrap();
        let (sender, accepted) = channel::bounded(setup.queue_capacity);
        let config = resolver::Config {
            servers: vec!["127.0.0.1:9".parse().unwrap()],
            ..Default::default()
        };
        let resolver = Resolver::open(&config, 1, &registry).unwrap();
        let server = Server::bind(Parts {
            listeners: vec![listener],
            policy: setup.policy(),
            resolver,
            filters: Arc::default(),
            return_paths: auth::ReturnPaths::default(),
            authenticator: None,
            spool: spool.clone(),
            accepted: sender,
            logins: Authenticator::open(&setup.accounts, clock.clone(), &registry).unwrap(),
            clock,
            hostname: "relay.test".into(),
            registry: &registry,
        })
        .unwrap();
        let (_, address) = server.addresses()[0].clone();
        let certificates = server.certificates();
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(server.run(stopped, setup.drain_wait_max));
        Self {
            address,
            spool,
            faults,
            accepted,
            certificates,
            registry,
            stop,
            running,
            _folder: folder,
        }
    }

    /// A client that may relay and has said EHLO.
    pub(crate) async fn client(&self) -> Client {
        let mut client = Client::connect(self.address).await;
        assert_eq!(client.reply().await.code(), 220);
        assert_eq!(client.say("EHLO client.test").await.code(), 250);
        client
    }

    /// The value of the series whose name and labels are `series`, without the prefix; 0 if there is none.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let series = format!("chasqui_{series} ");
        let text = self.registry.render();
        text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0.0)
    }

    /// Waits until `is_so`.
    pub(crate) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let look = async {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), look).await.expect("it never became so");
    }

    /// The stored content of a message.
    pub(crate) async fn content(&self, accepted: &Accepted) -> Vec<u8> {
        let stored = self.spool.load(accepted.id).await.unwrap();
        let (mut content, mut all) = (stored.content(), Vec::new());
        while let Some(chunk) = content.next().await.unwrap() {
            all.extend_from_slice(&chunk);
        }
        all
    }

    pub(crate) fn order_stop(&self) {
        self.stop.send(true).unwrap();
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(self) {
        self.order_stop();
        tokio::time::timeout(Duration::from_secs(20), self.running).await.unwrap().unwrap();
        self.spool.close().await;
    }
}
