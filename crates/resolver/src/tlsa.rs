//! What the DNS says that a host's certificate must match (RFC 6698, RFC 7672 §2.2).

use hickory_resolver::proto::rr::{RData, RecordType};

use crate::error::LookupError;
use crate::name;
use crate::resolver::Resolver;
use crate::vouched::{Answer, Validated};

/// More records than these are not looked at.
const RECORDS_MAX: usize = 32;
/// A record that holds a certificate as a whole may be so large.
const DATA_OCTETS_MAX: usize = 16 * 1024;

/// One record, as it stands in the DNS (RFC 6698 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    /// The certificate usage.
    pub usage: u8,
    /// The selector.
    pub selector: u8,
    /// The matching type.
    pub matching: u8,
    /// The certificate association data.
    pub data: Box<[u8]>,
}

/// What is known of a host's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pins {
    /// Records that DNSSEC vouches for.
    Records {
        /// The TLSA base domain: the name that TLS asks for, and that certificates of an authority must show.
        base: Box<str>,
        /// At least one; not all need be usable.
        records: Vec<Tlsa>,
    },
    /// DNSSEC vouches for the host's addresses, and there are no records, or none that it vouches for.
    None,
    /// DNSSEC does not vouch for the host's addresses, or it has no name: records are not asked for (RFC 7672 §2.2.2).
    Insecure,
}

impl Resolver {
    /// What a certificate must match at `port` of `host`.
    ///
    /// The name behind an alias goes before the alias (RFC 7672 §2.2.2).
    ///
    /// # Errors
    /// When it could not be found out whether there is something to match: nothing may be sent to the host then
    /// (RFC 7672 §2.1.2).
    pub async fn pins(&self, host: &str, port: u16) -> Result<Pins, LookupError> {
        let Some(validated) = self.validated() else { return Ok(Pins::Insecure) };
        let Ok(host) = name::a_labels(host) else { return Ok(Pins::Insecure) };
        if host.parse::<std::net::IpAddr>().is_ok() {
            return Ok(Pins::Insecure);
        }
        let Some(behind) = secure_owner(validated, &host).await? else {
            return Ok(Pins::Insecure);
        };
        let mut bases = vec![behind];
        if !bases.contains(&host) {
            bases.push(host);
        }
        for base in bases {
            let asked = format!("_{port}._tcp.{base}");
            let answer = match validated.records(&asked, RecordType::TLSA, "TLSA").await {
                // A name that is too long with what stands before it has none.
                Err(
                    LookupError::NoAddress(_) | LookupError::NoDomain(_) | LookupError::BadName(_),
                ) => continue,
                answer => answer?,
            };
            if answer.is_secure {
                let records = records(&answer);
                return Ok(Pins::Records { base, records });
            }
        }
        Ok(Pins::None)
    }
}

/// The name behind all aliases of `host`, if DNSSEC vouches for its addresses.
async fn secure_owner(validated: &Validated, host: &str) -> Result<Option<Box<str>>, LookupError> {
    for (kind, record) in [(RecordType::A, "A"), (RecordType::AAAA, "AAAA")] {
        match validated.records(host, kind, record).await {
            Ok(Answer { owner, is_secure, .. }) => {
                return Ok(is_secure.then(|| name::host(&owner)).flatten());
            }
            Err(LookupError::NoAddress(_)) => {}
            // It is known otherwise, as by /etc/hosts.
            Err(LookupError::NoDomain(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn records(answer: &Answer) -> Vec<Tlsa> {
    let tlsa = |data: &RData| match data {
        RData::TLSA(tlsa) if tlsa.cert_data.len() <= DATA_OCTETS_MAX => Some(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.as_slice().into(),
        }),
        _ => None,
    };
    answer.records.iter().filter_map(tlsa).take(RECORDS_MAX).collect()
}
