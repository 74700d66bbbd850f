//! What this relay is, seen from outside.

use std::net::IpAddr;
use std::sync::Arc;

use super::check::{Advice, Party};
use crate::dns::{a_labels, is_within};
use crate::key::Record;
use crate::signing_key::SigningKey;

/// What this relay is, seen from outside.
#[derive(Clone, Debug, Default)]
pub struct Relay {
    /// The addresses that mail leaves from.
    pub sources: Vec<IpAddr>,
    /// The name it gives in EHLO.
    pub helo: String,
    /// A domain whose SPF record holds all sources, to be included; empty names the sources one by one.
    pub spf_include: String,
    /// The keys it signs with, whatever their state.
    pub keys: Vec<Arc<SigningKey>>,
    /// Where reports of other hosts shall go; empty proposes `postmaster` of the domain.
    pub reports_to: String,
    /// Domains whose zones this relay's operator keeps; records of names in them are for the operator to publish, all
    /// others for the domain's owner.
    pub hosted: Vec<String>,
}

impl Relay {
    /// Who publishes a record of this name.
    pub(super) fn party(&self, name: &str) -> Party {
        let is_hosted = |zone: &String| a_labels(zone).is_some_and(|zone| is_within(name, &zone));
        if self.hosted.iter().any(is_hosted) { Party::Operator } else { Party::Owner }
    }

    /// What to do about a TXT record.
    pub(super) fn publish(&self, name: &str, text: &str, words: &str) -> Advice {
        Advice {
            party: self.party(name),
            words: words.to_owned(),
            record: Some(Record { name: name.to_owned(), value: text.to_owned() }),
        }
    }

    pub(super) fn report_address(&self, domain: &str) -> String {
        let address = &self.reports_to;
        if address.is_empty() { format!("postmaster@{domain}") } else { address.clone() }
    }
}
