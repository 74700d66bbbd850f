//! Where an entry stands.

use std::fmt;

/// Where a message stands at one of its destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It may go as soon as its destination takes one more.
    Ready,
    /// It rests until a later try.
    Resting,
    /// It is being tried, or its outcome is being written down.
    InFlight,
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Ready => "ready",
            Self::Resting => "resting",
            Self::InFlight => "in_flight",
        })
    }
}
