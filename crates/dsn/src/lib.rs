//! Outcomes to delivery status notifications, which tell a sender what became of its message.
//!
//! **Takes** the recipients that the sender is told of with the words that decided it, and the head of the original.
//! **Gives** an envelope with a null sender and a `multipart/report` that any next hop can carry.
//! **Never** reports to a null sender, and lets no reply, address or original break out of its place.
//! RFC 3461, RFC 3464, RFC 6522, RFC 6533, RFC 3834.

mod encode;
mod original;
mod report;
mod status;
mod text;
mod write;

pub use original::Original;
pub use report::{Action, Event, Notice, Report};
pub use write::Written;
