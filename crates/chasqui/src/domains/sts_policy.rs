//! The MTA-STS policy that a domain serves (RFC 8461 §3.3).

use std::net::SocketAddr;
use std::time::Duration;

use auth::Dns;
use reqwest::Client;
use reqwest::redirect::Policy;

/// Larger ones are none.
const OCTETS_MAX: usize = 64 << 10;
const WAIT_MAX: Duration = Duration::from_secs(10);
const HTTPS: u16 = 443;

/// The text, if the DNS announces one and it can be fetched.
pub(super) async fn fetched(dns: &Dns, domain: &str) -> Option<String> {
    dns.texts(&format!("_mta-sts.{domain}")).await.ok()?;
    let host = format!("mta-sts.{domain}");
    let (four, six) = tokio::join!(dns.addresses_v4(&host), dns.addresses_v6(&host));
    let found = four.unwrap_or_default().into_iter().chain(six.unwrap_or_default());
    let addresses: Vec<_> = found.map(|address| SocketAddr::new(address, HTTPS)).collect();
    if addresses.is_empty() {
        return None;
    }
    let client = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .https_only(true)
        .timeout(WAIT_MAX)
        .resolve_to_addrs(&host, &addresses)
        .build();
    let address = format!("https://{host}/.well-known/mta-sts.txt");
    let mut response = client.ok()?.get(address).send().await.ok()?.error_for_status().ok()?;
    let mut octets = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        octets.extend_from_slice(&piece);
        if octets.len() > OCTETS_MAX {
            return None;
        }
    }
    String::from_utf8(octets).ok()
}
