//! What the tests stand on: the relay as a process, scripted peers, foreign programs.
//!
//! Nothing here uses the product's own crates, so that a mistake in them cannot hide itself.

pub(crate) mod accounts;
pub(crate) mod application;
pub(crate) mod disk;
pub(crate) mod dns;
pub(crate) mod dovecot;
pub(crate) mod exim;
pub(crate) mod hook;
pub(crate) mod http;
pub(crate) mod letter;
pub(crate) mod postfix;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod settings;
pub(crate) mod sink;
pub(crate) mod smtp;
pub(crate) mod tls;
pub(crate) mod wait;
