//! Smart hosts that are known to want something of their own.

use policy::config::OutboundConnector;

use super::{Check, item};

/// Services that send an account's mail only under the account's own address.
const OWN_ADDRESS_ONLY: [&str; 3] = ["office365.com", "outlook.com", "hotmail.com"];

impl Check<'_> {
    /// Who logs in at such a service sends only what is From the account: the connector must be kept to it.
    pub(super) fn own_address(&mut self, number: usize, outbound: &OutboundConnector) {
        let is_known = |host: &str| {
            let host = host.to_ascii_lowercase();
            let below = |domain: &str| {
                host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            OWN_ADDRESS_ONLY.iter().any(|domain| below(domain))
        };
        let known =
            outbound.smart_hosts.iter().find(|host| host.port == 587 && is_known(&host.host));
        let Some(host) = known.filter(|_| outbound.from_filter.is_empty()) else { return };
        let error =
            format!("is empty, but {} refuses mail that is not From its account", host.host);
        let hint = "name the account's address, such as from_filter = [\"sales@example.com\"]";
        self.add(&item("outbound", number, "from_filter"), error, hint);
    }
}
