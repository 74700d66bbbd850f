//! Idle connections by destination.

use std::collections::HashMap;
use std::time::Instant;

use mail::Destination;
use parking_lot::Mutex;
use policy::Policy;

use crate::connection::Connection;

/// Keeps connections that wait for mail. The lock is held for a look into the map only, never across an await.
pub(crate) struct Pool {
    idle: Mutex<Idle>,
    connections_max: usize,
}

#[derive(Default)]
struct Idle {
    by_destination: HashMap<Destination, Vec<Connection>>,
    count: usize,
}

impl Pool {
    pub(crate) fn new(connections_max: usize) -> Self {
        Self { idle: Mutex::default(), connections_max }
    }

    /// The connection to `destination` that was used last and is usable; others found on the way are dropped.
    pub(crate) fn take(
        &self,
        destination: &Destination,
        is_usable: impl Fn(&mut Connection) -> bool,
    ) -> Option<Connection> {
        loop {
            let mut connection = self.pop(destination)?;
            if is_usable(&mut connection) {
                connection.wake();
                return Some(connection);
            }
        }
    }

    fn pop(&self, destination: &Destination) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let connections = idle.by_destination.get_mut(destination)?;
        let connection = connections.pop();
        if connections.is_empty() {
            idle.by_destination.remove(destination);
        }
        idle.count = idle.count.saturating_sub(usize::from(connection.is_some()));
        connection
    }

    /// Keeps `connection`, or gives it back if there is no room.
    pub(crate) fn put(
        &self,
        destination: &Destination,
        mut connection: Connection,
        now: Instant,
    ) -> Option<Connection> {
        let mut idle = self.idle.lock();
        if idle.count >= self.connections_max {
            return Some(connection);
        }
        connection.rest(now);
        idle.count += 1;
        idle.by_destination.entry(destination.clone()).or_default().push(connection);
        None
    }

    /// Takes out what has waited too long or has died.
    pub(crate) fn sweep(&self, policy: &Policy, now: Instant) -> Vec<Connection> {
        let mut idle = self.idle.lock();
        let mut stale = Vec::new();
        idle.by_destination.retain(|destination, connections| {
            let connector = policy.router.connector(destination.connector());
            let is_stale = |connection: &mut Connection| {
                !connection.is_of(policy.generation())
                    || connector.is_none_or(|connector| connection.is_stale(&connector.limits, now))
            };
            stale.extend(connections.extract_if(.., is_stale));
            !connections.is_empty()
        });
        idle.count = idle.count.saturating_sub(stale.len());
        stale
    }

    /// Takes out all.
    pub(crate) fn drain(&self) -> Vec<Connection> {
        let idle = std::mem::take(&mut *self.idle.lock());
        idle.by_destination.into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mail::{Domain, Peer};
    use policy::config::OutboundConnector;
    use policy::{Admission, Router};
    use smtp_session::client::Extensions;
    use telemetry::Registry;
    use tokio::net::{TcpListener, TcpStream};
    use units::{Clock, Span};

    use super::*;
    use crate::address::Address;
    use crate::metrics::{Metrics, Open};
    use crate::socket::Socket;

    const DESTINATIONS: usize = 120;

    fn destination(number: usize) -> Destination {
        let domain = Domain::parse(&format!("d{number}.example")).unwrap();
        Destination::exchangers("out", domain)
    }

    struct House {
        listener: TcpListener,
        metrics: Metrics,
        policy: Policy,
        clock: Clock,
        /// The other ends.
        peers: Vec<TcpStream>,
    }

    impl House {
        async fn new() -> Self {
            let mut connector =
                OutboundConnector { name: "out".to_owned(), ..OutboundConnector::default() };
            connector.limits.connection_idle_max = Span::seconds(5);
            Self {
                listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
                metrics: Metrics::register(
                    &Arc::new(Registry::new()),
                    std::slice::from_ref(&connector),
                ),
                policy: Policy::new(
                    Admission::new(Vec::new()),
                    Router::new(vec![connector]).unwrap(),
                ),
                clock: Clock::manual(0),
                peers: Vec::new(),
            }
        }

        async fn connection(&mut self) -> Connection {
            let address = self.listener.local_addr().unwrap();
            let tcp = TcpStream::connect(address).await.unwrap();
            self.peers.push(self.listener.accept().await.unwrap().0);
            let peer = Arc::new(Peer {
                host: "h.example".into(),
                address,
                tls: None,
                offers_dsn: false,
                is_final: false,
                offers_deliver_by: false,
            });
            let open = Open::new(&self.metrics.of(self.policy.router.connector("out").unwrap()));
            let now = self.clock.now();
            Connection::new(
                Socket::Clear(tcp),
                Extensions::default(),
                (peer, Address::Tcp(address)),
                open,
                now,
            )
        }
    }

    fn destinations_known(pool: &Pool) -> usize {
        pool.idle.lock().by_destination.len()
    }

    /// Each of many destinations gets one message; then nothing of them is left, whichever way a connection goes.
    #[tokio::test]
    async fn destinations_leave_nothing_behind() {
        let (mut house, pool) = (House::new().await, Pool::new(DESTINATIONS / 2));
        let mut sent_away = 0;
        for number in 0..DESTINATIONS {
            let connection = house.connection().await;
            let back = pool.put(&destination(number), connection, house.clock.now());
            sent_away += usize::from(back.is_some());
        }
        assert_eq!((sent_away, destinations_known(&pool)), (DESTINATIONS / 2, DESTINATIONS / 2));
        let taken = (0..40).filter_map(|number| pool.take(&destination(number), |_| true)).count();
        assert_eq!((taken, destinations_known(&pool)), (40, 20));
        for number in 40..50 {
            assert!(pool.take(&destination(number), |_| false).is_none());
        }
        assert_eq!(destinations_known(&pool), 10);
        house.clock.advance(std::time::Duration::from_secs(6));
        assert_eq!(pool.sweep(&house.policy, house.clock.now()).len(), 10);
        assert_eq!((destinations_known(&pool), pool.idle.lock().count), (0, 0));
    }

    /// A destination with many connections is known until the last of them goes.
    #[tokio::test]
    async fn a_destination_is_known_while_it_has_a_connection() {
        let (mut house, pool) = (House::new().await, Pool::new(10));
        for _ in 0..2 {
            let connection = house.connection().await;
            assert!(pool.put(&destination(1), connection, house.clock.now()).is_none());
        }
        for left in [1, 0] {
            assert!(pool.take(&destination(1), |_| true).is_some());
            assert_eq!(destinations_known(&pool), left);
        }
    }
}
