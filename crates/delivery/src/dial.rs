//! Gets a fresh connection to one of a destination's hosts.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use mail::{Destination, EnhancedStatus, Peer, Reply};
use policy::config::OutboundConnector;
use resolver::LookupError;

use crate::address::{Address, Candidate};
use crate::connection::Connection;
use crate::dane::Demand;
use crate::hosts::{Host, NoHost, hosts, no_host};
use crate::metrics::{ConnectorMetrics, Stage};
use crate::open::Opener;
use crate::rests::News;
use crate::shared::Shared;
use crate::words::{LOOK_UP, NO_ROUTE, NO_TLS, STOPPING, later};

/// Hosts whose addresses are asked for at the same time, once the best one does not serve.
const LOOK_UPS_MAX: usize = 8;

/// The hosts of a destination that one attempt has not tried yet, best first.
pub(crate) struct Dial<'a> {
    shared: &'a Shared,
    destination: &'a Destination,
    connector: &'a OutboundConnector,
    metrics: &'a Arc<ConnectorMetrics>,
    /// None until looked up.
    hosts: Option<VecDeque<Host>>,
    /// Hosts to look up next time.
    look_ups: usize,
    candidates: VecDeque<Candidate>,
    /// Those that failed a short while ago.
    resting: VecDeque<Candidate>,
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

/// Why nothing is sent to a host.
#[derive(Debug, thiserror::Error)]
enum NoUse {
    /// What has to be known of it could not be looked up.
    #[error(transparent)]
    NotFound(#[from] LookupError),
    /// It has no TLSA records to go by, and the connector wants some.
    #[error("{0}")]
    NoRecords(&'static str),
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// No host of the destination could be talked to.
    Unreachable(Reply, Option<Arc<Peer>>),
    /// None ever will: the recipients fail.
    Never(Reply),
    /// Each host that was tried can be talked to.
    NoneLeft,
    /// The relay stops.
    Stopping,
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
            look_ups: 1,
            candidates: VecDeque::new(),
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

    /// Remembers that the peer of `connection`, a fresh one, did not get as far as one reply.
    pub(crate) fn failed(&mut self, connection: &Connection, reply: &Reply) {
        let _news = self.shared.rests.failed(connection.address.clone(), self.shared.clock.now());
        let peer = &connection.peer;
        let reply = reply.clone();
        self.last = Some(Failure { reply, peer: Some(Arc::clone(peer)), is_permanent: false });
    }

    async fn search(&mut self) -> Result<Connection, NoConnection> {
        if self.hosts.is_none() {
            match hosts(self.destination, self.connector, &self.shared.means).await {
                Ok(hosts) => self.hosts = Some(hosts.into()),
                Err(NoHost::Never(reply)) => return Err(NoConnection::Never(reply)),
                Err(NoHost::Later(reply)) => {
                    self.metrics.host_failed(Stage::LookUp);
                    return Err(NoConnection::Unreachable(reply, None));
                }
            }
        }
        while self.tries_left > 0 {
            let Some(candidate) = self.next_candidate().await else { break };
            self.tries_left -= 1;
            match self.try_one(&candidate).await {
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
            None => NoConnection::NoneLeft,
        }
    }

    async fn next_candidate(&mut self) -> Option<Candidate> {
        loop {
            if let Some(candidate) = self.candidates.pop_front() {
                if !self.shared.rests.is_resting(&candidate.address, self.shared.clock.now()) {
                    return Some(candidate);
                }
                self.resting.push_back(candidate);
            } else if !self.look_up().await {
                return self.resting.pop_front();
            }
        }
    }

    /// Gets the addresses of further hosts; false if there is none. The best host is looked up alone, since it mostly
    /// serves; then several at a time, so that a long list of hosts that are not found holds nobody up.
    async fn look_up(&mut self) -> bool {
        let Some(hosts) = self.hosts.as_mut().filter(|hosts| !hosts.is_empty()) else {
            return false;
        };
        let count = self.look_ups.min(hosts.len());
        let hosts: Vec<_> = hosts.drain(..count).collect();
        self.look_ups = LOOK_UPS_MAX;
        let found = join_all(hosts.iter().map(|host| self.ask(host))).await;
        for (host, found) in hosts.into_iter().zip(found) {
            self.found(&host, found);
        }
        true
    }

    /// Where a host listens, and how much TLS is asked of it.
    async fn ask(&self, host: &Host) -> Result<(Vec<Address>, Demand), NoUse> {
        let (resolver, level) = (&self.shared.means.resolver, self.connector.tls);
        if !level.is_dane() {
            return Ok((host.addresses(resolver).await?, Demand::of(level)));
        }
        let (addresses, standing) = join(host.addresses(resolver), host.standing(resolver)).await;
        let addresses = addresses?;
        let demand = Demand::by(level, &standing?).map_err(NoUse::NoRecords)?;
        Ok((addresses, demand))
    }

    fn found(&mut self, host: &Host, found: Result<(Vec<Address>, Demand), NoUse>) {
        match found {
            Ok((addresses, demand)) => {
                self.are_all_without_address = false;
                self.candidates.extend(addresses.into_iter().map(|address| Candidate {
                    host: host.name.clone(),
                    address,
                    demand: demand.clone(),
                }));
            }
            Err(NoUse::NoRecords(words)) => {
                self.metrics.host_failed(Stage::Tls);
                self.are_all_without_address = false;
                let reply = later(NO_TLS, format!("{} {words}", host.name));
                tracing::info!(destination = %self.destination, %reply, "host not used");
                self.last = Some(Failure { reply, peer: None, is_permanent: false });
            }
            Err(NoUse::NotFound(error)) => {
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

    async fn try_one(&self, candidate: &Candidate) -> Result<Connection, Failure> {
        let Candidate { host, address, .. } = candidate;
        let (means, connector, metrics) = (&self.shared.means, self.connector, self.metrics);
        let opener = Opener { means, connector, metrics, trail: None };
        let result = opener.open(candidate).await;
        let refused = match result {
            Ok(connection) => {
                if self.shared.rests.worked(address) == News::New {
                    let host = &connection.peer;
                    tracing::info!(destination = %self.destination, %host, "host can be used again");
                }
                return Ok(connection);
            }
            Err(refused) => refused,
        };
        let peer = Arc::new(Peer {
            host: host.clone(),
            address: address.as_tcp(),
            tls: None,
            offers_dsn: false,
            is_final: false,
            offers_deliver_by: false,
        });
        self.metrics.host_failed(refused.stage);
        let news = self.shared.rests.failed(address.clone(), self.shared.clock.now());
        let words = match refused.stage {
            // These begin with who logs in, and name the host behind.
            Stage::Login => refused.words,
            _ => format!("{peer} {}", refused.words),
        };
        let reply = later(refused.status, words);
        let (destination, stage) = (self.destination, refused.stage.name());
        match news {
            News::New => {
                tracing::info!(%destination, host = %peer, stage, %reply, "host could not be used");
            }
            // Attempts side by side, and those after each rest, find the same.
            News::Known => {
                tracing::debug!(%destination, host = %peer, stage, %reply, "host still cannot be used");
            }
        }
        Err(Failure { reply, peer: Some(peer), is_permanent: false })
    }
}

/// The reply for recipients that were not sent because the relay stops.
pub(crate) fn stopping() -> Reply {
    later(STOPPING, "the relay is stopping")
}
