//! What a client is told that nothing lets in, and what the operator is told of it.

use mail::{EnhancedStatus, Reply, ReversePath};
use policy::{Admission, Missed, Nearest, Who};
use tls::server::PeerCertificate;

/// Names of a certificate that a reply tells.
const NAMES_TOLD_MAX: usize = 5;
const CERTIFICATE_OCTETS_MAX: usize = 270;
/// Delivery not authorized (RFC 3463 §3.8).
const DENIED: EnhancedStatus = EnhancedStatus::new(5, 7, 1);

/// A client that no inbound connector lets in.
#[derive(Clone, Copy, Debug)]
pub struct Stranger<'a> {
    /// What was asked who may relay.
    pub admission: &'a Admission,
    /// What is known of it; where its address is not, that is the unspecified one, which no reply names.
    pub who: Who<'a>,
    /// Its certificate, be it trusted or not.
    pub certificate: Option<&'a PeerCertificate>,
    /// The sender of its message, if that was named.
    pub sender: Option<&'a ReversePath>,
    /// Whether the listener takes logins.
    pub may_log_in: bool,
}

impl Stranger<'_> {
    /// The reply. Tells the client what it is known by and no more: connectors are nobody else's business.
    pub fn reply(&self) -> Reply {
        if let Some(login) = self.who.login {
            let words = format!("Relay access denied: the account {login} may not relay here");
            return Reply::new(550, Some(DENIED), words);
        }
        let address = self.who.address.to_canonical();
        let client =
            if address.is_unspecified() { String::new() } else { format!(" for {address}") };
        let has_expired = self.nearest().is_some_and(|it| matches!(it.missed, Missed::Expired(_)));
        let expired = if has_expired { ", which was let in for a time that is over" } else { "" };
        let known_by = self.certificate.map_or_else(String::new, certificate_words);
        let log_in = if self.may_log_in { "; log in first" } else { "" };
        let by_spf = self.could_come_by_spf();
        let by_spf = by_spf.map_or("", |_| "; relaying by SPF is not enabled for this sender");
        let words = format!("Relay access denied{client}{expired}{known_by}{log_in}{by_spf}");
        Reply::new(550, Some(DENIED), words)
    }

    /// What the operator is told: what would have let the client in, if little is missing.
    pub fn reason(&self) -> String {
        if self.who.login.is_some() {
            return "no inbound connector lets the account in".to_owned();
        }
        let known_by = self.certificate.map_or_else(String::new, certificate_words);
        let nearest = self.nearest().map_or_else(String::new, |Nearest { connector, missed }| {
            format!("; nearest is connector {connector}, with {missed}")
        });
        let by_spf = self.could_come_by_spf().map_or_else(String::new, |connector| {
            format!(
                "; connector {connector} registers the sender: `chasqui connector set {connector} auth=spf` lets in whom SPF names"
            )
        });
        format!("the client is in no network of an inbound connector{known_by}{nearest}{by_spf}")
    }

    fn nearest(&self) -> Option<Nearest<'_>> {
        self.admission.nearest(&self.who)
    }

    /// The connector that the sender is registered with, and that would let its mail in by SPF if it were told to.
    fn could_come_by_spf(&self) -> Option<&str> {
        self.admission.registers(self.sender?).map(|it| it.name.as_str())
    }
}

fn certificate_words(certificate: &PeerCertificate) -> String {
    let mut words = match certificate {
        PeerCertificate { fault: Some(fault), .. } => {
            format!("; its certificate does not count: {fault}")
        }
        PeerCertificate { names, .. } if names.is_empty() => {
            "; its certificate has no name".to_owned()
        }
        PeerCertificate { names, .. } => {
            let (shown, more) = names.split_at(names.len().min(NAMES_TOLD_MAX));
            let and_more = if more.is_empty() { "" } else { " and others" };
            format!(
                "; its certificate is for {}{and_more}, which is not known here",
                shown.join(", ")
            )
        }
    };
    // A reply's line has 512 octets (RFC 5321 §4.5.3.1.5); it is ASCII.
    words.truncate(CERTIFICATE_OCTETS_MAX);
    words
}
