//! Filters over real sockets: scripted ones that misbehave, and the real rspamd and opendkim (tests/packages.txt).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop, and say why"
)]

mod chain;
mod hook;
mod limits;
mod milter;
mod opendkim;
mod rspamd;
mod scripted;
mod service;
mod trouble;
mod world;
