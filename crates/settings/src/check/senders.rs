//! What inbound connectors ask of senders, and the domains of the organisation.

use mail::Domain;
use policy::config::HeaderFrom;

use super::{Check, item};
use crate::settings::Settings;

impl Check<'_> {
    /// Looks at the domains, and at the lists that name them.
    pub(super) fn senders(&mut self, settings: &Settings) {
        for (number, domain) in settings.domain.iter().enumerate() {
            if Domain::parse(&domain.name).is_err() {
                let error = format!("`{}` is not a domain", domain.name);
                self.add(
                    &item("domain", number, "name"),
                    error,
                    "write a domain, such as \"example.com\"",
                );
            }
        }
        for (number, inbound) in settings.inbound.iter().enumerate() {
            let way = item("inbound", number, "sender_domains");
            for entry in &inbound.sender_domains {
                self.sender_domain(&way, entry, settings);
            }
            let restricts =
                inbound.restrict_domains_to_ip_addresses || inbound.restrict_domains_to_certificate;
            if restricts && inbound.sender_domains.iter().all(|entry| entry == "*") {
                let error = "names no domain that could be restricted to this connector's clients";
                self.add(&way, error, "name the domains, or leave `restrict_domains_to_…` out");
            }
            if inbound.restrict_domains_to_certificate
                && inbound.tls_sender_certificate_names.is_empty()
            {
                self.add(
                    &item("inbound", number, "restrict_domains_to_certificate"),
                    "no certificate could match, so these domains could never send",
                    "name certificates in `tls_sender_certificate_names`",
                );
            }
            let suffix = inbound.certified_suffix.as_deref();
            if let Some(suffix) = suffix.filter(|it| !is_domain_name(it)) {
                self.add(
                    &item("inbound", number, "certified_suffix"),
                    format!("`{suffix}` is not the name of a domain"),
                    "write a domain of yours without mailboxes, such as \"evidence.example.com\"",
                );
            }
            let names_senders =
                !inbound.registered_senders.is_empty() || !inbound.sender_domains.is_empty();
            if inbound.header_from == HeaderFrom::Registered && !names_senders {
                self.add(
                    &item("inbound", number, "header_from"),
                    "nobody is registered, so all mail would pass",
                    "name the senders in `registered_senders` or `sender_domains`",
                );
            }
            if inbound.auth.is_some() && !names_senders {
                self.add(
                    &item("inbound", number, "auth"),
                    "without a list of senders everybody with an SPF record could relay",
                    "name the senders in `registered_senders` or `sender_domains`",
                );
            }
            for entry in &inbound.registered_senders {
                if policy::is_sender_pattern(entry) {
                    continue;
                }
                let error = format!("`{entry}` names no sender");
                self.add(
                    &item("inbound", number, "registered_senders"),
                    error,
                    "write an address, a domain, or `*.` and a domain",
                );
            }
        }
    }

    fn sender_domain(&mut self, way: &[crate::tree::Step], entry: &str, settings: &Settings) {
        if entry == "*" {
            if !settings.domain.iter().any(|domain| domain.verified) {
                let error = "`*` stands for the verified domains, and there is none";
                self.add(way, error, "write a [[domain]] with a name and `verified = true`");
            }
            return;
        }
        let name = entry.strip_prefix("*.").unwrap_or(entry);
        if entry.contains('@') || Domain::parse(name).is_err() {
            let error = format!("`{entry}` is not a domain");
            return self.add(way, error, "write a domain, `*.` and a domain, or `*`");
        }
        // Who lists no domains of its own has not been asked to verify any.
        let is_verified = settings.domain.iter().any(|domain| {
            domain.verified
                && (domain.name.eq_ignore_ascii_case(name) || ends_in(name, &domain.name))
        });
        if !settings.domain.is_empty() && !is_verified {
            let error = format!("`{name}` is not one of the verified domains");
            self.add(way, error, "add it as a [[domain]] with `verified = true` once it is");
        }
    }
}

fn is_domain_name(text: &str) -> bool {
    Domain::parse(text).is_ok_and(|domain| domain.is_host_name())
}

/// Whether `name` is below `domain`.
fn ends_in(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    name.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
}
