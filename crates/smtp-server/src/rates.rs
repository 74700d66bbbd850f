//! Rates and bans: what each client has done of late, against what it may do.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mail::{EnhancedStatus, Reply, host_of, network_of};
use parking_lot::Mutex;
use units::{Amount, Rate};

use crate::config::{Defence, RateLimits, Rates};
use crate::metrics::Limit;
use crate::table::{Remembered, Table};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connections,
    Messages,
    Recipients,
    Octets,
}

pub(crate) const KINDS: usize = 4;

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Messages => "messages",
            Self::Recipients => "recipients",
            Self::Octets => "octets",
        }
    }

    const fn limit(self) -> Limit {
        match self {
            Self::Connections => Limit::ConnectionRate,
            Self::Messages => Limit::MessageRate,
            Self::Recipients => Limit::RecipientRate,
            Self::Octets => Limit::OctetRate,
        }
    }

    /// Which of the four.
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Connections => 0,
            Self::Messages => 1,
            Self::Recipients => 2,
            Self::Octets => 3,
        }
    }

    fn reply(self, words: String) -> Reply {
        match self {
            Self::Connections => Reply::new(421, Some(EnhancedStatus::new(4, 7, 0)), words),
            Self::Messages | Self::Octets => {
                Reply::new(450, Some(EnhancedStatus::new(4, 7, 1)), words)
            }
            Self::Recipients => Reply::new(452, Some(EnhancedStatus::new(4, 7, 1)), words),
        }
    }
}

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who<'a> {
    pub(crate) client: IpAddr,
    /// The account that it has logged in to.
    pub(crate) login: Option<&'a str>,
}

impl From<IpAddr> for Who<'_> {
    fn from(client: IpAddr) -> Self {
        Self { client, login: None }
    }
}

/// Whose doings are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose<'a> {
    Everybody,
    Client(IpAddr),
    Network(IpAddr),
    Login(&'a str),
}

/// A rate, ready for use: a bucket that holds `units` and is full again after `window`.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    units: u64,
    window: u64,
    pub(crate) words: Box<str>,
}

impl Bucket {
    pub(crate) fn new<T: Amount>(rate: Rate<T>) -> Self {
        let words = rate.to_string().into();
        Self { units: rate.units(), window: nanos(rate.window().as_duration()), words }
    }

    /// How long `amount` takes to come back.
    pub(crate) fn time(&self, amount: u64) -> u64 {
        let time = u128::from(self.window) * u128::from(amount) / u128::from(self.units.max(1));
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// How long to wait until `amount` fits, for a bucket that is full again at `full_at`; none if it fits now.
    pub(crate) fn wait(&self, full_at: u64, now: u64, amount: u64) -> Option<Duration> {
        let full_then = full_at.max(now).saturating_add(self.time(amount));
        let wait = full_then.saturating_sub(now).saturating_sub(self.window);
        (wait > 0).then(|| Duration::from_nanos(wait))
    }
}

/// What is remembered of a client or a network; in nanoseconds since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    /// When each bucket is full again.
    full_at: [u64; KINDS],
    /// When its refusals are forgotten.
    refusals_at: u64,
    banned_until: u64,
}

impl Remembered for Meter {
    fn is_void_at(&self) -> u64 {
        let last = self.full_at.iter().copied().max().unwrap_or_default();
        last.max(self.refusals_at).max(self.banned_until)
    }
}

type Buckets = [Option<Bucket>; KINDS];

/// The meters of one listener.
#[derive(Debug)]
pub(crate) struct Meters {
    everybody: Buckets,
    client: Buckets,
    network: Buckets,
    login: Buckets,
    prefixes: (u8, u8),
    ban_after: Option<Bucket>,
    ban_time: u64,
    epoch: Instant,
    table: Mutex<Table<Meter>>,
}

fn buckets(rates: &Rates) -> Buckets {
    [
        rates.connections.map(Bucket::new),
        rates.messages.map(Bucket::new),
        rates.recipients.map(Bucket::new),
        rates.octets.map(Bucket::new),
    ]
}

