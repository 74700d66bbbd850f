//! Reception: listeners and connections that take mail by SMTP into the spool.
//!
//! **Takes** TCP connections, verdicts of `policy`, places in the spool. **Gives** `Accepted` to the queue, and a
//! 250 only for what is on the device.
//! **Never** decides the order of commands (`smtp-session` does), keeps a message in memory, or grows past a limit.
//! RFC 5321, RFC 3207, RFC 3848, RFC 4954, RFC 6409 §4.3, RFC 8314.
//!
//! Start reading at `connection.rs`.

mod ask;
mod buffered;
mod client;
pub mod config;
mod connection;
mod connections;
mod decide;
mod decided;
mod end;
mod filtered;
mod find_out;
mod gate;
mod greylist;
mod greylist_file;
mod hand_over;
mod handshake;
mod instead;
mod intake;
mod listener;
mod login;
mod logins;
mod metrics;
mod proxied;
mod quota;
mod quotas;
mod rates;
mod reception;
mod recipient;
mod reply;
mod restraint;
mod screen;
mod seen;
mod server;
mod shedding;
mod slot;
mod stranger;
mod stream;
mod table;
mod threads;
mod trace;
mod transaction;
mod verdict;

pub use config::{Listener, ListenerTls};
pub use intake::{Intake, IntakeGauges};
pub use quotas::Intakes;
pub use server::{BindError, Certificates, Parts, Server};
pub use shedding::{Limits, Shed};
pub use stranger::Stranger;
pub use threads::Writers;
