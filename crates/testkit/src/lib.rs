//! What the tests of several crates share.
//!
//! **Takes** a script. **Gives** a scripted SMTP server, a DNS server, foreign programs, all on loopback on free ports, and
//! certificates. **Never** is part of the product: only tests depend on it, and it may panic.

pub mod authority;
pub mod daemon;
pub mod dns;
pub mod peer;
