//! Integration tests: the real `chasqui` program over loopback sockets, with a real spool on a real
//! file system, against scripted peers, Postfix, Exim, swaks, Python and curl.
//!
//! Every test starts its own relay in a folder of its own on free ports and ends it, so all may run
//! at once. `tests/packages.txt` lists the Debian packages they need.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real programs on the real clock"
)]

#[cfg(test)]
mod harness;

#[cfg(test)]
mod applications;
#[cfg(test)]
mod bound_logins;
#[cfg(test)]
mod client_certificates;
#[cfg(test)]
mod client_tls;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod connector_test;
#[cfg(test)]
mod connectors;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod corrupt;
#[cfg(test)]
mod daily_limits;
#[cfg(test)]
mod dane;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod dkim;
#[cfg(test)]
mod domain;
#[cfg(test)]
mod dsn;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod exim;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod greylist;
#[cfg(test)]
mod inbound;
#[cfg(test)]
mod inbound_limits;
#[cfg(test)]
mod injection;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod login;
#[cfg(test)]
mod login_clients;
#[cfg(test)]
mod mail_auth;
#[cfg(test)]
mod mail_exchangers;
#[cfg(test)]
mod mailboxes;
#[cfg(test)]
mod next_hop;
#[cfg(test)]
mod nodemailer;
#[cfg(test)]
mod observability;
#[cfg(test)]
mod outbound;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod quickstart;
#[cfg(test)]
mod readiness;
#[cfg(test)]
mod reception;
#[cfg(test)]
mod rewriting;
#[cfg(test)]
mod self_check;
#[cfg(test)]
mod senders;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod timing;
#[cfg(test)]
mod tls_versions;