impl Meters {
    /// None if nothing is limited, so that nothing is looked at and no memory is taken.
    pub(crate) fn new(limits: &RateLimits, defence: &Defence, epoch: Instant) -> Option<Self> {
        let everybody = buckets(&limits.listener);
        let (client, network) = (buckets(&limits.client), buckets(&limits.network));
        let login = buckets(&limits.login.into());
        let all = [&everybody, &client, &network, &login];
        let is_limited = all.into_iter().flatten().any(Option::is_some);
        (is_limited || defence.ban_after.is_some()).then(|| Self {
            everybody,
            client,
            network,
            login,
            prefixes: (limits.network_prefix_v4, limits.network_prefix_v6),
            ban_after: defence.ban_after.map(Bucket::new),
            ban_time: nanos(defence.ban_time.as_duration()),
            epoch,
            table: Mutex::new(Table::new(limits.remembered_max)),
        })
    }

    /// Counts one of `kind` by `who`, or says which limit that is beyond.
    ///
    /// Octets are known only when they have come: here it is looked whether earlier ones left room.
    pub(crate) fn take(
        &self,
        kind: Kind,
        who: Who<'_>,
        now: Instant,
    ) -> Result<(), (Limit, Reply)> {
        if !self.limits(kind) {
            return Ok(());
        }
        let now = self.nanos_at(now);
        let mut meters = self.table.lock();
        for (whose, bucket, place) in self.buckets(kind, who) {
            let full_at = meters.find(&whose).map_or(0, |meter| full_at(meter, place));
            if let Some(wait) = bucket.wait(full_at, now, 1) {
                drop(meters);
                return Err((kind.limit(), kind.reply(words(kind, whose, bucket, wait))));
            }
        }
        if kind != Kind::Octets {
            self.add(&mut meters, kind, who, (1, now));
        }
        Ok(())
    }

    /// Counts octets that have come.
    pub(crate) fn took_octets(&self, who: Who<'_>, octets: u64, now: Instant) {
        if self.limits(Kind::Octets) {
            let now = self.nanos_at(now);
            self.add(&mut self.table.lock(), Kind::Octets, who, (octets, now));
        }
    }

    /// Whether anybody's doings of `kind` are limited; if not, nobody waits for the table.
    fn limits(&self, kind: Kind) -> bool {
        let all = [&self.everybody, &self.client, &self.network, &self.login];
        all.into_iter().any(|buckets| matches!(buckets.get(kind.place()), Some(Some(_))))
    }

    fn add(&self, meters: &mut Table<Meter>, kind: Kind, who: Who<'_>, (amount, now): (u64, u64)) {
        for (whose, bucket, place) in self.buckets(kind, who) {
            meters.change(&whose, now, |meter| {
                if let Some(full_at) = meter.full_at.get_mut(place) {
                    *full_at = (*full_at).max(now).saturating_add(bucket.time(amount));
                }
            });
        }
    }

    /// Counts a refusal; true if the client is banned from now on.
    pub(crate) fn refused(&self, client: IpAddr, now: Instant) -> bool {
        let Some(bucket) = &self.ban_after else { return false };
        let now = self.nanos_at(now);
        self.table.lock().change(&Whose::Client(host_of(client)), now, |meter| {
            if meter.banned_until > now {
                return false;
            }
            let is_too_much = bucket.wait(meter.refusals_at, now, 1).is_some();
            if is_too_much {
                meter.banned_until = now.saturating_add(self.ban_time);
                meter.refusals_at = 0;
            } else {
                meter.refusals_at = meter.refusals_at.max(now).saturating_add(bucket.time(1));
            }
            is_too_much
        })
    }

    /// What a banned client is told; none if it is not banned.
    pub(crate) fn ban(&self, client: IpAddr, now: Instant) -> Option<(Limit, Reply)> {
        self.ban_after.as_ref()?;
        let now = self.nanos_at(now);
        let meters = self.table.lock();
        let until = meters.find(&Whose::Client(host_of(client)))?.banned_until;
        drop(meters);
        let left = until.checked_sub(now).filter(|left| *left > 0)?;
        let client = client.to_canonical();
        let words = format!(
            "{client} was refused too often and is not talked to, come back in {} seconds",
            seconds(Duration::from_nanos(left))
        );
        let reply = Reply::new(421, Some(EnhancedStatus::new(4, 7, 0)), words);
        Some((Limit::Ban, reply))
    }

