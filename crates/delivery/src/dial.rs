//! Gets a fresh connection to one of a destination's hosts.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mail::{Destination, EnhancedStatus, Peer, Reply};
use policy::config::{OutboundConnector, TlsLevel};
use smtp_session::client::Extensions;
use tls::client::Verification;
use tokio::net::TcpStream;

use crate::connection::Connection;
use crate::hello::{Hello, NoReply};
use crate::hosts::{Host, NoHost, hosts, no_host};
use crate::metrics::{ConnectorMetrics, Open, Stage, TlsResult};
use crate::shared::Shared;
use crate::socket::Socket;
use crate::words::{BAD_CONNECTION, LOOK_UP, NO_ANSWER, NO_ROUTE, NO_TLS, STOPPING, later, span};

/// The hosts of a destination that one attempt has not tried yet, best first.
pub(crate) struct Dial<'a> {
    shared: &'a Shared,
    destination: &'a Destination,
    connector: &'a OutboundConnector,
    metrics: &'a Arc<ConnectorMetrics>,
    /// None until looked up.
    hosts: Option<VecDeque<Host>>,
    addresses: VecDeque<(Box<str>, SocketAddr)>,
    /// Addresses that failed a short while ago.
    resting: VecDeque<(Box<str>, SocketAddr)>,
    tries_left: u16,
    last: Option<Failure>,
    /// Every host looked up so far has no address.
    are_all_without_address: bool,
}

/// Why a host could not be used.
#[derive(Debug)]
struct Failure {
    reply: Reply,
    peer: Option<Arc<Peer>>,
    is_permanent: bool,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// No host of the destination could be talked to.
    Unreachable(Reply, Option<Arc<Peer>>),
    /// None ever will: the recipients fail.
    Never(Reply),
    /// The relay stops.
    Stopping,
}

/// Why one address could not be used.
struct Refused {
    stage: Stage,
    status: EnhancedStatus,
    words: String,
    /// Clear text on a fresh connection may do (RFC 7435).
    may_try_clear: bool,
}

impl Refused {
    fn new(stage: Stage, status: EnhancedStatus, words: impl Into<String>) -> Self {
        Self { stage, status, words: words.into(), may_try_clear: false }
    }

    fn silent(stage: Stage, error: &NoReply) -> Self {
        Self::new(stage, BAD_CONNECTION, error.to_string())
    }

    /// A no in the peer's words; for us it is temporary, whatever its class.
    fn said(stage: Stage, reply: &Reply) -> Self {
        let status = reply.status().filter(|status| status.is_transient()).unwrap_or(NO_ANSWER);
        Self::new(stage, status, format!("refused the connection: {reply}"))
    }
}

