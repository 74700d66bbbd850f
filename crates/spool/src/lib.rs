//! The durable truth: a message is ours once it is on the device.
//!
//! **Takes** content as it streams in, an envelope, and what became of each recipient.
//! **Gives** [`mail::Accepted`] after the synced write and never before, and content back, checked.
//! **Never** answers a sender, keeps a schedule, or lets one corrupt record stop the rest.
//! RFC 5321 §4.2.5, §6.1.

pub mod check;
mod spool;

mod config;
mod error;
mod settlement;
mod state;

mod place;
mod prepared;
mod stored;
mod writer;

mod committer;
mod inner;
mod keeper;
mod recover;
mod request;
mod shared;

mod body;
mod engine;
mod folder;
mod ids;
mod record;
mod rows;
mod scan;
mod segments;
mod warm;

mod faults;
mod filler;
#[doc(hidden)]
pub mod measured;
mod metrics;

pub use body::BodyIoKind;
pub use config::{BodyIo, Config};
pub use error::{
    CommitError, Full, FullCause, LoadError, OpenError, ReadError, RecoverError, SettleError,
    WriteError,
};
#[doc(hidden)]
pub use faults::Faults;
#[doc(hidden)]
pub use filler::Filler;
pub use place::{Counts, Health, Place};
pub use settlement::{Report, ReportContent, Settlement};
pub use spool::Spool;
pub use state::{Owed, RecipientState, Recovered, Recovery, Tally, Times, Waiting};
pub use stored::{Content, Stored};
pub use writer::Writer;
