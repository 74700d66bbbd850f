//! The resolver.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use mail::Domain;
use telemetry::Registry;

use crate::config::{Config, Families};
use crate::error::{LookupError, OpenError};
use crate::metrics::Metrics;
use crate::name;
use crate::order::{Dice, by_turns};

/// More hosts or addresses than these are not looked at: an answer comes from an enemy.
const EXCHANGERS_MAX: usize = 32;
const ADDRESSES_MAX: usize = 16;
/// A "no" is not kept long, so that a mended zone is seen soon.
const NO_AGE_MAX: Duration = Duration::from_mins(5);
/// Questions under way over one TCP connection to a server.
const QUESTIONS_MAX: usize = 512;

/// A host that takes mail for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanger {
    /// Lower is better.
    pub preference: u16,
    /// Its name in A-labels without a final dot, or an IP address if the domain is a literal; what
    /// [`Resolver::addresses`] takes.
    pub host: Box<str>,
}

/// Answers what SMTP asks of the DNS. Cheap to clone; clones share one cache.
#[derive(Clone)]
pub struct Resolver {
    hickory: TokioResolver,
    families: Families,
    dice: Arc<Dice>,
    metrics: Metrics,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Resolver")
    }
}

/// A resolver as the settings want it, with a cache of its own: for libraries that ask for more than mail hosts.
pub fn hickory(config: &Config) -> Result<TokioResolver, OpenError> {
    let mut builder = if config.servers.is_empty() {
        TokioResolver::builder_tokio()
            .map_err(|error| OpenError::System(error.to_string().into()))?
    } else {
        let servers = config.servers.iter().copied().map(server).collect();
        TokioResolver::builder_with_config(
            ResolverConfig::from_parts(None, Vec::new(), servers),
            TokioRuntimeProvider::default(),
        )
    };
    let options = builder.options_mut();
    options.timeout = config.answer_wait_max.as_duration();
    options.attempts = usize::from(config.tries_max.max(1));
    options.cache_size = u64::from(config.answers_max);
    options.positive_max_ttl = Some(config.answer_age_max.as_duration());
    options.negative_max_ttl = Some(NO_AGE_MAX.min(config.answer_age_max.as_duration()));
    options.max_active_requests = QUESTIONS_MAX;
    // Both kinds are asked for one by one below; this only concerns hickory's own helper.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build().map_err(|error| OpenError::Setup(error.to_string().into()))
}

impl Resolver {
    /// Sets up the resolver; `seed` decides the order among equals.
    pub fn open(config: &Config, seed: u64, registry: &Registry) -> Result<Self, OpenError> {
        let hickory = hickory(config)?;
        Ok(Self {
            hickory,
            families: config.families,
            dice: Arc::new(Dice::new(seed)),
            metrics: Metrics::register(registry),
        })
    }

    /// The hosts that take mail for `domain`, best first, at least one; equal preferences in any order.
    ///
    /// A domain without MX is its own exchanger (implicit MX); a literal is its own host without any look-up.
    /// RFC 5321 §5.1, RFC 7505.
    pub async fn exchangers(&self, domain: &Domain) -> Result<Vec<Exchanger>, LookupError> {
        if let Some(address) = domain.literal() {
            return Ok(vec![Exchanger { preference: 0, host: address.to_string().into() }]);
        }
        let result = self.look_up_exchangers(domain.as_str()).await;
        self.metrics.looked_up(&result);
        result
    }

    async fn look_up_exchangers(&self, domain: &str) -> Result<Vec<Exchanger>, LookupError> {
        let name = name::a_labels(domain)?;
        let records = match self.records(&name, RecordType::MX, "MX").await {
            Ok(records) => records,
            Err(LookupError::NoAddress(_)) => {
                return Ok(vec![Exchanger { preference: 0, host: name }]);
            }
            Err(error) => return Err(error),
        };
        let exchanges: Vec<_> = records
            .iter()
            .filter_map(|data| if let RData::MX(mx) = data { Some(mx) } else { None })
            .collect();
        // RFC 7505 §3: the root says no; beside real hosts it says nothing.
        if !exchanges.is_empty() && exchanges.iter().all(|mx| mx.exchange.is_root()) {
            return Err(LookupError::NullMx(name));
        }
        let mut hosts: Vec<_> = exchanges
            .iter()
            .filter_map(|mx| {
                let host = name::host(&mx.exchange)?;
                Some(Exchanger { preference: mx.preference, host })
            })
            .collect();
        if hosts.is_empty() {
            // MX records are there, so the domain itself must not be taken (RFC 5321 §5.1).
            return Err(LookupError::NoAddress(name));
        }
        self.dice.sort_by_rank(&mut hosts, |host| host.preference);
        hosts.truncate(EXCHANGERS_MAX);
        Ok(hosts)
    }

