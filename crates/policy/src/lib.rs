//! Connectors and rules as values: who may relay through us, where a recipient's mail goes next, what is done with a message.
//!
//! **Takes** the connectors, rules and groups of the settings, then what is known of clients, recipients and messages.
//! **Gives** the inbound connector that lets a client in, the destination of a recipient, what rules do and why.
//! **Never** looks anything up in DNS, never does I/O; all tables are immutable once made.
//! RFC 5321 §3.6, §4.5.1, RFC 2047, RFC 5322 §3.4.

pub mod config;

mod admission;
mod admit_mail;
mod candidate;
mod certificate;
mod foreign;
mod from_filter;
mod header_from;
mod live;
mod message;
mod nearest;
mod plan;
mod router;
mod rules;
mod sender;
mod suffix;
mod thread;

pub use admission::{Admission, Attribute};
pub use admit_mail::{Admitted, Answers, Lookup};
pub use candidate::{Candidate, Standing};
pub use certificate::{Certificate, issuer_attributes};
pub use from_filter::is_sender_pattern;
pub use live::{Live, Policy};
pub use message::{CONNECTOR_FIELD, Decision, first_from};
pub use nearest::{Missed, Nearest};
pub use router::{Fullness, NoRoute, Router, RouterError};
pub use rules::{
    AuthResults, Ending, Facts, Judgement, Known, LineError, MemberError, Members, Protection,
    Refusal, RuleProblem, Rules, Verdict, first_mailbox,
};
pub use sender::{Denied, Who};
pub use suffix::SuffixError;
pub use thread::{THREAD_FIELD, automatic, copy_edits, followers, named_thread, thread_edits};
