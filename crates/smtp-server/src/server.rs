//! All listeners together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use auth::ReturnPaths;
use channel::Sender;
use filters::Filters;
use mail::Accepted;
use policy::Live;
use resolver::Resolver;
use sasl::Authenticator;
use spool::Spool;
use telemetry::Registry;
use tls::CertificateError;
use tls::server::Acceptor;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use units::Clock;

use crate::config::{ConfigError, Listener, ListenerTls};
use crate::greylist_file;
use crate::listener::{Listening, open};
use crate::logins::Logins;
use crate::metrics::Metrics;
use crate::quotas::{Intakes, Quotas};
use crate::rates::Meters;
use crate::reception::{Reception, session_settings};
use crate::shedding::{Limits, Shedding};

/// What reception is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Where it listens, with the limits.
    pub listeners: Vec<Listener>,
    /// Who may relay, and where mail can go; a recipient that no connector takes is refused at RCPT.
    pub policy: Live,
    /// Asks lists of unwanted addresses.
    pub resolver: Resolver,
    /// Where messages rest.
    pub spool: Spool,
    /// Takes each message that is stored. Nearly full, it makes MAIL fail with 452 4.3.1.
    pub accepted: Sender<Accepted>,
    /// Who else is asked about clients and mail.
    pub filters: Arc<Filters>,
    /// What knows whom bounces of what left under return paths of ours are for.
    pub return_paths: ReturnPaths,
    /// Finds out who may have sent a message. Without it what depends on that is refused for now.
    pub authenticator: Option<auth::Authenticator>,
    /// Who may log in, on listeners with `auth`.
    pub logins: Arc<Authenticator>,
    /// The time.
    pub clock: Clock,
    /// The relay's name in greetings and trace fields.
    pub hostname: Box<str>,
    /// Where the metrics go.
    pub registry: &'a Registry,
}

/// Why reception cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error("listener \"{listener}\": cannot listen on {address}")]
    Listen {
        /// The listener.
        listener: String,
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("listener \"{listener}\": the certificate cannot be used")]
    Certificate {
        /// The listener.
        listener: String,
        /// Why.
        #[source]
        source: Box<CertificateError>,
    },
    /// The greylist could not be set up.
    #[error("listener \"{listener}\": no greylist")]
    Greylist {
        /// The listener.
        listener: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No spare file descriptor could be had.
    #[error("no file descriptor left for the listeners")]
    Descriptor(#[source] io::Error),
}

/// The listeners, bound and not yet accepting.
#[derive(Debug)]
pub struct Server {
    listening: Vec<Listening>,
    certificates: Certificates,
    limits: Limits,
    intakes: Intakes,
}

/// The certificates of the listeners, for a reload while they run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificates {
    acceptors: Arc<[(String, Acceptor)]>,
}

impl Certificates {
    /// Reads all certificates again; handshakes from now on show them. Blocks on files.
    ///
    /// # Errors
    /// The listeners whose files could not be used: they keep their old certificates, the others have new ones.
    pub fn reload(&self) -> Result<(), Vec<(String, CertificateError)>> {
        let reload = |(listener, acceptor): &(String, Acceptor)| {
            acceptor.reload().err().map(|error| (listener.clone(), error))
        };
        let failures: Vec<_> = self.acceptors.iter().filter_map(reload).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }
}

