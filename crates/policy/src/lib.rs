//! Connectors as values: who may relay through us, and where a recipient's mail goes next.
//!
//! **Takes** the connectors of the settings, then what is known of clients, and recipients.
//! **Gives** the inbound connector that lets a client in, the destination of a recipient.
//! **Never** looks anything up in DNS, never does I/O; both tables are immutable once made.
//! RFC 5321 §3.6, §4.5.1.

pub mod config;

mod admission;
mod from_filter;
mod live;
mod nearest;
mod router;

pub use admission::Admission;
pub use live::{Live, Policy};
pub use nearest::{Missed, Nearest};
pub use router::{NoRoute, Router, RouterError};