impl<'a> Dial<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        destination: &'a Destination,
        connector: &'a OutboundConnector,
        metrics: &'a Arc<ConnectorMetrics>,
    ) -> Self {
        Self {
            shared,
            destination,
            connector,
            metrics,
            hosts: None,
            addresses: VecDeque::new(),
            resting: VecDeque::new(),
            tries_left: shared.config.addresses_per_attempt_max.max(1),
            last: None,
            are_all_without_address: true,
        }
    }

    /// The next host that can be talked to.
    pub(crate) async fn next(&mut self) -> Result<Connection, NoConnection> {
        tokio::select! {
            biased;
            () = self.shared.stop() => Err(NoConnection::Stopping),
            connection = Self::search(self) => connection,
        }
    }

    /// Remembers that `peer`, to whom a fresh connection stood, did not get as far as one reply.
    pub(crate) fn failed(&mut self, peer: &Arc<Peer>, reply: &Reply) {
        self.shared.rests.failed(peer.address, self.shared.clock.now());
        let reply = reply.clone();
        self.last = Some(Failure { reply, peer: Some(Arc::clone(peer)), is_permanent: false });
    }

    async fn search(&mut self) -> Result<Connection, NoConnection> {
        if self.hosts.is_none() {
            let luck = (&*self.shared.hostname, &self.shared.dice);
            let found = hosts(self.destination, self.connector, &self.shared.resolver, luck).await;
            match found {
                Ok(hosts) => self.hosts = Some(hosts.into()),
                Err(NoHost::Never(reply)) => return Err(NoConnection::Never(reply)),
                Err(NoHost::Later(reply)) => {
                    self.metrics.host_failed(Stage::LookUp);
                    return Err(NoConnection::Unreachable(reply, None));
                }
            }
        }
        while self.tries_left > 0 {
            let Some((host, address)) = self.next_address().await else { break };
            self.tries_left -= 1;
            match self.try_address(&host, address).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => self.last = Some(failure),
            }
        }
        Err(self.exhausted())
    }

    fn exhausted(&mut self) -> NoConnection {
        let last = self.last.take();
        // A smart host that does not exist is the operator's mistake, not the recipient's.
        let may_bounce = self.destination.domain().is_some() && self.are_all_without_address;
        match last {
            Some(failure) if failure.is_permanent && may_bounce => {
                NoConnection::Never(failure.reply)
            }
            Some(failure) => {
                let reply = if failure.is_permanent {
                    later(NO_ROUTE, failure.reply.text())
                } else {
                    failure.reply
                };
                NoConnection::Unreachable(reply, failure.peer)
            }
            None => NoConnection::Unreachable(later(NO_ROUTE, "no host is left to try"), None),
        }
    }

    async fn next_address(&mut self) -> Option<(Box<str>, SocketAddr)> {
        loop {
            if let Some((host, address)) = self.addresses.pop_front() {
                if !self.shared.rests.is_resting(address, self.shared.clock.now()) {
                    return Some((host, address));
                }
                self.resting.push_back((host, address));
            } else if let Some(host) = self.hosts.as_mut().and_then(VecDeque::pop_front) {
                self.look_up(host).await;
            } else {
                return self.resting.pop_front();
            }
        }
    }

    async fn look_up(&mut self, host: Host) {
        match self.shared.resolver.addresses(&host.name).await {
            Ok(addresses) => {
                self.are_all_without_address = false;
                let port = host.port;
                let named = |ip| (host.name.clone(), SocketAddr::new(ip, port));
                self.addresses.extend(addresses.into_iter().map(named));
            }
            Err(error) => {
                self.metrics.host_failed(Stage::LookUp);
                tracing::info!(
                    destination = %self.destination, host = %host.name, %error, "host not found"
                );
                self.are_all_without_address &= !error.is_temporary();
                let (reply, is_permanent) = match no_host(&error) {
                    // Which host of a domain is missing matters less than that it has none.
                    NoHost::Never(reply) => {
                        (Reply::new(550, Some(EnhancedStatus::new(5, 4, 4)), reply.text()), true)
                    }
                    NoHost::Later(reply) => (later(LOOK_UP, reply.text()), false),
                };
                self.last = Some(Failure { reply, peer: None, is_permanent });
            }
        }
    }

    async fn try_address(&self, host: &str, address: SocketAddr) -> Result<Connection, Failure> {
        let mut result = self.open(host, address, self.connector.tls).await;
        if result.as_ref().is_err_and(|refused| refused.may_try_clear) {
            self.metrics.tls_ended(TlsResult::Failed);
            tracing::info!(destination = %self.destination, host, "TLS failed, clear text follows");
            result = self.open(host, address, TlsLevel::None).await;
        }
        let refused = match result {
            Ok(connection) => {
                self.shared.rests.worked(address);
                return Ok(connection);
            }
            Err(refused) => refused,
        };
        let peer = Arc::new(Peer { host: host.into(), address, tls: None });
        self.metrics.host_failed(refused.stage);
        self.shared.rests.failed(address, self.shared.clock.now());
        let reply = later(refused.status, format!("{peer} {}", refused.words));
        tracing::info!(
            destination = %self.destination, host = %peer, stage = refused.stage.name(), %reply,
            "host could not be used"
        );
        Err(Failure { reply, peer: Some(peer), is_permanent: false })
    }

    async fn open(
        &self,
        host: &str,
        address: SocketAddr,
        level: TlsLevel,
    ) -> Result<Connection, Refused> {
        let timeouts = &self.connector.timeouts;
        let ehlo_wait = timeouts.ehlo.as_duration();
        let tcp = connect(address, timeouts.connect.as_duration()).await?;
        let mut hello = Hello::new(Socket::Clear(tcp), timeouts.greeting.as_duration());
        let greeting = hello.greeting().await;
        let greeting = greeting.map_err(|error| Refused::silent(Stage::Greeting, &error))?;
        if !greeting.is_success() {
            return Err(Refused::said(Stage::Greeting, &greeting));
        }
        let extensions = self.ehlo(&mut hello).await?;
        let (hello, extensions, tls) = match self.starttls(&mut hello, &extensions, level).await? {
            None => (hello, extensions, None),
            Some(verification) => {
                let connectors = &self.shared.connectors;
                let tcp = hello
                    .into_tcp()
                    .ok_or_else(|| Refused::new(Stage::Tls, NO_TLS, "wants TLS inside TLS"))?;
                let handshake = connectors.connect(verification, host, tcp);
                let stream = match tokio::time::timeout(ehlo_wait, handshake).await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return Err(self.no_tls(level, error.to_string())),
                    Err(_) => {
                        let words = format!("the TLS handshake took more than {}", span(ehlo_wait));
                        return Err(self.no_tls(level, words));
                    }
                };
                self.metrics.tls_ended(TlsResult::Encrypted);
                let facts = tls::facts(stream.get_ref().1);
                let mut hello = Hello::new(Socket::Tls(Box::new(stream)), ehlo_wait);
                // What was said before the handshake counts no more (RFC 3207 §4.2).
                let extensions = self.ehlo(&mut hello).await?;
                (hello, extensions, Some(facts))
            }
        };
        let peer = Arc::new(Peer { host: host.into(), address, tls });
        let now = self.shared.clock.now();
        let open = Open::new(self.metrics);
        Ok(Connection::new(hello.into_socket(), extensions, peer, open, now))
    }

    async fn ehlo(&self, hello: &mut Hello) -> Result<Extensions, Refused> {
        let wait = self.connector.timeouts.ehlo.as_duration();
        match hello.ehlo(&self.shared.hostname, wait).await {
            Ok(Ok(extensions)) => Ok(extensions),
            Ok(Err(reply)) => Err(Refused::said(Stage::Ehlo, &reply)),
            Err(error) => Err(Refused::silent(Stage::Ehlo, &error)),
        }
    }

    /// Says STARTTLS if the level asks for it; gives how far the host is to be verified, none for clear text.
    async fn starttls(
        &self,
        hello: &mut Hello,
        extensions: &Extensions,
        level: TlsLevel,
    ) -> Result<Option<Verification>, Refused> {
        let verification = match level {
            TlsLevel::None => {
                self.metrics.tls_ended(TlsResult::Clear);
                return Ok(None);
            }
            TlsLevel::Opportunistic | TlsLevel::Encrypt => Verification::None,
            TlsLevel::Verify => Verification::AuthorityAndName,
        };
        let is_forgiving = level == TlsLevel::Opportunistic;
        if !extensions.starttls {
            if is_forgiving {
                self.metrics.tls_ended(TlsResult::Clear);
                return Ok(None);
            }
            self.metrics.tls_ended(TlsResult::NotOffered);
            let words = "does not offer STARTTLS, but the connector asks for TLS";
            return Err(Refused::new(Stage::Tls, NO_TLS, words));
        }
        let reply = hello.command("STARTTLS", self.connector.timeouts.ehlo.as_duration()).await;
        match reply {
            Ok(reply) if reply.code() == 220 => Ok(Some(verification)),
            // The session is as it was before: clear text goes on right here.
            Ok(_) if is_forgiving => {
                self.metrics.tls_ended(TlsResult::Clear);
                Ok(None)
            }
            Ok(reply) => Err(self.no_tls(level, format!("answered STARTTLS with {reply}"))),
            // Octets behind the 220 were not sent by an honest server: neither TLS nor clear text now.
            Err(NoReply::TooMuch) => {
                self.metrics.tls_ended(TlsResult::Failed);
                let words = "sent clear text behind its reply to STARTTLS";
                Err(Refused::new(Stage::Tls, NO_TLS, words))
            }
            Err(error) => Err(self.no_tls(level, error.to_string())),
        }
    }

    fn no_tls(&self, level: TlsLevel, words: String) -> Refused {
        let may_try_clear = level == TlsLevel::Opportunistic;
        if !may_try_clear {
            self.metrics.tls_ended(TlsResult::Failed);
        }
        Refused { stage: Stage::Tls, status: NO_TLS, words: format!("TLS: {words}"), may_try_clear }
    }
}

async fn connect(address: SocketAddr, wait: Duration) -> Result<TcpStream, Refused> {
    let refused = |words: String| Refused::new(Stage::Connect, NO_ANSWER, words);
    let tcp = tokio::time::timeout(wait, TcpStream::connect(address))
        .await
        .map_err(|_| refused(format!("did not answer within {}", span(wait))))?
        .map_err(|error| refused(format!("cannot be connected to: {}", plain(&error))))?;
    // Small writes are put together before they go out; waiting for more only adds time.
    tcp.set_nodelay(true).map_err(|error| refused(error.to_string()))?;
    Ok(tcp)
}

/// The system's words without its error number.
fn plain(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or(&words).to_lowercase()
}

/// The reply for recipients that were not sent because the relay stops.
pub(crate) fn stopping() -> Reply {
    later(STOPPING, "the relay is stopping")
}