    /// The buckets that count what `who` does, with who shares each and which of a meter's it is.
    fn buckets<'a>(
        &'a self,
        kind: Kind,
        who: Who<'a>,
    ) -> impl Iterator<Item = (Whose<'a>, &'a Bucket, usize)> {
        let place = kind.place();
        let network = network_of(who.client, self.prefixes);
        [
            Some((Whose::Everybody, &self.everybody)),
            Some((Whose::Client(host_of(who.client)), &self.client)),
            Some((Whose::Network(network), &self.network)),
            who.login.map(|login| (Whose::Login(login), &self.login)),
        ]
        .into_iter()
        .flatten()
        .filter_map(move |(whose, buckets)| Some((whose, buckets.get(place)?.as_ref()?, place)))
    }

    fn nanos_at(&self, now: Instant) -> u64 {
        // From 1 on: 0 is what never was.
        nanos(now.saturating_duration_since(self.epoch)).saturating_add(1)
    }
}

fn full_at(meter: &Meter, place: usize) -> u64 {
    meter.full_at.get(place).copied().unwrap_or_default()
}

fn words(kind: Kind, whose: Whose<'_>, bucket: &Bucket, wait: Duration) -> String {
    let whose = match whose {
        Whose::Everybody => "this listener".to_owned(),
        Whose::Client(address) => format!("client {address}"),
        Whose::Network(address) => format!("the network of {address}"),
        Whose::Login(login) => format!("the account {login}"),
    };
    let (name, rate) = (kind.name(), &bucket.words);
    format!("Too many {name} for {whose}, {rate} at most, come back in {} seconds", seconds(wait))
}

