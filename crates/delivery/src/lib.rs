//! Hands messages to the next hop.
//!
//! **Takes** attempts: a message's id and a destination. **Gives** for each attempt one end: an outcome per recipient,
//! or that no host could be talked to; for a connector that is tried, what each step came to.
//! **Never** schedules, never writes to the spool, never decides whether a report is sent; never holds a whole message
//! in memory; never sends clear text where a connector or a host's TLSA records ask for TLS; never shows or logs a password.
//! RFC 5321 §3.3, §4.2.1, §4.5.3.2, §5.1, RFC 2920, RFC 3207, RFC 4954, RFC 7435, RFC 7672, RFC 2033.

mod address;
mod application;
mod asking;
mod attempt;
mod body;
mod config;
mod connect;
mod connection;
mod dane;
mod dial;
mod drive;
mod handshakes;
mod hello;
mod hosts;
mod leaving;
mod lines;
mod login;
mod means;
mod metrics;
mod open;
mod pool;
mod prepared;
mod rests;
mod return_path;
mod service;
mod seven_bit;
mod shared;
mod signing;
mod socket;
mod trail;
mod trial;
mod words;

pub use application::{ApplicationError, Applications};
pub use config::Config;
pub use handshakes::{DemandError, Handshakes, HandshakesError, Wrong};
pub use login::{LoginError, Logins};
pub use service::{Parts, run};
pub use signing::Signing;
pub use trail::{Step, Verdict};
pub use trial::{Letter, Report, Tester, Trial};
