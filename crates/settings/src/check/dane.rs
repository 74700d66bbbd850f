//! DANE needs a DNS server whose word counts.

use policy::config::TlsLevel;

use super::{Check, item};
use crate::settings::Settings;

const HINT: &str = "set `trusts_dnssec = true` in `[resolver]` if its servers validate DNSSEC and nobody can stand between them and this machine, as with unbound on it";

impl Check<'_> {
    /// Names each connector that asks for TLSA records and can never have one.
    pub(super) fn dane(&mut self, settings: &Settings) {
        if settings.resolver.trusts_dnssec {
            return;
        }
        let connectors = settings.outbound.iter().enumerate();
        for (number, outbound) in connectors.filter(|(_, it)| it.enabled && it.tls.is_dane()) {
            let is_strict = outbound.tls == TlsLevel::DaneOnly;
            let follows = if is_strict { "all mail waits" } else { "TLS is only opportunistic" };
            let error = format!("without a DNS server that is trusted with DNSSEC {follows}");
            self.add(&item("outbound", number, "tls"), error, HINT);
        }
    }
}
