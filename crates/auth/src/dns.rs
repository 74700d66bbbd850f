//! What the DNS says, with "there is none" and "could not find out" kept apart.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

/// More records than these of one answer are not looked at: an answer comes from an enemy.
const RECORDS_MAX: usize = 64;

/// Why a look-up has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The name does not exist.
    #[error("{0} does not exist")]
    NoName(String),
    /// The name exists without such a record.
    #[error("{name} has no {record} record")]
    NoRecord {
        /// What was asked for.
        name: String,
        /// The kind of record.
        record: &'static str,
    },
    /// No name that the DNS could know.
    #[error("`{0}` is no name of the DNS")]
    BadName(String),
    /// The DNS did not answer; the same question may have an answer later.
    #[error("{record} of {name} could not be looked up: {reason}")]
    Temporary {
        /// What was asked for.
        name: String,
        /// The kind of record.
        record: &'static str,
        /// What went wrong.
        reason: String,
    },
}

impl LookupError {
    /// Whether the same question may have an answer later.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary { .. })
    }
}

/// Asks the DNS. Cheap to clone.
#[derive(Clone)]
pub struct Dns(TokioResolver);

impl std::fmt::Debug for Dns {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Dns")
    }
}

impl Dns {
    /// Asks by `resolver`, and shares its cache and its limits on time.
    pub const fn new(resolver: TokioResolver) -> Self {
        Self(resolver)
    }

    pub(crate) fn resolver(&self) -> TokioResolver {
        self.0.clone()
    }

    /// The texts of `name`, each with its strings put together, at least one.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, LookupError> {
        let records = self.records(name, RecordType::TXT, "TXT").await?;
        let text = |data| match data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        };
        Ok(records.into_iter().filter_map(text).collect())
    }

    /// The mail exchangers of `name`, best first, at least one; `.` is a null MX (RFC 7505).
    pub async fn exchangers(&self, name: &str) -> Result<Vec<(u16, String)>, LookupError> {
        let records = self.records(name, RecordType::MX, "MX").await?;
        let exchanger = |data| match data {
            RData::MX(mx) => Some((mx.preference, host(&mx.exchange))),
            _ => None,
        };
        let mut exchangers: Vec<_> = records.into_iter().filter_map(exchanger).collect();
        exchangers.sort();
        Ok(exchangers)
    }

    /// The IPv4 addresses of `name`, at least one.
    pub async fn addresses_v4(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let records = self.records(name, RecordType::A, "A").await?;
        Ok(records.iter().filter_map(address).collect())
    }

    /// The IPv6 addresses of `name`, at least one.
    pub async fn addresses_v6(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let records = self.records(name, RecordType::AAAA, "AAAA").await?;
        Ok(records.iter().filter_map(address).collect())
    }

    /// The addresses of `name` of the family that `like` is of.
    pub async fn addresses_like(
        &self,
        name: &str,
        like: IpAddr,
    ) -> Result<Vec<IpAddr>, LookupError> {
        match like {
            IpAddr::V4(_) => self.addresses_v4(name).await,
            IpAddr::V6(_) => self.addresses_v6(name).await,
        }
    }

    /// The names that `address` points back to, at least one.
    pub async fn names(&self, address: IpAddr) -> Result<Vec<String>, LookupError> {
        let reverse = Name::from(address);
        let shown = host(&reverse);
        let records = self.ask(reverse, &shown, RecordType::PTR, "PTR").await?;
        let name = |data| match data {
            RData::PTR(name) => Some(host(&name)),
            _ => None,
        };
        Ok(records.into_iter().filter_map(name).collect())
    }

    async fn records(
        &self,
        name: &str,
        kind: RecordType,
        record: &'static str,
    ) -> Result<Vec<RData>, LookupError> {
        let bad = || LookupError::BadName(name.to_owned());
        let ascii = a_labels(name).ok_or_else(bad)?;
        let absolute = Name::from_ascii(format!("{ascii}.")).map_err(|_| bad())?;
        self.ask(absolute, &ascii, kind, record).await
    }

    async fn ask(
        &self,
        absolute: Name,
        name: &str,
        kind: RecordType,
        record: &'static str,
    ) -> Result<Vec<RData>, LookupError> {
        let none = || LookupError::NoRecord { name: name.to_owned(), record };
        let temporary = |reason: String| {
            let reason = reason.replace(char::is_control, "?");
            LookupError::Temporary { name: name.to_owned(), record, reason }
        };
        match self.0.lookup(absolute, kind).await {
            Ok(lookup) => {
                let of_kind = lookup.answers().iter().filter(|it| it.record_type() == kind);
                let records: Vec<_> = of_kind.take(RECORDS_MAX).map(|it| it.data.clone()).collect();
                if records.is_empty() { Err(none()) } else { Ok(records) }
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(answer))) => match answer.response_code {
                ResponseCode::NXDomain => Err(LookupError::NoName(name.to_owned())),
                ResponseCode::NoError => Err(none()),
                code => Err(temporary(code.to_str().to_owned())),
            },
            Err(NetError::Dns(DnsError::ResponseCode(code))) => {
                Err(temporary(code.to_str().to_owned()))
            }
            Err(NetError::Timeout) => Err(temporary("no DNS server answered in time".to_owned())),
            Err(error) => Err(temporary(error.to_string())),
        }
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

/// A name in lower case without its final dot; the root is `.`.
fn host(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    match text.strip_suffix('.') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => text,
    }
}

/// `text` in A-labels and lower case, without its final dot; none if it is no name (RFC 5890 §2.3.2.1).
pub(crate) fn a_labels(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(text).ok()?
    };
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_allowed);
    (name.len() <= 253 && name.split('.').all(is_label)).then_some(name)
}

/// Whether `name` is `parent` or lies below it. Both in lower case.
pub(crate) fn is_within(name: &str, parent: &str) -> bool {
    name == parent || name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}
