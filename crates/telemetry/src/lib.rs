//! The metrics registry, through which each crate makes the handles of its own `metrics.rs`; words fit for a log.
//!
//! **Takes** a name, a sentence and labels from closed sets. **Gives** handles, the Prometheus text and
//! the list of families from which the reference page is made.
//! **Never** is global: `wire.rs` makes one registry and hands it down. Prometheus text format 0.0.4.

mod gauges;
mod registry;
mod words;

pub use gauges::Gauges;
pub use metrics::{Counter, Gauge, Histogram};
pub use registry::{Family, Kind, Registry};
pub use words::{Causes, garbles, shown};
