//! The places for connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use mail::{Reply, host_of, network_of};
use parking_lot::Mutex;

use crate::config::Listener;
use crate::metrics::Limit;
use crate::reply;

/// How many connections may be open at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotLimits {
    total: usize,
    per_client: usize,
    per_network: Option<usize>,
    per_login: Option<usize>,
    /// The size of a network.
    prefixes: (u8, u8),
}

impl SlotLimits {
    /// As a listener has them.
    pub(crate) const fn of(config: &Listener) -> Self {
        Self {
            total: config.connections_max,
            per_client: config.connections_per_client_max,
            per_network: config.connections_per_network_max,
            per_login: config.connections_per_login_max,
            prefixes: (config.rates.network_prefix_v4, config.rates.network_prefix_v6),
        }
    }
}

/// Counts the connections of a listener, in all and by whose they are.
///
/// The lock is taken twice in the life of a connection, and at its logins if those are limited, never for a message. The
/// maps hold no more entries than there are connections.
#[derive(Debug)]
pub(crate) struct Slots {
    limits: SlotLimits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
    /// Empty if networks are not limited.
    by_network: HashMap<IpAddr, usize>,
    /// Empty if accounts are not limited.
    by_login: HashMap<Box<str>, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// The listener is full.
    Total,
    /// The client has its share.
    Client,
    /// The network has its share.
    Network(IpAddr),
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
            Self::Network(network) => {
                (Limit::NetworkConnections, reply::network_connections_full(network))
            }
        }
    }
}

/// The account has its share of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoginFull;

/// A place for one connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    /// None while a proxy has not said who it is.
    client: Option<IpAddr>,
    /// The account that it counts for.
    login: Option<Box<str>>,
}

impl Slots {
    /// Places within `limits`.
    pub(crate) fn new(limits: SlotLimits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default() })
    }

    /// Takes a place for a connection from `client`.
    pub(crate) fn take(self: &Arc<Self>, client: IpAddr) -> Result<Slot, NoSlot> {
        let client = client.to_canonical();
        let mut taken = self.taken.lock();
        if taken.total >= self.limits.total {
            return Err(NoSlot::Total);
        }
        taken.take(client, &self.limits)?;
        taken.total += 1;
        drop(taken);
        Ok(Slot { slots: Arc::clone(self), client: Some(client), login: None })
    }

    /// Takes a place for a connection whose client is not known yet.
    pub(crate) fn take_unknown(self: &Arc<Self>) -> Result<Slot, NoSlot> {
        let mut taken = self.taken.lock();
        if taken.total >= self.limits.total {
            return Err(NoSlot::Total);
        }
        taken.total += 1;
        drop(taken);
        Ok(Slot { slots: Arc::clone(self), client: None, login: None })
    }
}

impl Slot {
    /// From now on the place counts as one of `client`; if it has its share, all stays as it was.
    pub(crate) fn change_client(&mut self, client: IpAddr) -> Result<(), NoSlot> {
        let client = client.to_canonical();
        if self.client == Some(client) {
            return Ok(());
        }
        let limits = &self.slots.limits;
        let mut taken = self.slots.taken.lock();
        // Its own place does not stand in its way: both may be of one network.
        if let Some(before) = self.client {
            taken.give_back(before, limits);
        }
        match taken.take(client, limits) {
            Ok(()) => {
                self.client = Some(client);
                Ok(())
            }
            Err(no_slot) => {
                if let Some(before) = self.client {
                    taken.count(before, limits);
                }
                Err(no_slot)
            }
        }
    }

    /// From now on the place counts as one of the account `login`, or of none.
    pub(crate) fn change_login(&mut self, login: Option<&str>) -> Result<(), LoginFull> {
        let Some(max) = self.slots.limits.per_login else { return Ok(()) };
        if self.login.as_deref() == login {
            return Ok(());
        }
        let mut taken = self.slots.taken.lock();
        if let Some(login) = login {
            let open = taken.by_login.get(login).copied().unwrap_or_default();
            if open >= max {
                return Err(LoginFull);
            }
            taken.by_login.insert(login.into(), open + 1);
        }
        if let Some(before) = std::mem::replace(&mut self.login, login.map(Into::into)) {
            give_back(&mut taken.by_login, &before);
        }
        Ok(())
    }
}

