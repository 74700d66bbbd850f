//! Mail exchangers and addresses: what SMTP asks of the DNS, and what each kind of "no" means for mail.
//!
//! **Takes** a recipient's domain or a host's name. **Gives** hosts in the order to try them, their addresses, or
//! a [`LookupError`] that says whether the mail bounces or waits.
//! **Never** connects to a mail host; never takes a failed look-up for an empty answer.
//! RFC 5321 §5.1, RFC 7505, RFC 5890, RFC 1035.

pub mod config;
mod error;
mod metrics;
mod name;
mod order;
mod resolver;

pub use config::Config;
pub use error::{LookupError, OpenError};
pub use order::Dice;
pub use resolver::{Exchanger, Resolver, hickory};
