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
    // All at once, so that a DNS that does not answer is waited for once.
    let dmarc = async {
        let policy = crate::dmarc::policy(dns, &name).await;
        (policies::dmarc(relay, &name, &policy), policies::bimi(dns, &name, &policy).await)
    };
    let (exchangers, sources, spf, dkim, (dmarc, bimi), mta_sts, tls_reports) = tokio::join!(
        hosts::exchangers(dns, relay, &name),
        hosts::sources(dns, relay),
        spf::check(dns, relay, &name),
        dkim::check(dns, relay, &name),
        dmarc,
        policies::mta_sts(dns, relay, &name, sts_policy),
        policies::tls_reports(dns, relay, &name),
    );
    let mut checks = vec![exchangers];
    checks.extend(sources);
    checks.push(spf);
    checks.extend(dkim);
    checks.extend([dmarc, mta_sts, tls_reports, bimi]);
    Report { domain: name, checks }
}