impl Server {
    /// Binds all listeners, or none. Connections wait in the system's backlog until [`Self::run`].
    ///
    /// Reads certificates and what was counted before, so it blocks on files; needs to be called within a tokio runtime.
    pub fn bind(parts: Parts<'_>) -> Result<Self, BindError> {
        let Parts { listeners, policy, resolver, spool, authenticator, .. } = parts;
        let Parts { accepted, logins, clock, hostname, registry, filters, return_paths, .. } =
            parts;
        let sessions = Arc::new(AtomicU64::new(clock.unix_millis() << 16));
        let shown = Arc::new(filters::shown_room());
        let quotas = Quotas::new(&spool.tallies(), policy.clone(), clock.clone());
        let mut listening = Vec::new();
        let mut acceptors = Vec::new();
        let mut sheddings = Vec::new();
        for config in listeners {
            if let Some(problem) = config.problems().into_iter().next() {
                return Err(problem.into());
            }
            let acceptor = acceptor(&config)?;
            acceptors.extend(acceptor.clone().map(|acceptor| (config.name.clone(), acceptor)));
            let socket = open(&config).map_err(|source| BindError::Listen {
                listener: config.name.clone(),
                address: config.address,
                source,
            })?;
            let [settings, settings_for_relaying] = session_settings(&config, &hostname);
            let (now, defence) = (clock.now(), &config.defence);
            let tarpits = (!defence.tarpit.as_duration().is_zero())
                .then(|| Arc::new(Semaphore::new(defence.tarpits_max.min(Semaphore::MAX_PERMITS))));
            let greylist = config.greylist.as_ref().map(greylist_file::open).transpose();
            let greylist = greylist
                .map_err(|source| BindError::Greylist { listener: config.name.clone(), source })?;
            let shedding = Arc::new(Shedding::new(now));
            sheddings.push((config.name.clone(), Arc::clone(&shedding)));
            let reception = Reception {
                settings,
                settings_for_relaying,
                policy: policy.clone(),
                filters: Arc::clone(&filters),
                return_paths: return_paths.clone(),
                authenticator: authenticator.clone(),
                shown: Arc::clone(&shown),
                spool: spool.clone(),
                resolver: resolver.clone(),
                accepted_depth: accepted.depth(),
                accepted: accepted.clone(),
                clock: clock.clone(),
                metrics: Metrics::register(registry, &config.name),
                acceptor,
                meters: Meters::new(&config.rates, defence, now),
                tarpits,
                quotas: Arc::clone(&quotas),
                greylist: greylist.map(Arc::new),
                shedding,
                gate: parking_lot::Mutex::default(),
                logins: config.auth.as_ref().map(|auth| Logins::new(Arc::clone(&logins), auth)),
                handshakes: Semaphore::new(config.handshakes_max.min(Semaphore::MAX_PERMITS)),
                config,
            };
            let listener = Listening::new(Arc::new(reception), socket, Arc::clone(&sessions));
            listening.push(listener.map_err(BindError::Descriptor)?);
        }
        let certificates = Certificates { acceptors: acceptors.into() };
        let limits = Limits::new(sheddings, clock);
        Ok(Self { listening, certificates, limits, intakes: Intakes(quotas) })
    }

    /// Names and addresses, in the order of the settings; ports chosen by the system are told here.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.listening.iter().map(Listening::address).collect()
    }

    /// A handle for reloading certificates while the server runs.
    pub fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// A handle that tells which limits turn clients away.
    pub fn limits(&self) -> Limits {
        self.limits.clone()
    }

    /// A handle that tells what has come by inbound connectors with limits.
    pub fn intakes(&self) -> Intakes {
        self.intakes.clone()
    }

    /// Takes mail until `stop` turns true or its sender is gone.
    ///
    /// Then the listeners close, sessions between messages end with 421 4.3.2, and messages under way have
    /// `drain_wait_max` to come to their end. What still runs then is cut off: nothing of it was answered with 250.
    pub async fn run(self, stop: watch::Receiver<bool>, drain_wait_max: Duration) {
        let mut running = JoinSet::new();
        for listening in self.listening {
            running.spawn(listening.run(stop.clone(), drain_wait_max));
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = %error, "listener ended by a fault in the program");
            }
        }
    }
}

fn acceptor(config: &Listener) -> Result<Option<Acceptor>, BindError> {
    let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else {
        return Ok(None);
    };
    if config.tls == ListenerTls::None {
        return Ok(None);
    }
    let files = tls::server::Config { certificate: certificate.clone(), key: key.clone() };
    let options = tls::server::Options {
        further: config.certificates.clone(),
        version_min: config.tls_min,
        client_certificates: config.client_certificates,
        client_authorities: config.client_authorities.clone(),
    };
    Acceptor::open_with(&files, &options).map(Some).map_err(|source| BindError::Certificate {
        listener: config.name.clone(),
        source: Box::new(source),
    })
}
