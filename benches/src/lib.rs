//! Measurements of the parts that a message's cost comes from.
//!
//! **Takes** nothing. **Gives** the cases that are measured, their inputs, and the comparison with accepted figures.
//! **Never** is part of the relay, holds a case that only one of the two programs can run unless its name says so.
//!
//! `timing.rs` times the cases, `instructions.rs` counts their instructions. docs/benchmarks.md says how to run both.

pub mod case;
pub mod cases;
pub mod inputs;

pub mod baseline;
