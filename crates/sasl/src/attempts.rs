//! Failed logins, counted, and the bans that follow.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use parking_lot::Mutex;

use crate::config;
use crate::table::Table;
use crate::text::shown;

/// How long a client that logged in to an account may still do so while the account is banned.
const KNOWN: Duration = Duration::from_hours(24);

/// Who is banned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Banned {
    /// The account with this name, which need not be there.
    Account(Box<str>),
    /// The clients of this network.
    Client(IpNet),
}

impl fmt::Display for Banned {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(name) => write!(out, "account `{}`", shown(name)),
            Self::Client(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(out, "client {}", network.addr())
            }
            Self::Client(network) => write!(out, "client network {network}"),
        }
    }
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Whose.
    pub banned: Banned,
    /// When it ends.
    pub until: Instant,
}

/// Whose ban is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// That of an account.
    Account(&'a str),
    /// That of a client's address, or of the network around it.
    Client(IpAddr),
    /// Everybody's.
    All,
}

/// Counts failed logins; says who is banned. Its memory is bounded.
#[derive(Debug)]
pub struct Attempts {
    config: config::Attempts,
    tables: Mutex<Tables>,
}

#[derive(Debug)]
struct Tables {
    accounts: Table<Box<str>, Record>,
    clients: Table<IpNet, Record>,
    /// When a client last logged in to an account.
    known: Table<(Box<str>, IpNet), Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    since: Instant,
    banned_until: Option<Instant>,
}

impl Record {
    const fn new(now: Instant) -> Self {
        Self { failures: 0, since: now, banned_until: None }
    }

    fn ban(&self, now: Instant) -> Option<Instant> {
        self.banned_until.filter(|until| now < *until)
    }

    /// Counts a failure; whether a ban begins.
    fn fails(&mut self, failures_max: u32, config: &config::Attempts, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= config.window.as_duration() {
            (self.failures, self.since) = (0, now);
        }
        self.failures += 1;
        let begins = failures_max > 0 && self.failures >= failures_max && self.ban(now).is_none();
        if begins {
            (self.failures, self.banned_until) = (0, now.checked_add(config.ban.as_duration()));
        }
        begins
    }
}

impl Attempts {
    /// Nobody has failed yet.
    pub fn new(config: &config::Attempts) -> Self {
        let max = usize::try_from(config.watched_max).unwrap_or(usize::MAX);
        let tables =
            Tables { accounts: Table::new(max), clients: Table::new(max), known: Table::new(max) };
        Self { config: config.clone(), tables: Mutex::new(tables) }
    }

    /// The ban that keeps `client` out, whatever the account.
    pub fn client_ban(&self, client: IpAddr, now: Instant) -> Option<Ban> {
        let client = self.watched(client)?;
        self.tables.lock().client_ban(client, now)
    }

    /// The ban that keeps `client` out of the account called `name`.
    pub fn ban(&self, name: &str, client: IpAddr, now: Instant) -> Option<Ban> {
        let client = self.watched(client)?;
        let mut tables = self.tables.lock();
        if let Some(ban) = tables.client_ban(client, now) {
            return Some(ban);
        }
        let until = tables.accounts.get(name)?.ban(now)?;
        let name: Box<str> = name.into();
        let is_known = tables
            .known
            .get(&(name.clone(), client))
            .is_some_and(|at| now.saturating_duration_since(*at) < KNOWN);
        if is_known {
            return None;
        }
        // Those that go on are forgotten last.
        tables.accounts.touch(name.clone(), || Record::new(now));
        Some(Ban { banned: Banned::Account(name), until })
    }

    /// Counts a failed login, to the account called `name` if one was named; the bans that begin.
    pub fn failed(&self, name: Option<&str>, client: IpAddr, now: Instant) -> Vec<Ban> {
        let Some(client) = self.watched(client) else { return Vec::new() };
        let mut tables = self.tables.lock();
        let mut begun = Vec::new();
        let mut note = |begins: bool, record: Record, banned: Banned| {
            if let (true, Some(until)) = (begins, record.banned_until) {
                begun.push(Ban { banned, until });
            }
        };
        let record = tables.clients.touch(client, || Record::new(now));
        let begins = record.fails(self.config.failures_per_client_max, &self.config, now);
        note(begins, *record, Banned::Client(client));
        if let Some(name) = name {
            let record = tables.accounts.touch(name.into(), || Record::new(now));
            let begins = record.fails(self.config.failures_per_account_max, &self.config, now);
            note(begins, *record, Banned::Account(name.into()));
        }
        begun
    }

