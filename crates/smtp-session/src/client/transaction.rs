//! One MAIL…dot as its driver sees it.

use std::time::Instant;

use bytes::Bytes;

use crate::client::extensions::Extensions;
use crate::client::outgoing::{Outgoing, Step, Timeouts};

/// One message going out on one connection.
#[derive(Debug)]
pub struct Transaction {
    outgoing: Outgoing,
    extensions: Extensions,
    timeouts: Timeouts,
    now: Instant,
}

impl Transaction {
    /// Begins a transaction; the first step sends MAIL, or ends it if the next hop cannot take the message.
    pub fn new(
        outgoing: Outgoing,
        extensions: Extensions,
        timeouts: Timeouts,
        now: Instant,
    ) -> Self {
        Self { outgoing, extensions, timeouts, now }
    }

    /// Takes what was read from the next hop.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        let _ = (bytes, now);
    }

    /// What to do next; none when only an event can move the transaction.
    pub fn next_step(&mut self) -> Option<Step> {
        None
    }

    /// Takes the next piece of content.
    pub fn body(&mut self, chunk: Bytes, now: Instant) {
        let _ = (chunk, now);
    }

    /// The content is complete.
    pub fn body_ended(&mut self, now: Instant) {
        let _ = now;
    }

    /// Ends the transaction if its [`deadline`](Self::deadline) has passed.
    pub fn expire(&mut self, now: Instant) {
        let _ = now;
    }

    /// When to call [`expire`](Self::expire).
    pub fn deadline(&self) -> Instant {
        let _ = (&self.outgoing, self.extensions);
        self.now + self.timeouts.mail
    }

    /// The connection is gone: the next hop closed it, or it broke.
    pub fn closed(&mut self, now: Instant) {
        let _ = now;
    }
}
