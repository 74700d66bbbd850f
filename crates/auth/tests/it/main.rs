//! Evaluation and signing against a DNS server on loopback.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

mod common;
mod dmarc;
mod doctor;
mod independent;
mod reception;
mod signing;