    /// Notes a login that succeeded. What failed before still counts: otherwise whoever has one account could guess at
    /// the others for ever.
    pub fn succeeded(&self, name: &str, client: IpAddr, now: Instant) {
        if let Some(client) = self.watched(client) {
            *self.tables.lock().known.touch((name.into(), client), || now) = now;
        }
    }

    /// Lifts bans and forgets the failures that led to them; how many bans there were.
    pub fn unban(&self, whom: Whom<'_>, now: Instant) -> usize {
        let mut tables = self.tables.lock();
        let was_banned = |record: Option<Record>| {
            usize::from(record.is_some_and(|record| record.ban(now).is_some()))
        };
        match whom {
            Whom::Account(name) => was_banned(tables.accounts.remove(name)),
            Whom::Client(address) => was_banned(tables.clients.remove(&network(address))),
            Whom::All => {
                let Tables { accounts, clients, .. } = &mut *tables;
                let records = accounts.iter_mut().chain(clients.iter_mut());
                let bans = records.filter(|record| record.ban(now).is_some()).count();
                accounts.clear();
                clients.clear();
                bans
            }
        }
    }

    /// The bans that hold, clients after accounts, by name.
    pub fn bans(&self, now: Instant) -> Vec<Ban> {
        let tables = self.tables.lock();
        let accounts =
            tables.accounts.iter().map(|(name, record)| (Banned::Account(name.clone()), record));
        let clients =
            tables.clients.iter().map(|(network, record)| (Banned::Client(*network), record));
        let held = accounts.chain(clients);
        let mut bans: Vec<Ban> = held
            .filter_map(|(banned, record)| Some(Ban { banned, until: record.ban(now)? }))
            .collect();
        bans.sort_by(|a, b| a.banned.cmp(&b.banned));
        bans
    }

    /// The network that stands for a client; none if it is exempt.
    fn watched(&self, client: IpAddr) -> Option<IpNet> {
        let address = client.to_canonical();
        let is_exempt = self.config.exempt.iter().any(|network| network.contains(&address));
        (!is_exempt).then(|| network(address))
    }
}

impl Tables {
    fn client_ban(&mut self, client: IpNet, now: Instant) -> Option<Ban> {
        let until = self.clients.get(&client)?.ban(now)?;
        // Those that go on are forgotten last.
        self.clients.touch(client, || Record::new(now));
        Some(Ban { banned: Banned::Client(client), until })
    }
}

/// The smallest network that surely is one client's.
fn network(client: IpAddr) -> IpNet {
    let host = mail::host_of(client);
    let bits = if host.is_ipv4() { 32 } else { mail::HOST_BITS_V6 };
    IpNet::new(host, bits).unwrap_or_else(|_| IpNet::from(host))
}

#[cfg(test)]
mod tests {
    use units::{Clock, Span};

    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn attempts(client: u32, account: u32) -> (Attempts, Clock) {
        let config = config::Attempts {
            failures_per_client_max: client,
            failures_per_account_max: account,
            window: Span::minutes(10),
            ban: Span::minutes(30),
            exempt: vec!["10.0.0.0/8".parse().unwrap()],
            watched_max: 100,
        };
        (Attempts::new(&config), Clock::manual(0))
    }

    #[test]
    fn a_client_is_banned_for_a_while() {
        let (attempts, clock) = attempts(3, 0);
        for name in ["a", "b"] {
            assert_eq!(attempts.failed(Some(name), A, clock.now()), []);
        }
        assert_eq!(attempts.client_ban(A, clock.now()), None);
        let [ban] = attempts.failed(None, A, clock.now()).try_into().unwrap();
        assert_eq!(ban.banned.to_string(), "client 192.0.2.1");
        assert_eq!(attempts.ban("a", A, clock.now()), Some(ban.clone()));
        assert_eq!(attempts.ban("a", B, clock.now()), None);
        assert_eq!(attempts.bans(clock.now()), [ban]);
        clock.advance(Duration::from_mins(30));
        assert_eq!(attempts.client_ban(A, clock.now()), None);
        assert_eq!(attempts.bans(clock.now()), []);
    }

