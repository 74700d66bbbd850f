//! How much TLS is asked of one host; with DANE its TLSA records decide (RFC 7672).

use std::sync::Arc;

use policy::config::TlsLevel;
use resolver::{LookupError, Pins, Resolver, Tlsa};
use tls::dane::{Dane, Record};

/// How a host was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It stands in the settings.
    Named,
    /// As an exchanger of a domain, and DNSSEC vouches for that.
    Vouched(Arc<str>),
    /// As an exchanger of a domain.
    Unvouched,
}

impl Found {
    /// Looks up the TLSA records of a host that was found so.
    ///
    /// # Errors
    /// When that fails: nothing may be sent to the host then (RFC 7672 §2.1.2).
    pub(crate) async fn standing(
        &self,
        (host, port): (&str, u16),
        resolver: &Resolver,
    ) -> Result<Standing, LookupError> {
        if *self == Self::Unvouched {
            return Ok(Standing::InsecureMx);
        }
        Ok(match resolver.pins(host, port).await? {
            Pins::Insecure => Standing::Insecure,
            Pins::None => Standing::NoRecords,
            Pins::Records { base, records } => {
                let records: Vec<_> = records.into_iter().map(record).collect();
                // The name before the alias, and the domain whose mail it is (RFC 7672 §3.2.2).
                let mut names = vec![host];
                if let Self::Vouched(domain) = self {
                    names.push(domain);
                }
                names.retain(|name| *name != &*base);
                let dane = Dane::new(&records, &base, &names);
                dane.map_or(Standing::Unusable, |dane| Standing::Usable(Arc::new(dane)))
            }
        })
    }
}

/// How much TLS is asked of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    None,
    /// Clear text will do.
    Opportunistic,
    /// Any certificate will do.
    Encrypt,
    Verify,
    /// The certificate must match.
    Dane(Arc<Dane>),
}

/// What is known of a host's TLSA records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// DNSSEC does not vouch for the MX record that names the host.
    InsecureMx,
    /// Nor for its addresses.
    Insecure,
    /// There are none.
    NoRecords,
    /// None of them can match anything.
    Unusable,
    /// Some can.
    Usable(Arc<Dane>),
}

fn record(found: Tlsa) -> Record {
    let Tlsa { usage, selector, matching, data } = found;
    Record { usage, selector, matching, data }
}

impl Demand {
    /// What a connector asks of every host that has no TLSA records, or of which nobody asks for them.
    pub(crate) const fn of(level: TlsLevel) -> Self {
        match level {
            TlsLevel::None => Self::None,
            TlsLevel::Opportunistic | TlsLevel::Dane => Self::Opportunistic,
            TlsLevel::Encrypt | TlsLevel::DaneOnly => Self::Encrypt,
            TlsLevel::Verify => Self::Verify,
        }
    }

    /// What a connector with DANE asks of a host of which that is known.
    ///
    /// # Errors
    /// Why the host must not be used, in words.
    pub(crate) fn by(level: TlsLevel, standing: &Standing) -> Result<Self, &'static str> {
        match standing {
            Standing::Usable(dane) => Ok(Self::Dane(Arc::clone(dane))),
            _ if level == TlsLevel::DaneOnly => Err(standing.words()),
            // RFC 7672 §2.2: TLS is announced, only not whose it is.
            Standing::Unusable => Ok(Self::Encrypt),
            _ => Ok(Self::of(level)),
        }
    }
}

impl Standing {
    /// For operators.
    pub(crate) const fn words(&self) -> &'static str {
        match self {
            Self::InsecureMx => "DNSSEC does not vouch for its MX record, so no TLSA records count",
            Self::Insecure => "DNSSEC does not vouch for its address, so no TLSA records count",
            Self::NoRecords => "has no TLSA records that DNSSEC vouches for",
            Self::Unusable => "has TLSA records, but none that can be used for SMTP",
            Self::Usable(_) => "has TLSA records",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_decide_and_without_them_the_level() {
        let records = [Record { usage: 3, selector: 1, matching: 1, data: [0; 32].into() }];
        let dane = Arc::new(Dane::new(&records, "mx.example", &[]).unwrap());
        let none = [Standing::InsecureMx, Standing::Insecure, Standing::NoRecords];
        for standing in none {
            assert_eq!(Demand::by(TlsLevel::Dane, &standing), Ok(Demand::Opportunistic));
            assert!(Demand::by(TlsLevel::DaneOnly, &standing).is_err(), "{standing:?}");
        }
        assert_eq!(Demand::by(TlsLevel::Dane, &Standing::Unusable), Ok(Demand::Encrypt));
        assert!(Demand::by(TlsLevel::DaneOnly, &Standing::Unusable).is_err());
        for level in [TlsLevel::Dane, TlsLevel::DaneOnly] {
            let standing = Standing::Usable(Arc::clone(&dane));
            assert_eq!(Demand::by(level, &standing), Ok(Demand::Dane(Arc::clone(&dane))));
        }
    }
}
