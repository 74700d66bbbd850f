//! Quantities an operator writes, such as `25MiB`, `5d` and `100/1m`, and the clock that services are handed.
//!
//! **Takes** text from the settings. **Gives** typed quantities that print as they are written.
//! **Never** reads a file; only [`Clock::system`] asks the machine for the time.
//! IEC 80000-13 for `KiB`, `MiB`, `GiB`.

mod byte_size;
mod clock;
mod rate;
mod span;
mod steps;
mod written;

pub use byte_size::{ByteSize, ByteSizeError};
pub use clock::Clock;
pub use rate::{Amount, Rate, RateError};
pub use span::{Span, SpanError};
pub use steps::{ClockStep, ClockSteps};