    #[test]
    fn failures_are_forgotten_after_the_window() {
        let (attempts, clock) = attempts(2, 2);
        for _ in 0..5 {
            assert_eq!(attempts.failed(Some("a"), A, clock.now()), []);
            clock.advance(Duration::from_mins(10));
        }
    }

    #[test]
    fn an_account_is_banned_but_not_for_those_it_knows() {
        let (attempts, clock) = attempts(0, 2);
        attempts.succeeded("a", B, clock.now());
        attempts.failed(Some("a"), A, clock.now());
        let [ban] = attempts.failed(Some("a"), A, clock.now()).try_into().unwrap();
        assert_eq!(ban.banned.to_string(), "account `a`");
        assert!(attempts.ban("a", A, clock.now()).is_some());
        assert!(attempts.ban("a", B, clock.now()).is_none());
        assert!(attempts.ban("b", A, clock.now()).is_none());
    }

    #[test]
    fn a_success_clears_nothing() {
        let (attempts, clock) = attempts(2, 0);
        attempts.failed(Some("victim"), A, clock.now());
        attempts.succeeded("own", A, clock.now());
        assert_eq!(attempts.failed(Some("victim"), A, clock.now()).len(), 1);
    }

    #[test]
    fn networks_count_as_one_client() {
        let (attempts, clock) = attempts(2, 0);
        attempts.failed(None, "2001:db8::1".parse().unwrap(), clock.now());
        let [ban] =
            attempts.failed(None, "2001:db8::2".parse().unwrap(), clock.now()).try_into().unwrap();
        assert_eq!(ban.banned.to_string(), "client network 2001:db8::/64");
        assert!(attempts.client_ban("2001:db8::ffff".parse().unwrap(), clock.now()).is_some());
        assert!(attempts.client_ban("2001:db8:0:1::1".parse().unwrap(), clock.now()).is_none());
        attempts.failed(None, "::ffff:192.0.2.1".parse().unwrap(), clock.now());
        assert_eq!(
            attempts.failed(None, A, clock.now()).len(),
            1,
            "a mapped address is an IPv4 address"
        );
    }

    #[test]
    fn exempt_clients_are_never_banned() {
        let (attempts, clock) = attempts(1, 1);
        let client = "10.1.2.3".parse().unwrap();
        assert_eq!(attempts.failed(Some("a"), client, clock.now()), []);
        assert_eq!(attempts.ban("a", client, clock.now()), None);
        assert_eq!(attempts.ban("a", A, clock.now()), None);
    }

    #[test]
    fn bans_can_be_lifted() {
        let (attempts, clock) = attempts(1, 1);
        let banned = || attempts.bans(clock.now()).len();
        for client in [A, B] {
            attempts.failed(Some("a"), client, clock.now());
        }
        assert_eq!(banned(), 3);
        assert_eq!(attempts.unban(Whom::Account("x"), clock.now()), 0);
        assert_eq!(attempts.unban(Whom::Client(A), clock.now()), 1);
        assert_eq!((banned(), attempts.client_ban(A, clock.now())), (2, None));
        assert_eq!(attempts.unban(Whom::All, clock.now()), 2);
        assert_eq!(banned(), 0);
    }

    #[test]
    fn memory_is_bounded_and_those_that_go_on_stay() {
        let (attempts, clock) = attempts(1, 0);
        attempts.failed(None, A, clock.now());
        for number in 0..500_u32 {
            let client = IpAddr::V4(std::net::Ipv4Addr::from(0x0b00_0000 + number));
            attempts.failed(Some(&number.to_string()), client, clock.now());
            assert!(attempts.client_ban(A, clock.now()).is_some());
        }
        assert_eq!(attempts.bans(clock.now()).len(), 100);
    }
}
