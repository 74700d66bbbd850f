//! Reception over real loopback sockets, with a real spool.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is a finding"
)]

mod client;
mod content;
mod hostile;
mod idle;
mod limits;
mod login;
mod relay;
mod stop;
mod tls;
mod transaction;