/// Whole seconds, at least one.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use units::Clock;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn meters(clock: &Clock, turn: impl FnOnce(&mut RateLimits, &mut Defence)) -> Meters {
        let (mut limits, mut defence) = (RateLimits::default(), Defence::default());
        turn(&mut limits, &mut defence);
        Meters::new(&limits, &defence, clock.now()).unwrap()
    }

    #[test]
    fn nothing_set_is_nothing_kept() {
        let now = Clock::manual(0).now();
        assert!(Meters::new(&RateLimits::default(), &Defence::default(), now).is_none());
    }

    #[test]
    fn a_client_may_do_so_much_at_once_and_then_as_time_goes() {
        let clock = Clock::manual(0);
        let meters = meters(&clock, |limits, _| {
            limits.client.messages = Some("3/1m".parse().unwrap());
        });
        let take = |client: &str| meters.take(Kind::Messages, ip(client).into(), clock.now());
        for _ in 0..3 {
            take("192.0.2.1").unwrap();
        }
        let (limit, reply) = take("192.0.2.1").unwrap_err();
        assert_eq!(limit, Limit::MessageRate);
        assert_eq!(
            reply.to_string(),
            "450 4.7.1 Too many messages for client 192.0.2.1, 3/1m at most, come back in 20 seconds"
        );
        take("192.0.2.2").unwrap();
        take("::ffff:192.0.2.1").unwrap_err();
        clock.advance(Duration::from_secs(20));
        take("192.0.2.1").unwrap();
        take("192.0.2.1").unwrap_err();
        clock.advance(Duration::from_mins(10));
        for _ in 0..3 {
            take("192.0.2.1").unwrap();
        }
        take("192.0.2.1").unwrap_err();
        // Other kinds are not limited.
        meters.take(Kind::Connections, ip("192.0.2.1").into(), clock.now()).unwrap();
    }

    #[test]
    fn networks_and_the_listener_have_rates_of_their_own() {
        let clock = Clock::manual(0);
        let meters = meters(&clock, |limits, _| {
            limits.network.connections = Some("2/1h".parse().unwrap());
            limits.listener.connections = Some("4/1h".parse().unwrap());
        });
        let take = |client: &str| {
            let taken = meters.take(Kind::Connections, ip(client).into(), clock.now());
            taken.map_err(|(_, reply)| reply.to_string())
        };
        take("192.0.2.1").unwrap();
        take("192.0.2.2").unwrap();
        let words = take("192.0.2.3").unwrap_err();
        assert!(
            words.starts_with("421 4.7.0 Too many connections for the network of 192.0.2.0, 2/1h")
        );
        // What is refused by one limit counts against none.
        take("2001:db8:0:1::1").unwrap();
        take("2001:db8:0:2::1").unwrap();
        let words = take("198.51.100.1").unwrap_err();
        assert!(words.contains("for this listener, 4/1h"), "{words}");
    }

    /// An account has its rate wherever its clients are, and clients have theirs whoever they log in as.
    #[test]
    fn accounts_have_rates_of_their_own() {
        let clock = Clock::manual(0);
        let meters = meters(&clock, |limits, _| {
            limits.login.messages = Some("2/1h".parse().unwrap());
            limits.client.messages = Some("3/1h".parse().unwrap());
        });
        let take = |client: &str, login: Option<&str>| {
            let taken = meters.take(Kind::Messages, Who { client: ip(client), login }, clock.now());
            taken.map_err(|(_, reply)| reply.to_string())
        };
        take("192.0.2.1", Some("ana")).unwrap();
        take("192.0.2.2", Some("ana")).unwrap();
        let words = take("192.0.2.3", Some("ana")).unwrap_err();
        assert!(words.starts_with("450 4.7.1 Too many messages for the account ana, 2/1h at most"));
        take("192.0.2.1", Some("bo")).unwrap();
        take("192.0.2.1", None).unwrap();
        let words = take("192.0.2.1", Some("bo")).unwrap_err();
        assert!(words.contains("for client 192.0.2.1"), "{words}");
    }

    /// A kind that is not limited is not even looked up.
    #[test]
    fn what_is_not_limited_waits_for_nobody() {
        let clock = Clock::manual(0);
        let meters = meters(&clock, |limits, _| {
            limits.client.messages = Some("1/1h".parse().unwrap());
        });
        let _held = meters.table.lock();
        meters.take(Kind::Recipients, ip("192.0.2.1").into(), clock.now()).unwrap();
        meters.took_octets(ip("192.0.2.1").into(), 9, clock.now());
    }

    /// A message may be larger than what is left; the next one waits for it.
    #[test]
    fn octets_are_counted_when_they_have_come() {
        let clock = Clock::manual(0);
        let meters = meters(&clock, |limits, _| {
            limits.client.octets = Some("1MiB/1h".parse().unwrap());
        });
        let client = ip("2001:db8::1");
        let take = |client: IpAddr| {
            meters.take(Kind::Octets, client.into(), clock.now()).map_err(|it| it.1)
        };
        take(client).unwrap();
        meters.took_octets(client.into(), 3 << 20, clock.now());
        let words = take(ip("2001:db8::2")).unwrap_err().to_string();
        assert!(words.starts_with("450 4.7.1 Too many octets for client 2001:db8::, 1MiB/1h"));
        clock.advance(Duration::from_mins(119));
        take(client).unwrap_err();
        clock.advance(Duration::from_mins(2));
        take(client).unwrap();
    }

    #[test]
    fn a_client_that_is_refused_too_often_is_banned_for_a_time() {
        let clock = Clock::manual(0);
        let meters = meters(&clock, |_, defence| {
            defence.ban_after = Some("3/1m".parse().unwrap());
            defence.ban_time = units::Span::minutes(5);
        });
        let client = ip("192.0.2.1");
        for _ in 0..3 {
            assert!(!meters.refused(client, clock.now()));
        }
        assert!(meters.ban(client, clock.now()).is_none());
        assert!(meters.refused(client, clock.now()));
        assert!(!meters.refused(client, clock.now()), "it is told once");
        let (limit, reply) = meters.ban(client, clock.now()).unwrap();
        assert_eq!(limit, Limit::Ban);
        assert!(reply.to_string().ends_with("come back in 300 seconds"), "{reply}");
        assert!(meters.ban(ip("192.0.2.2"), clock.now()).is_none());
        clock.advance(Duration::from_secs(301));
        assert!(meters.ban(client, clock.now()).is_none());
        // Refusals far apart are forgotten.
        for _ in 0..20 {
            assert!(!meters.refused(client, clock.now()));
            clock.advance(Duration::from_secs(21));
        }
    }

    #[test]
    fn an_entry_is_as_small_as_the_settings_say() {
        assert_eq!(size_of::<Meter>() + size_of::<u64>(), 56);
    }
}
