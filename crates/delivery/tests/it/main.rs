//! Delivery over real sockets on loopback, from a real spool to a scripted peer.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop"
)]

mod demands;
mod failures;
mod hosts;
mod lmtp;
mod login;
mod plain;
mod pools;
mod relay;
mod seven_bit;
mod starttls;
