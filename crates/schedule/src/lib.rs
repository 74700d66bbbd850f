//! What is due, for whom, when: one entry for each message and destination, held in memory.
//!
//! **Takes** messages with their destinations, the ends of attempts, and `now`.
//! **Gives** the next attempt, fair over destinations, and the moment to ask again.
//! **Never** reads a clock, knows an envelope, or loses or doubles an entry.
//! RFC 5321 §4.5.4.1.

mod schedule;

mod destinations;
mod entry;
mod messages;
mod place;
mod ready;
mod round;
mod slots;
mod timers;
mod ways;

mod backoff;
mod list;
mod slab;
mod state;

pub use backoff::Backoff;
pub use entry::Urgency;
pub use schedule::outcome::{After, Cancel, End, Ended, Leaving, Why};
pub use schedule::view::{Counts, EntryView, PlaceView};
pub use schedule::{Due, Entry, Schedule, Settings};
pub use state::State;
