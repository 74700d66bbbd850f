//! Whether a host has TLSA records, and which.

use super::{Walk, words};
use crate::dane::{Demand, Standing};
use crate::hosts::Host;
use crate::trail::Verdict;

impl Walk<'_> {
    /// How much TLS is asked of `host`; none if it is not used.
    pub(super) async fn demand(&self, host: &Host) -> Option<Demand> {
        let level = self.connector.tls;
        if !level.is_dane() {
            return Some(Demand::of(level));
        }
        let resolver = &self.means.resolver;
        let standing = match host.standing(resolver).await {
            Ok(standing) => standing,
            Err(error) => {
                self.fail("tlsa", &error.to_string(), words::TLSA_LOOK_UP);
                return None;
            }
        };
        let advice = match &standing {
            _ if !resolver.trusts_dnssec() => Some(words::TRUST),
            Standing::InsecureMx | Standing::Insecure => Some(words::INSECURE),
            Standing::NoRecords => None,
            Standing::Unusable => Some(words::UNUSABLE),
            Standing::Usable(dane) => {
                let words = format!("DNSSEC vouches for {dane}");
                self.trail.note("tlsa", Verdict::Pass, &words);
                return Some(Demand::Dane(dane.clone()));
            }
        };
        match Demand::by(level, &standing) {
            Ok(demand) => {
                // That a zone is not signed is nothing to warn of; it is the rule.
                let is_ours = !resolver.trusts_dnssec() || standing == Standing::Unusable;
                let verdict = if is_ours { Verdict::Warn } else { Verdict::Skipped };
                self.trail.advise("tlsa", verdict, (standing.words(), advice));
                Some(demand)
            }
            Err(words) => {
                self.fail("tlsa", words, advice.unwrap_or(words::NO_RECORDS));
                None
            }
        }
    }
}
