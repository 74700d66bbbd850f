//! Idle connections by destination.

use std::collections::HashMap;
use std::time::Instant;

use mail::Destination;
use parking_lot::Mutex;
use policy::Router;

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
    pub(crate) fn sweep(&self, router: &Router, now: Instant) -> Vec<Connection> {
        let mut idle = self.idle.lock();
        let mut stale = Vec::new();
        idle.by_destination.retain(|destination, connections| {
            let connector = router.connector(destination.connector());
            let is_stale = |connection: &mut Connection| {
                connector.is_none_or(|connector| connection.is_stale(&connector.limits, now))
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
