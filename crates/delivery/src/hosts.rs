//! Which hosts of a destination are tried, in which order.

use std::net::SocketAddr;
use std::path::Path;

use mail::{Destination, Domain, EnhancedStatus, Reply};
use policy::config::{OutboundConnector, SmartHost};
use resolver::{Dice, Exchanger, LookupError, Resolver};

use crate::address::Address;
use crate::dane::{Found, Standing};
use crate::means::Means;
use crate::words::{LOOK_UP, later, never};

/// A host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// A name or an address.
    pub(crate) name: Box<str>,
    /// Its port.
    pub(crate) port: u16,
    /// How it was found, as far as that matters for DANE.
    pub(crate) found: Found,
}

impl Host {
    /// Where it listens.
    pub(crate) async fn addresses(&self, resolver: &Resolver) -> Result<Vec<Address>, LookupError> {
        if let Some(path) = self.name.strip_prefix(SmartHost::UNIX) {
            return Ok(vec![Address::Unix(Path::new(path).into())]);
        }
        let found = resolver.addresses(&self.name).await?;
        let tcp = |ip| Address::Tcp(SocketAddr::new(ip, self.port));
        Ok(found.into_iter().map(tcp).collect())
    }

    /// What is known of its TLSA records.
    ///
    /// # Errors
    /// As [`Found::standing`].
    pub(crate) async fn standing(&self, resolver: &Resolver) -> Result<Standing, LookupError> {
        self.found.standing((&self.name, self.port), resolver).await
    }
}

/// Why there is no host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoHost {
    /// There will be none: the recipients fail.
    Never(Reply),
    /// Perhaps later.
    Later(Reply),
}

/// The hosts of `destination` in the order to try them, at least one.
pub(crate) async fn hosts(
    destination: &Destination,
    connector: &OutboundConnector,
    means: &Means,
) -> Result<Vec<Host>, NoHost> {
    let Some(domain) = destination.domain() else {
        return Ok(smart_hosts(&connector.smart_hosts, &means.dice));
    };
    // Only where it matters: who vouches for an answer is kept apart.
    let found = if connector.tls.is_dane() {
        means.resolver.vouched_exchangers(domain).await.map(|vouched| {
            let vouches = || Found::Vouched(domain.as_str().into());
            (vouched.found, if vouched.is_secure { vouches() } else { Found::Unvouched })
        })
    } else {
        means.resolver.exchangers(domain).await.map(|exchangers| (exchangers, Found::Unvouched))
    };
    let (exchangers, found) = found.map_err(|error| no_host(&error))?;
    let exchangers = better_than_us(domain, exchangers, &means.hostname)?;
    let host = |exchanger: Exchanger| Host {
        name: exchanger.host,
        port: connector.port,
        found: found.clone(),
    };
    Ok(exchangers.into_iter().map(host).collect())
}

/// What a failed look-up means for the mail of a recipient's domain.
pub(crate) fn no_host(error: &LookupError) -> NoHost {
    let words = error.to_string();
    match error {
        LookupError::NullMx(_) => {
            NoHost::Never(never(556, EnhancedStatus::new(5, 1, 10), words)) // RFC 7505 §4.2
        }
        LookupError::NoDomain(_) | LookupError::BadName(_) => {
            NoHost::Never(never(550, EnhancedStatus::new(5, 1, 2), words))
        }
        LookupError::NoAddress(_) => NoHost::Never(never(550, EnhancedStatus::new(5, 4, 4), words)),
        _ => NoHost::Later(later(LOOK_UP, words)),
    }
}

/// Cuts the list where we stand in it ourselves: hosts as good as us or worse would give the mail back
/// (RFC 5321 §5.1).
fn better_than_us(
    domain: &Domain,
    mut exchangers: Vec<Exchanger>,
    hostname: &str,
) -> Result<Vec<Exchanger>, NoHost> {
    let is_us = |exchanger: &&Exchanger| exchanger.host.eq_ignore_ascii_case(hostname);
    if let Some(ours) = exchangers.iter().find(is_us).map(|us| us.preference) {
        exchangers.retain(|exchanger| exchanger.preference < ours);
    }
    if exchangers.is_empty() {
        let words = format!("mail for {domain} loops back to this relay");
        return Err(NoHost::Never(never(554, EnhancedStatus::new(5, 4, 6), words)));
    }
    Ok(exchangers)
}

/// By order; within an order by lot, in proportion to the weights; those of weight 0 last.
fn smart_hosts(hosts: &[SmartHost], dice: &Dice) -> Vec<Host> {
    let mut left: Vec<_> = hosts.iter().collect();
    let mut sorted = Vec::with_capacity(left.len());
    while let Some(order) = left.iter().map(|host| host.order).min() {
        let total: u64 =
            left.iter().filter(|h| h.order == order).map(|h| u64::from(h.weight)).sum();
        // 0 when only hosts of weight 0 are left: the first of them, in the order of the settings.
        let mut lot = dice.roll().checked_rem(total).unwrap_or(0);
        let mut is_drawn = |host: &&SmartHost| {
            let weight = u64::from(host.weight);
            let is_drawn = host.order == order && (total == 0 || lot < weight);
            if host.order == order && !is_drawn {
                lot -= weight;
            }
            is_drawn
        };
        let Some(place) = left.iter().position(&mut is_drawn) else { break };
        let host = left.remove(place);
        let name = host.host.as_str().into();
        sorted.push(Host { name, port: host.port, found: Found::Named });
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smart(host: &str, order: u16, weight: u16) -> SmartHost {
        SmartHost { host: host.to_owned(), port: 25, order, weight }
    }

    #[test]
    fn orders_follow_and_weights_share() {
        let hosts =
            [smart("backup", 20, 5), smart("a", 10, 3), smart("b", 10, 1), smart("spare", 10, 0)];
        let dice = Dice::new(3);
        let mut a_first = 0;
        for _ in 0..4000 {
            let sorted = smart_hosts(&hosts, &dice);
            let names: Vec<_> = sorted.iter().map(|host| &*host.name).collect();
            assert_eq!(names[2..], ["spare", "backup"]);
            a_first += u32::from(names[0] == "a");
        }
        assert!((2850..3150).contains(&a_first), "{a_first} of 4000");
    }

    #[test]
    fn hosts_without_weight_keep_the_order_of_the_settings() {
        let hosts = [smart("a", 10, 0), smart("b", 10, 0), smart("c", 5, 0)];
        let names: Vec<_> =
            smart_hosts(&hosts, &Dice::new(1)).into_iter().map(|host| host.name).collect();
        assert_eq!(names, ["c".into(), "a".into(), "b".into()]);
    }

    #[test]
    fn a_list_with_us_in_it_is_cut() {
        let domain = Domain::parse("example.com").unwrap();
        let list = |hosts: &[(u16, &str)]| -> Vec<_> {
            let one = |(preference, host): &(u16, &str)| Exchanger {
                preference: *preference,
                host: (*host).into(),
            };
            hosts.iter().map(one).collect()
        };
        let all = list(&[(10, "a"), (20, "us.example"), (20, "b"), (30, "c")]);
        let better = better_than_us(&domain, all.clone(), "US.example").unwrap();
        assert_eq!(better, list(&[(10, "a")]));
        assert_eq!(better_than_us(&domain, all.clone(), "other.example").unwrap(), all);
        let error = better_than_us(&domain, list(&[(5, "us.example"), (9, "b")]), "us.example");
        let Err(NoHost::Never(reply)) = error else { panic!("{error:?}") };
        assert_eq!(reply.to_string(), "554 5.4.6 mail for example.com loops back to this relay");
    }
}
