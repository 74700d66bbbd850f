//! The resolver.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};
use mail::Domain;
use telemetry::Registry;

use crate::config::{Config, Families};
use crate::error::{LookupError, OpenError};
use crate::metrics::Metrics;
use crate::name;
use crate::order::{Dice, by_turns};
use crate::servers::{Setup, hickory};
use crate::vouched::{Answer, Validated, Vouched};

/// More hosts or addresses than these are not looked at: an answer comes from an enemy.
const EXCHANGERS_MAX: usize = 32;
const ADDRESSES_MAX: usize = 16;

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
    /// Servers that are trusted to validate, if there are any.
    validated: Option<Arc<Validated>>,
    families: Families,
    dice: Arc<Dice>,
    metrics: Metrics,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Resolver")
    }
}

impl Resolver {
    /// Sets up the resolver; `seed` decides the order among equals.
    pub fn open(config: &Config, seed: u64, registry: &Registry) -> Result<Self, OpenError> {
        let validated = if config.trusts_dnssec {
            Some(Arc::new(Validated::open(Setup::new(config)?)?))
        } else {
            None
        };
        Ok(Self {
            hickory: hickory(config)?,
            validated,
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
        let looking_up = async {
            let name = name::a_labels(domain.as_str())?;
            let records = self.records(&name, RecordType::MX, "MX").await;
            self.hosts(name, records)
        };
        let result = looking_up.await;
        self.metrics.looked_up(&result);
        result
    }

    /// The same, and whether DNSSEC vouches for them; without servers that are trusted for it, it never does. Where a domain
    /// is its own exchanger its address decides (RFC 7672 §2.2.2), so that counts as secure here.
    pub async fn vouched_exchangers(
        &self,
        domain: &Domain,
    ) -> Result<Vouched<Vec<Exchanger>>, LookupError> {
        let (Some(validated), None) = (&self.validated, domain.literal()) else {
            let found = self.exchangers(domain).await?;
            return Ok(Vouched { found, is_secure: false });
        };
        let mut is_secure = false;
        let looking_up = async {
            let name = name::a_labels(domain.as_str())?;
            let answer = validated.records(&name, RecordType::MX, "MX").await;
            is_secure = match &answer {
                Ok(answer) => answer.is_secure,
                Err(error) => matches!(error, LookupError::NoAddress(_)),
            };
            self.hosts(name, answer.map(|Answer { records, .. }| records))
        };
        let result = looking_up.await;
        self.metrics.looked_up(&result);
        result.map(|found| Vouched { found, is_secure })
    }

    /// Whether there are servers that are trusted to validate.
    pub const fn trusts_dnssec(&self) -> bool {
        self.validated.is_some()
    }

    /// Servers that are trusted to validate.
    pub(crate) fn validated(&self) -> Option<&Validated> {
        self.validated.as_deref()
    }

    /// What the answer to a question for the MX of `name` means.
    fn hosts(
        &self,
        name: Box<str>,
        answer: Result<Vec<RData>, LookupError>,
    ) -> Result<Vec<Exchanger>, LookupError> {
        let records = match answer {
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
            Err(error) => Err(LookupError::of(&error, name, record)),
        }
    }
}
