//! The session as its driver sees it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mail::{Accepted, Reply};

use crate::server::settings::{Security, Settings};
use crate::server::step::{Step, Transaction, Verdict};

/// One connection's talk, from the greeting to the close.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    security: Security,
    now: Instant,
}

impl Session {
    /// Begins a session; the first step sends the greeting.
    pub fn new(settings: Arc<Settings>, security: Security, now: Instant) -> Self {
        Self { settings, security, now }
    }

    /// Begins a session whose greeting is `reply`.
    ///
    /// After a 421 it closes at once. After a 554 it answers 503 to all but QUIT, as RFC 5321 §3.1 wants.
    pub fn refused(settings: Arc<Settings>, reply: &Reply, now: Instant) -> Self {
        let _ = reply;
        Self { settings, security: Security::default(), now }
    }

    /// Takes what was read from the client. Empty bytes change nothing.
    pub fn receive(&mut self, bytes: Bytes, now: Instant) {
        let _ = (bytes, now);
    }

    /// Whether the driver should read: false while a question or a commit is open, at the handshake and at the end.
    pub fn wants_input(&self) -> bool {
        true
    }

    /// What to do next; none when only an event can move the session.
    pub fn next_step(&mut self) -> Option<Step> {
        None
    }

    /// Answers the open question; without one it changes nothing.
    pub fn decide(&mut self, verdict: Verdict, now: Instant) {
        let _ = (verdict, now);
    }

    /// The message is on the device: the one way to a 250 behind content.
    pub fn stored(&mut self, accepted: &Accepted, now: Instant) {
        let _ = (accepted, now);
    }

    /// The message was not stored: `reply`, a 4yz or 5yz, ends the transaction.
    ///
    /// May also be called while content still comes, when it cannot be written: the driver drops what it has, the
    /// session swallows the rest, and `reply` follows at the end of the content.
    pub fn not_stored(&mut self, reply: Reply, now: Instant) {
        let _ = (reply, now);
    }

    /// The handshake is done: all that was said before is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self, now: Instant) {
        let _ = now;
    }

    /// Ends the session with 421 if its [`deadline`](Self::deadline) has passed.
    pub fn expire(&mut self, now: Instant) {
        let _ = now;
    }

    /// When to call [`expire`](Self::expire).
    pub fn deadline(&self) -> Instant {
        self.now + self.settings.idle_wait_max
    }

    /// Ends the session with 421 4.3.2 as soon as no content is on its way.
    pub fn shut_down(&mut self, now: Instant) {
        let _ = (now, self.security);
    }

    /// The client will send no more. What came before is still answered.
    pub fn input_ended(&mut self, now: Instant) {
        let _ = now;
    }

    /// The open transaction, from MAIL to [`Step::Commit`].
    pub fn transaction(&self) -> Option<&Transaction> {
        None
    }
}
