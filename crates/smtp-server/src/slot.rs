//! The places for connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use mail::Reply;
use parking_lot::Mutex;

use crate::metrics::Limit;
use crate::reply;

/// Counts the connections of a listener, in all and per client.
///
/// The lock is taken twice in the life of a connection, never for a message. The map holds no more
/// entries than there are connections.
#[derive(Debug)]
pub(crate) struct Slots {
    total_max: usize,
    per_client_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// The listener is full.
    Total,
    /// The client has its share.
    Client,
}

impl NoSlot {
    /// The limit, and what a client at this address is told.
    pub(crate) fn because(self, client: IpAddr) -> (Limit, Reply) {
        match self {
            Self::Total => (Limit::Connections, reply::connections_full()),
            Self::Client => {
                let reply = reply::client_connections_full(client.to_canonical());
                (Limit::ClientConnections, reply)
            }
        }
    }
}

/// A place for one connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    /// None while a proxy has not said who it is.
    client: Option<IpAddr>,
}

impl Slots {
    /// Places for `total_max` connections, of which one client has at most `per_client_max`.
    pub(crate) fn new(total_max: usize, per_client_max: usize) -> Arc<Self> {
        Arc::new(Self { total_max, per_client_max, taken: Mutex::default() })
    }

    /// Takes a place for a connection from `client`.
    pub(crate) fn take(self: &Arc<Self>, client: IpAddr) -> Result<Slot, NoSlot> {
        let client = network(client);
        let mut taken = self.taken.lock();
        if taken.total >= self.total_max {
            return Err(NoSlot::Total);
        }
        taken.take(client, self.per_client_max)?;
        taken.total += 1;
        drop(taken);
        Ok(Slot { slots: Arc::clone(self), client: Some(client) })
    }

    /// Takes a place for a connection whose client is not known yet.
    pub(crate) fn take_unknown(self: &Arc<Self>) -> Result<Slot, NoSlot> {
        let mut taken = self.taken.lock();
        if taken.total >= self.total_max {
            return Err(NoSlot::Total);
        }
        taken.total += 1;
        drop(taken);
        Ok(Slot { slots: Arc::clone(self), client: None })
    }
}

impl Slot {
    /// From now on the place counts as one of `client`; if it has its share, all stays as it was.
    pub(crate) fn change_client(&mut self, client: IpAddr) -> Result<(), NoSlot> {
        let client = network(client);
        if self.client == Some(client) {
            return Ok(());
        }
        let mut taken = self.slots.taken.lock();
        taken.take(client, self.slots.per_client_max)?;
        if let Some(before) = self.client.replace(client) {
            taken.give_back(before);
        }
        Ok(())
    }
}

impl Taken {
    fn take(&mut self, client: IpAddr, max: usize) -> Result<(), NoSlot> {
        let of_client = self.by_client.entry(client).or_insert(0);
        if *of_client >= max {
            return Err(NoSlot::Client);
        }
        *of_client += 1;
        Ok(())
    }

    fn give_back(&mut self, client: IpAddr) {
        if let Some(of_client) = self.by_client.get_mut(&client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.total = taken.total.saturating_sub(1);
        if let Some(client) = self.client {
            taken.give_back(client);
        }
    }
}

/// Who counts as one client: an IPv4 address or an IPv6 /64, since a host has all of a /64 to itself.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_comes_back_when_its_connection_ends() {
        let slots = Slots::new(3, 2);
        let a = slots.take(ip("192.0.2.1")).unwrap();
        let b = slots.take(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(slots.take(ip("192.0.2.1")).unwrap_err(), NoSlot::Client);
        let c = slots.take(ip("192.0.2.2")).unwrap();
        assert_eq!(slots.take(ip("192.0.2.3")).unwrap_err(), NoSlot::Total);
        drop(a);
        let d = slots.take(ip("192.0.2.1")).unwrap();
        drop((b, c, d));
        assert_eq!(slots.taken.lock().total, 0);
        assert!(slots.taken.lock().by_client.is_empty());
    }

    /// A refused client leaves no entry behind: the map cannot be grown by knocking.
    #[test]
    fn a_refusal_leaves_nothing() {
        let slots = Slots::new(1, 1);
        let _held = slots.take(ip("192.0.2.1")).unwrap();
        for last in 2..100 {
            slots.take(ip(&format!("192.0.2.{last}"))).unwrap_err();
        }
        assert_eq!(slots.taken.lock().by_client.len(), 1);
    }

    /// A proxy's connection counts as its client's once that is known.
    #[test]
    fn a_place_may_change_its_client() {
        let slots = Slots::new(4, 1);
        let mut unknown = slots.take_unknown().unwrap();
        let mut other = slots.take_unknown().unwrap();
        unknown.change_client(ip("192.0.2.1")).unwrap();
        unknown.change_client(ip("192.0.2.1")).unwrap();
        assert_eq!(other.change_client(ip("192.0.2.1")), Err(NoSlot::Client));
        unknown.change_client(ip("192.0.2.2")).unwrap();
        other.change_client(ip("192.0.2.1")).unwrap();
        assert_eq!(slots.taken.lock().by_client.len(), 2);
        drop((unknown, other));
        assert_eq!(slots.taken.lock().total, 0);
        assert!(slots.taken.lock().by_client.is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let slots = Slots::new(9, 1);
        let _held = slots.take(ip("2001:db8::1")).unwrap();
        assert_eq!(slots.take(ip("2001:db8::ffff:2")).unwrap_err(), NoSlot::Client);
        assert!(slots.take(ip("2001:db8:0:1::1")).is_ok());
    }
}
