//! An SMTP sink: takes every message, and keeps, stores or counts it.
//!
//! **Takes** TCP connections. **Gives** each message with its envelope through a bounded channel, its content octet for
//! octet as it came.
//! **Never** relays, adds a trace field, speaks TLS, or holds more than its connections' limits allow. Not durable: it
//! is for tests, measurements and a first look.
//! RFC 5321, with the extensions of `smtp-session`.

mod connection;
mod content;
mod message;
mod shared;
mod sink;

pub use content::Keep;
pub use message::Message;
pub use sink::{Options, Sink};
