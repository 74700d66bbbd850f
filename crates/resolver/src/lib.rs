//! Mail exchangers, addresses and TLSA records: what SMTP asks of the DNS, and what each kind of "no" means for mail.
//!
//! **Takes** a recipient's domain or a host's name. **Gives** hosts in the order to try them, their addresses, what
//! their certificates must match, or a [`LookupError`] that says whether the mail bounces or waits.
//! **Never** connects to a mail host; never takes a failed look-up for an empty answer; never validates DNSSEC itself.
//! RFC 5321 §5.1, RFC 7505, RFC 7672 §2.2, RFC 6698, RFC 5890, RFC 1035.

pub mod config;
mod error;
mod metrics;
mod name;
mod order;
mod resolver;
mod servers;
mod tlsa;
mod vouched;

pub use config::Config;
pub use error::{LookupError, OpenError};
pub use order::Dice;
pub use resolver::{Exchanger, Resolver};
pub use servers::hickory;
pub use tlsa::{Pins, Tlsa};
pub use vouched::Vouched;
