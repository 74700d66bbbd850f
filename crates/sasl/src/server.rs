//! The server's side: who a client is.

mod authenticator;
mod exchange;
mod facts;
mod refusal;
mod scram;
mod work;

pub use authenticator::{Authenticator, OpenError};
pub use exchange::{Exchange, Step};
pub use facts::{Facts, Identity};
pub use refusal::Refusal;
pub use work::{Verified, Work};

pub use crate::metrics::Ending;

#[cfg(test)]
mod tests;
