//! What a domain's owner has to publish so that mail through this relay is trusted, held against what is published.

mod check;
mod dkim;
mod hosts;
mod policies;
mod relay;
mod senders;
mod spf;

use crate::dns::{Dns, a_labels};

pub use check::{Advice, Check, Grade, Party, Report};
pub use relay::Relay;
pub use senders::unsafe_sender;
pub use spf::{Count, count};

/// Looks at all that concerns mail of `domain`, in the order in which it is best mended.
///
/// `sts_policy` is the text of `https://mta-sts.<domain>/.well-known/mta-sts.txt`, if the caller fetched one
/// (RFC 8461 §3.2). Every look-up is within the resolver's limits on time.
pub async fn examine(dns: &Dns, relay: &Relay, domain: &str, sts_policy: Option<&str>) -> Report {
    let Some(name) = a_labels(domain).filter(|name| name.contains('.')) else {
        let check = Check::new("domain", Grade::Fail, format!("`{domain}` is no domain"));
        return Report { domain: domain.to_owned(), checks: vec![check] };
    };
    let mut checks = vec![hosts::exchangers(dns, relay, &name).await];
    checks.extend(hosts::sources(dns, relay).await);
    checks.push(spf::check(dns, relay, &name).await);
    checks.extend(dkim::check(dns, relay, &name).await);
    let dmarc = crate::dmarc::policy(dns, &name).await;
    checks.push(policies::dmarc(relay, &name, &dmarc));
    checks.push(policies::mta_sts(dns, relay, &name, sts_policy).await);
    checks.push(policies::tls_reports(dns, relay, &name).await);
    checks.push(policies::bimi(dns, &name, &dmarc).await);
    Report { domain: name, checks }
}
