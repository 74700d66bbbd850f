//! Asks milters, rspamd and HTTP hooks what they think of a client, an envelope, a message.
//!
//! **Takes** what the session knows at each stage, and content as octets.
//! **Gives** one verdict a stage: go on, refuse with a reply, discard, hold, and changes to the header and the envelope.
//! **Never** waits longer than a filter's time limit, and lets no filter's answer break out of a reply or a header field.

pub mod config;
pub mod facts;
pub mod verdict;

mod answer;
mod breaker;
mod error;
mod filter;
mod filters;
mod hook;
mod http;
mod memory;
mod metrics;
mod milter;
pub mod poster;
mod question;
mod rspamd;
mod secret;
mod session;
mod words;

pub use error::FiltersError;
pub use filters::Filters;
pub use memory::{SHOWN_OCTETS_MAX, shown_room};
pub use session::Session;
