//! The load test from outside, against relays of a few lines of Perl.

#[cfg(test)]
mod black_box;
