//! The replies that reception decides itself, in one table. Those of the session are in `smtp-session`.

use std::net::{IpAddr, Ipv4Addr};

use mail::{EnhancedStatus, Reply, ReversePath};
use policy::Nearest;
use tls::server::PeerCertificate;

/// Names of a certificate that a reply tells.
const NAMES_TOLD_MAX: usize = 5;
const CERTIFICATE_OCTETS_MAX: usize = 270;

/// `connections_max` is reached.
pub(crate) fn connections_full() -> Reply {
    reply(
        421,
        EnhancedStatus::new(4, 3, 2),
        "Too many connections to this listener, try again later",
    )
}

/// `connections_per_client_max` is reached.
pub(crate) fn client_connections_full(client: IpAddr) -> Reply {
    let words = format!("Too many connections from {client}, close some or try again later");
    reply(421, EnhancedStatus::new(4, 7, 0), words)
}

/// `connections_per_network_max` is reached.
pub(crate) fn network_connections_full(network: IpAddr) -> Reply {
    let words = format!("Too many connections from the network of {network}, try again later");
    reply(421, EnhancedStatus::new(4, 7, 0), words)
}

/// `connections_per_login_max` is reached.
pub(crate) fn login_connections_full(login: &str) -> Reply {
    let words = format!("Too many connections of the account {login}, close some or try again");
    reply(421, EnhancedStatus::new(4, 7, 0), words)
}

/// No file descriptor is left.
pub(crate) fn descriptors_full() -> Reply {
    reply(421, EnhancedStatus::new(4, 3, 2), "Too many open files, try again later")
}

/// The client spoke within `greeting_wait`.
pub(crate) fn early_talker() -> Reply {
    reply(554, EnhancedStatus::new(5, 5, 1), "Protocol error: you spoke before the greeting")
}

/// A list holds the client.
pub(crate) fn listed(client: IpAddr, zone: &str, answer: Ipv4Addr) -> Reply {
    let words = format!("{client} is listed by {zone} ({answer}), which is asked here");
    reply(554, EnhancedStatus::new(5, 7, 1), words)
}

/// A stranger came for the first time.
pub(crate) fn greylisted(seconds: u64) -> Reply {
    let words = format!("Greylisted: come back in {seconds} seconds");
    reply(451, EnhancedStatus::new(4, 7, 1), words)
}

/// The channel to the queue is nearly full.
pub(crate) fn queue_full() -> Reply {
    let words = "Insufficient system storage: the queue has not caught up with accepted mail";
    reply(452, EnhancedStatus::new(4, 3, 1), words)
}

/// Too much content is being looked at.
pub(crate) fn memory_full() -> Reply {
    let words = "Insufficient system storage: too much mail is being looked at";
    reply(452, EnhancedStatus::new(4, 3, 1), words)
}

/// A filter sends the message to recipients that no connector leads to, and to no others.
pub(crate) fn no_way_for_filter() -> Reply {
    let words = "a filter names recipients that no connector takes; try again later";
    reply(451, EnhancedStatus::new(4, 3, 5), words)
}

/// What a greeting can say of `refusal` (RFC 5321 §4.3.2): 554, or 421 if it is for now.
pub(crate) fn greeting(refusal: &Reply) -> Reply {
    let code = if refusal.is_permanent() { 554 } else { 421 };
    Reply::new(code, refusal.status(), refusal.text())
}

/// The client's address was let in once, and that has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HasExpired;

/// The listener takes logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MayLogIn;

/// The sender is registered with a connector that does not let in by SPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WantsSpf;

/// The client is on no list. Tells it what it is known by and no more: connectors are nobody else's business.
pub(crate) fn relay_denied(
    client: IpAddr,
    certificate: Option<&PeerCertificate>,
    (has_expired, may_log_in, wants_spf): (Option<HasExpired>, Option<MayLogIn>, Option<WantsSpf>),
) -> Reply {
    let known_by = certificate.map_or_else(String::new, certificate_words);
    let log_in = may_log_in.map_or("", |MayLogIn| "; log in first");
    let by_spf =
        wants_spf.map_or("", |WantsSpf| "; relaying by SPF is not enabled for this sender");
    let expired = has_expired.map_or("", |HasExpired| ", which was let in for a time that is over");
    let words = format!("Relay access denied for {client}{expired}{known_by}{log_in}{by_spf}");
    reply(550, EnhancedStatus::new(5, 7, 1), words)
}

/// The same for the log: what would have let the client in, if little is missing.
pub(crate) fn why_denied(
    certificate: Option<&PeerCertificate>,
    nearest: Option<Nearest<'_>>,
    by_spf: Option<&str>,
) -> String {
    let known_by = certificate.map_or_else(String::new, certificate_words);
    let nearest = nearest.map_or_else(String::new, |Nearest { connector, missed }| {
        format!("; nearest is connector {connector}, with {missed}")
    });
    let by_spf = by_spf.map_or_else(String::new, |connector| {
        format!(
            "; connector {connector} registers the sender: `chasqui connector set {connector} auth=spf` lets in whom SPF names"
        )
    });
    format!("the client is in no network of an inbound connector{known_by}{nearest}{by_spf}")
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

/// The client has logged in, and that lets it in nowhere.
pub(crate) fn login_denied(login: &str) -> Reply {
    let words = format!("Relay access denied: the account {login} may not relay here");
    reply(550, EnhancedStatus::new(5, 7, 1), words)
}

/// The same for the log.
pub(crate) const LOGIN_DENIED_REASON: &str = "no inbound connector lets the account in";

/// The client is banned after failed logins.
pub(crate) fn banned(client: IpAddr) -> Reply {
    let words = format!("Too many logins from {client} failed, try again later");
    reply(421, EnhancedStatus::new(4, 7, 0), words)
}

/// The listener takes mail from those only who have logged in.
pub(crate) fn login_required() -> Reply {
    reply(530, EnhancedStatus::new(5, 7, 0), "Authentication required: log in first")
}

/// The account may not send as that.
pub(crate) fn sender_not_allowed(login: &str, sender: &ReversePath) -> Reply {
    let words = format!("Sender address rejected: the account {login} may not send as {sender}");
    reply(553, EnhancedStatus::new(5, 7, 1), words)
}

/// A login that nobody knows of is to go on.
pub(crate) fn no_login() -> Reply {
    reply(454, EnhancedStatus::new(4, 7, 0), "Local error: the login broke off, try again")
}

/// The spool did not take content within `store_wait_max`.
pub(crate) fn spool_slow() -> Reply {
    let words = "Local error: the spool did not take the message in time, try again later";
    reply(451, EnhancedStatus::new(4, 3, 0), words)
}

fn reply(code: u16, status: EnhancedStatus, text: impl Into<String>) -> Reply {
    Reply::new(code, Some(status), text)
}

/// A reply on the wire, before there is a session.
pub(crate) fn line(reply: &Reply) -> String {
    format!("{reply}\r\n")
}
