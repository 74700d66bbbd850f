//! Mail exchangers, and the names of the addresses that mail leaves from.

use std::net::IpAddr;

use super::check::{Check, Grade, Party};
use super::relay::Relay;
use crate::dns::{Dns, LookupError};

/// Exchangers that are looked at.
const EXCHANGERS_MAX: usize = 10;

/// Whether replies and bounces can reach the domain (RFC 5321 §5.1, RFC 7505).
pub(super) async fn exchangers(dns: &Dns, relay: &Relay, domain: &str) -> Check {
    let name = "MX";
    let party = relay.party(domain);
    let hosts = match dns.exchangers(domain).await {
        Ok(hosts) => hosts,
        Err(LookupError::NoName(_)) => {
            return Check::new(name, Grade::Fail, format!("{domain} does not exist"))
                .tell(party, "register the domain, or correct its name");
        }
        Err(LookupError::NoRecord { .. }) => return without(dns, relay, domain).await,
        Err(error) => return Check::unknown(name, &error),
    };
    if hosts.iter().all(|(_, host)| host == ".") {
        let found = format!("{domain} says that it takes no mail, so replies and bounces are lost");
        return Check::new(name, Grade::Warn, found)
            .tell(party, "publish MX records of the hosts that take mail for the domain");
    }
    let mut lost = Vec::new();
    for (_, host) in hosts.iter().take(EXCHANGERS_MAX) {
        match has_address(dns, host).await {
            Ok(true) => {}
            Ok(false) => lost.push(host.as_str()),
            Err(error) => return Check::unknown(name, &error),
        }
    }
    let all: Vec<_> = hosts.iter().map(|(rank, host)| format!("{rank} {host}")).collect();
    let check = |grade, found| Check::new(name, grade, found);
    if lost.is_empty() {
        return check(Grade::Pass, all.join(", "));
    }
    let grade = if lost.len() == hosts.len() { Grade::Fail } else { Grade::Warn };
    check(grade, format!("without an address: {}", lost.join(", ")))
        .tell(party, "give these hosts A or AAAA records, or take them out of MX")
}

async fn without(dns: &Dns, relay: &Relay, domain: &str) -> Check {
    let party = relay.party(domain);
    match has_address(dns, domain).await {
        Ok(true) => {
            Check::new("MX", Grade::Warn, "no MX record; mail goes to the domain's own address")
                .tell(party, "publish an MX record, so that it is clear that mail is wanted there")
        }
        Ok(false) => Check::new(
            "MX",
            Grade::Fail,
            "no MX record and no address; replies and bounces are lost",
        )
        .tell(party, "publish MX records of the hosts that take mail for the domain"),
        Err(error) => Check::unknown("MX", &error),
    }
}

async fn has_address(dns: &Dns, host: &str) -> Result<bool, LookupError> {
    let (four, six) = tokio::join!(dns.addresses_v4(host), dns.addresses_v6(host));
    match (four, six) {
        (Ok(_), _) | (_, Ok(_)) => Ok(true),
        (Err(error), _) | (_, Err(error)) if error.is_temporary() => Err(error),
        _ => Ok(false),
    }
}

/// One check per address that mail leaves from.
pub(super) async fn sources(dns: &Dns, relay: &Relay) -> Vec<Check> {
    let mut checks = Vec::with_capacity(relay.sources.len());
    for address in &relay.sources {
        checks.push(source(dns, &relay.helo, *address).await);
    }
    checks
}

/// Whether an address, its name and the name in EHLO point at each other.
async fn source(dns: &Dns, helo: &str, address: IpAddr) -> Check {
    let title = format!("PTR {address}");
    let fail = |found: String| {
        Check::new(&title, Grade::Fail, found).tell(
            Party::Operator,
            format!("have whoever gave you the address set its PTR record to {helo}, and give {helo} the address {address}"),
        )
    };
    let names = match dns.names(address).await {
        Ok(names) => names,
        Err(error) if error.is_temporary() => return Check::unknown(&title, &error),
        Err(_) => return fail(format!("{address} has no name; large providers refuse its mail")),
    };
    let mut confirmed = Vec::new();
    for name in names.iter().take(EXCHANGERS_MAX) {
        match dns.addresses_like(name, address).await {
            Ok(addresses) if addresses.contains(&address) => confirmed.push(name.as_str()),
            Err(error) if error.is_temporary() => return Check::unknown(&title, &error),
            _ => {}
        }
    }
    if confirmed.iter().any(|name| name.eq_ignore_ascii_case(helo)) {
        Check::new(&title, Grade::Pass, format!("{address} and {helo} point at each other"))
    } else if let Some(name) = confirmed.first() {
        let found = format!("{address} is {name}, but the relay says {helo} in EHLO");
        Check::new(&title, Grade::Warn, found)
            .tell(Party::Operator, format!("set `hostname` to {name}, or the PTR record to {helo}"))
    } else {
        fail(format!("{address} has the name {}, which does not point back", names.join(", ")))
    }
}
