//! The queue: one task that owns the schedule.
//!
//! **Takes** accepted messages, the ends of attempts, and what operators ask.
//! **Gives** attempts to delivery, settlements and reports to the spool, one log line per outcome.
//! **Never** holds content, opens a socket, or forgets a message that the spool still has.
//! RFC 5321 §4.5.4, §6.1.

mod allowances;
mod config;
mod entries;
mod ids;
mod log;
mod metrics;
mod owing;
mod party;
mod plan;
mod recovery;
mod report;
mod request;
mod service;
mod shared;
mod terms;
mod ways;
mod work;

pub use config::{Config, RetryConnect, RetryReply};
pub use party::Party;
pub use request::{
    Cancelled, DestinationLine, Gone, Handle, LimitLine, Line, Listing, Look, Parties, Request,
    Retried, Selection, Shown, ShownRecipient, Summary,
};
pub use schedule::State;
pub use service::{Parts, run};
