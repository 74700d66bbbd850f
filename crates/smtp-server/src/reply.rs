//! The replies that reception decides itself, in one table. Those of the session are in `smtp-session`.

use std::net::{IpAddr, Ipv4Addr};

use mail::{EnhancedStatus, Reply, ReversePath};

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

/// A connector that may let the client in takes no more today; said to whoever names one of its senders.
pub(crate) fn day_full() -> Reply {
    let words = "Too much mail for this sender's connector today, come back at 00:00 UTC";
    reply(452, EnhancedStatus::new(4, 7, 1), words)
}

/// The settings have changed while the message came, so that it cannot be decided about.
pub(crate) fn settings_changed() -> Reply {
    let words = "The settings have changed while the message came, try again";
    reply(451, EnhancedStatus::new(4, 3, 0), words)
}

fn reply(code: u16, status: EnhancedStatus, text: impl Into<String>) -> Reply {
    Reply::new(code, Some(status), text)
}

/// A reply on the wire, before there is a session.
pub(crate) fn line(reply: &Reply) -> String {
    format!("{reply}\r\n")
}
