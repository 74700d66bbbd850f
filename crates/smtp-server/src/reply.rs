//! The replies that reception decides itself, in one table. Those of the session are in `smtp-session`.

use std::net::IpAddr;

use mail::{EnhancedStatus, Reply};

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

/// No file descriptor is left.
pub(crate) fn descriptors_full() -> Reply {
    reply(421, EnhancedStatus::new(4, 3, 2), "Too many open files, try again later")
}

/// The channel to the queue is nearly full.
pub(crate) fn queue_full() -> Reply {
    let words = "Insufficient system storage: the queue has not caught up with accepted mail";
    reply(452, EnhancedStatus::new(4, 3, 1), words)
}

/// The client is on no list.
pub(crate) fn relay_denied(client: IpAddr) -> Reply {
    let words = format!("Relay access denied: {client} is in no network of an inbound connector");
    reply(550, EnhancedStatus::new(5, 7, 1), words)
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
