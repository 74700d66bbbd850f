//! The plans of customers, and what their connectors have that does not come with them.

use policy::config::{Feature, InboundConnector};

use super::{Check, item};
use crate::settings::Settings;

/// A reply's line has 512 octets (RFC 5321 §4.5.3.1.5).
const TEXT_OCTETS_MAX: usize = 400;

impl Check<'_> {
    /// Looks at the plans, and at the connectors that name them.
    pub(super) fn plans(&mut self, settings: &Settings) {
        self.names("plan", settings.plan.iter().map(|plan| plan.name.as_str()));
        for (number, plan) in settings.plan.iter().enumerate() {
            let is_line = plan.text.is_ascii() && !plan.text.contains(|c: char| c.is_control());
            if !is_line || plan.text.len() > TEXT_OCTETS_MAX {
                let error = "cannot stand in a reply";
                let hint = format!("write ASCII on one line, at most {TEXT_OCTETS_MAX} octets");
                self.add(&item("plan", number, "text"), error, &hint);
            }
        }
        for (number, inbound) in settings.inbound.iter().enumerate() {
            let Some(name) = &inbound.plan else { continue };
            if settings.plan.iter().all(|plan| plan.name != *name) {
                let error = format!("there is no plan `{name}`");
                let hint = "write a [[plan]] with this name, or leave it out";
                self.add(&item("inbound", number, "plan"), error, hint);
            }
        }
    }

    /// Names what a connector has that is refused, since it does not come with its plan.
    pub(super) fn lacking(&mut self, settings: &Settings) {
        for (number, inbound) in settings.inbound.iter().enumerate().filter(|(_, it)| it.enabled) {
            let mut plans = settings.plan.iter();
            let Some(plan) = plans.find(|plan| Some(&plan.name) == inbound.plan.as_ref()) else {
                continue;
            };
            for (feature, key) in used(inbound) {
                if plan.includes.contains(&feature) {
                    continue;
                }
                let (name, feature) = (&plan.name, feature.as_str());
                let error = format!("plan `{name}` does not include `{feature}`, so it is refused");
                let hint = "take it out, or give the connector another plan";
                self.add(&item("inbound", number, key), error, hint);
            }
        }
    }
}

/// What a connector offers, with the key that says so.
fn used(inbound: &InboundConnector) -> impl Iterator<Item = (Feature, &'static str)> {
    [
        (!inbound.sender_ip_addresses.is_empty(), Feature::Network, "sender_ip_addresses"),
        (
            !inbound.tls_sender_certificate_names.is_empty(),
            Feature::Certificate,
            "tls_sender_certificate_names",
        ),
        (!inbound.logins.is_empty(), Feature::Login, "logins"),
        (inbound.auth.is_some(), Feature::Spf, "auth"),
        (inbound.certified_suffix.is_some(), Feature::Certify, "certified_suffix"),
    ]
    .into_iter()
    .filter_map(|(is_used, feature, key)| is_used.then_some((feature, key)))
}
