//! The client's side: one transaction on a connection whose greeting, EHLO and STARTTLS are done.
//!
//! The driver moves bytes and hands the content; the pipelined order, the reading of each reply and the time-outs live
//! here. Calls in: [`Transaction::receive`], [`Transaction::body`], [`Transaction::body_ended`],
//! [`Transaction::expire`], [`Transaction::closed`]. After each of them the driver takes [`Transaction::next_step`]
//! until it is none, then waits for bytes or for [`Transaction::deadline`].
//!
//! While content goes out the driver reads too: a next hop may answer early. Bytes that come between two transactions
//! belong to none: close such a connection.

mod answers;
mod chunks;
mod commands;
mod extensions;
mod outgoing;
mod transaction;
mod words;

pub use commands::envelope_commands;
pub use extensions::{Extensions, Limits};
pub use outgoing::{After, Answer, End, Outgoing, Step, Timeouts};
pub use transaction::Transaction;