impl Taken {
    fn take(&mut self, client: IpAddr, limits: &SlotLimits) -> Result<(), NoSlot> {
        let open = |of: &HashMap<IpAddr, usize>, key| of.get(&key).copied().unwrap_or_default();
        if open(&self.by_client, host_of(client)) >= limits.per_client {
            return Err(NoSlot::Client);
        }
        let network = network_of(client, limits.prefixes);
        if limits.per_network.is_some_and(|max| open(&self.by_network, network) >= max) {
            return Err(NoSlot::Network(network));
        }
        self.count(client, limits);
        Ok(())
    }

    fn count(&mut self, client: IpAddr, limits: &SlotLimits) {
        *self.by_client.entry(host_of(client)).or_insert(0) += 1;
        if limits.per_network.is_some() {
            *self.by_network.entry(network_of(client, limits.prefixes)).or_insert(0) += 1;
        }
    }

    fn give_back(&mut self, client: IpAddr, limits: &SlotLimits) {
        give_back(&mut self.by_client, &host_of(client));
        if limits.per_network.is_some() {
            give_back(&mut self.by_network, &network_of(client, limits.prefixes));
        }
    }
}

/// Takes one off; what is at nought is forgotten.
fn give_back<K, Q>(open: &mut HashMap<K, usize>, key: &Q)
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if let Some(count) = open.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            open.remove(key);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.total = taken.total.saturating_sub(1);
        if let Some(client) = self.client {
            taken.give_back(client, &self.slots.limits);
        }
        if let Some(login) = &self.login {
            give_back(&mut taken.by_login, &**login);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn slots(total: usize, per_client: usize) -> Arc<Slots> {
        let (per_network, per_login) = (None, None);
        let limits = SlotLimits { total, per_client, per_network, per_login, prefixes: (24, 48) };
        Slots::new(limits)
    }

    #[test]
    fn a_network_has_a_share_whatever_its_clients() {
        let limits = SlotLimits { per_network: Some(2), ..slots(9, 2).limits };
        let slots = Slots::new(limits);
        let held = slots.take(ip("192.0.2.1")).unwrap();
        let mut other = slots.take(ip("192.0.2.2")).unwrap();
        let full = NoSlot::Network(ip("192.0.2.0"));
        assert_eq!(slots.take(ip("192.0.2.3")).unwrap_err(), full);
        // Within its network a place may change hands.
        other.change_client(ip("192.0.2.3")).unwrap();
        let mut third = slots.take(ip("198.51.100.1")).unwrap();
        assert_eq!(third.change_client(ip("192.0.2.4")), Err(full));
        drop(held);
        third.change_client(ip("192.0.2.4")).unwrap();
        drop((other, third));
        let taken = slots.taken.lock();
        assert!(taken.by_network.is_empty() && taken.by_client.is_empty());
    }

    #[test]
    fn an_account_has_a_share_wherever_its_clients_are() {
        let limits = SlotLimits { per_login: Some(1), ..slots(9, 9).limits };
        let slots = Slots::new(limits);
        let mut held = slots.take(ip("192.0.2.1")).unwrap();
        let mut other = slots.take(ip("198.51.100.1")).unwrap();
        held.change_login(Some("ana")).unwrap();
        held.change_login(Some("ana")).unwrap();
        assert_eq!(other.change_login(Some("ana")), Err(LoginFull));
        other.change_login(Some("bo")).unwrap();
        held.change_login(None).unwrap();
        other.change_login(Some("ana")).unwrap();
        drop((held, other));
        assert!(slots.taken.lock().by_login.is_empty());
    }

    #[test]
    fn a_place_comes_back_when_its_connection_ends() {
        let slots = slots(3, 2);
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
        let slots = slots(1, 1);
        let _held = slots.take(ip("192.0.2.1")).unwrap();
        for last in 2..100 {
            slots.take(ip(&format!("192.0.2.{last}"))).unwrap_err();
        }
        assert_eq!(slots.taken.lock().by_client.len(), 1);
    }

    /// A proxy's connection counts as its client's once that is known.
    #[test]
    fn a_place_may_change_its_client() {
        let slots = slots(4, 1);
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
        let slots = slots(9, 1);
        let _held = slots.take(ip("2001:db8::1")).unwrap();
        assert_eq!(slots.take(ip("2001:db8::ffff:2")).unwrap_err(), NoSlot::Client);
        assert!(slots.take(ip("2001:db8:0:1::1")).is_ok());
    }
}
