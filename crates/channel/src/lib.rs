//! Bounded lock-free queues between the services, with depth and close.
//!
//! **Takes** values from any number of senders. **Gives** them to one receiver, a task or a thread.
//! **Never** grows: a full queue says so at once, or makes the sender wait, as the sender chooses.
//! One `crossbeam` ring holds the values; nothing on the way of a value takes a lock unless it is full.

mod ring;

pub use ring::{Closed, Depth, Receiver, SendError, Sender, TrySendError, bounded};
