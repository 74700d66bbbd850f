//! File descriptors: each connection needs one, and shells give few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::Settings;

/// What the spool and the program itself need besides connections, with room to spare.
const OTHERS: u64 = 1024;
/// Enough for any setting, where the system names no limit.
const PLENTY: u64 = 1 << 20;

/// Takes as many descriptors as the system lets this process have, and warns when the settings could use more.
pub(crate) fn raise(settings: &Settings) {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(PLENTY);
    if limit.current.is_some_and(|current| current < most) {
        let raised = Rlimit { current: Some(most), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "limit of open files not raised");
        }
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let wanted = wanted(settings);
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "fewer open files allowed than connections, raise LimitNOFILE"
        );
    }
}

fn wanted(settings: &Settings) -> u64 {
    let reception: usize = settings.listener.iter().map(|listener| listener.connections_max).sum();
    let delivery = &settings.delivery;
    // A program has three pipes where a host has one socket.
    let programs = settings.outbound.iter().filter(|outbound| {
        outbound.application.as_ref().is_some_and(|application| !application.command.is_empty())
    });
    let pipes: u64 = programs.map(|it| 2 * u64::from(it.limits.connections_max)).sum();
    let outgoing =
        u64::from(delivery.transactions_max) + u64::from(delivery.idle_connections_max) + pipes;
    u64::try_from(reception).unwrap_or(u64::MAX).saturating_add(outgoing).saturating_add(OTHERS)
}
