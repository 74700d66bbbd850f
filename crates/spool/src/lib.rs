//! The durable truth: a message is ours once it is on the device.
//!
//! **Takes** content as it streams in, an envelope, and what became of each recipient.
//! **Gives** [`mail::Accepted`] after the synced write and never before, and content back, checked.
//! **Never** answers a sender, keeps a schedule, or lets one corrupt record stop the rest.
//! RFC 5321 §4.2.5, §6.1.

mod config;
mod error;
mod place;
mod spool;
mod state;
mod stored;
mod writer;

pub use config::{BodyIo, Config};
pub use error::{
    CommitError, Full, FullCause, LoadError, OpenError, ReadError, RecoverError, SettleError,
    WriteError,
};
pub use place::Place;
pub use spool::{BodyIoKind, Counts, Health, Spool};
pub use state::{RecipientState, Recovered, Recovery, Report, Settlement};
pub use stored::{Content, Stored};
pub use writer::Writer;