    /// What a list of addresses in the DNS answers for `name`; nothing if it is not listed (RFC 5782 §2.1).
    pub async fn listing(&self, name: &str) -> Result<Vec<Ipv4Addr>, LookupError> {
        let name = name::a_labels(name)?;
        let records = match self.records(&name, RecordType::A, "A").await {
            Ok(records) => records,
            Err(LookupError::NoAddress(_) | LookupError::NoDomain(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let answers = records.iter().filter_map(|data| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        });
        Ok(answers.take(ADDRESSES_MAX).collect())
    }

    /// The addresses of `host` in the order to try them, at least one; an IP address is its own.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let result = self.look_up_addresses(host).await;
        self.metrics.looked_up(&result);
        result
    }

    async fn look_up_addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let name = name::a_labels(host)?;
        let (six, four) = match self.families {
            Families::Both => {
                tokio::join!(
                    self.family(&name, RecordType::AAAA),
                    self.family(&name, RecordType::A)
                )
            }
            Families::Ipv4 => (Ok(Vec::new()), self.family(&name, RecordType::A).await),
            Families::Ipv6 => (self.family(&name, RecordType::AAAA).await, Ok(Vec::new())),
        };
        let (six, four) = match (six, four) {
            (Ok(six), Ok(four)) => (six, four),
            // One family is enough to go on with.
            (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => (found, Vec::new()),
            // A failed look-up is not a no.
            (Err(error), _) if error.is_temporary() => return Err(error),
            (_, Err(error)) | (Err(error), _) => return Err(error),
        };
        let mut addresses = by_turns(six, four);
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() { Err(LookupError::NoAddress(name)) } else { Ok(addresses) }
    }

    /// The addresses of one family, in any order; empty if the name has none.
    async fn family(&self, name: &str, kind: RecordType) -> Result<Vec<IpAddr>, LookupError> {
        let record = if kind == RecordType::A { "A" } else { "AAAA" };
        let records = match self.records(name, kind, record).await {
            Err(LookupError::NoAddress(_)) => Vec::new(),
            records => records?,
        };
        let mut addresses: Vec<_> = records
            .iter()
            .filter_map(|data| match data {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            })
            .collect();
        self.dice.sort_by_rank(&mut addresses, |_| 0);
        Ok(addresses)
    }

    /// The records of one kind, never empty; [`LookupError::NoAddress`] means that there is none of the kind.
    async fn records(
        &self,
        name: &str,
        kind: RecordType,
        record: &'static str,
    ) -> Result<Vec<RData>, LookupError> {
        let answer = self.hickory.lookup(name::absolute(name)?, kind).await;
        let none = || LookupError::NoAddress(name.into());
        match answer {
            Ok(lookup) => {
                let records: Vec<_> = lookup
                    .answers()
                    .iter()
                    .filter(|record| record.record_type() == kind)
                    .map(|record| record.data.clone())
                    .collect();
                if records.is_empty() { Err(none()) } else { Ok(records) }
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(answer))) => match answer.response_code {
                ResponseCode::NXDomain => Err(LookupError::NoDomain(name.into())),
                ResponseCode::NoError => Err(none()),
                code => Err(temporary(name, record, code.to_str())),
            },
            Err(NetError::Dns(DnsError::ResponseCode(code))) => {
                Err(temporary(name, record, code.to_str()))
            }
            Err(NetError::Timeout) => {
                Err(temporary(name, record, "no DNS server answered in time"))
            }
            Err(error) => Err(temporary(name, record, &error.to_string())),
        }
    }
}

fn temporary(name: &str, record: &'static str, reason: &str) -> LookupError {
    let reason = reason.replace(char::is_control, "?").into_boxed_str();
    LookupError::Temporary { name: name.into(), record, reason }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    // The operator named it, so its "no" counts.
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}
