//! Quantities an operator writes, such as `25MiB` and `5d`, and the clock that services are handed.
//!
//! **Takes** text from the settings. **Gives** typed quantities that print as they are written.
//! **Never** reads a file; only [`Clock::system`] asks the machine for the time.
//! IEC 80000-13 for `KiB`, `MiB`, `GiB`.

mod byte_size;
mod clock;
mod span;

pub use byte_size::{ByteSize, ByteSizeError};
pub use clock::Clock;
pub use span::{Span, SpanError};
