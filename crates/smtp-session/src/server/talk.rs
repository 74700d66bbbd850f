//! What a session has said and may say.

use std::fmt::Write as _;
use std::mem;
use std::sync::Arc;

use bytes::BytesMut;
use mail::{MessageId, Reply};
use smtp_codec::write_reply;

use crate::server::replies::{self, Line, Refusal};
use crate::server::settings::{Security, Settings};
use crate::server::step::{Reason, Step};

/// The replies on their way out, and the counts that limit a session whatever its state.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) settings: Arc<Settings>,
    security: Security,
    is_under_tls: bool,
    bad_commands: u32,
    transactions: u32,
    replies: BytesMut,
}

/// Enough for most bursts.
const REPLIES_OCTETS_MIN: usize = 256;
/// So much is held for one `Send` at most, and one reply more.
const REPLIES_OCTETS_MAX: usize = 8 * 1024;

// A buffer that grows takes all, so the results of writing to it say nothing.
impl Talk {
    pub(super) fn new(settings: Arc<Settings>, security: Security) -> Self {
        let replies = BytesMut::new();
        Self { settings, security, is_under_tls: false, bad_commands: 0, transactions: 0, replies }
    }

    pub(super) fn say(&mut self, line: Line) {
        room(&mut self.replies).extend_from_slice(line.wire.as_bytes());
        self.bad_commands = self.bad_commands.saturating_add(u32::from(line.is_bad_command));
    }

    pub(super) fn say_reply(&mut self, reply: &Reply) {
        write_reply(room(&mut self.replies), reply);
    }

    pub(super) fn say_refusal(&mut self, refusal: Refusal) {
        refusal.write(room(&mut self.replies), &self.settings).unwrap_or_default();
    }

    pub(super) fn say_greeting(&mut self) {
        replies::write_greeting(room(&mut self.replies), &self.settings).unwrap_or_default();
    }

    pub(super) fn say_helo(&mut self) {
        replies::write_helo(room(&mut self.replies), &self.settings).unwrap_or_default();
    }

    pub(super) fn say_ehlo(&mut self) {
        let starttls = if self.offers_starttls() { replies::STARTTLS } else { "" };
        replies::write_ehlo(room(&mut self.replies), &self.settings, starttls).unwrap_or_default();
    }

    /// The 250 that takes responsibility (RFC 5321 §4.2.5). Bad commands before it are forgiven.
    pub(super) fn say_stored(&mut self, id: MessageId) {
        write!(room(&mut self.replies), "250 2.0.0 OK queued as {id}\r\n").unwrap_or_default();
        self.bad_commands = 0;
    }

    pub(super) fn say_farewell(&mut self, reason: Reason) {
        replies::write_farewell(room(&mut self.replies), &self.settings, reason)
            .unwrap_or_default();
    }

    /// What was said since the last time, if anything.
    pub(super) fn flush(&mut self) -> Option<Step> {
        // All of the buffer goes: a session that waits holds none.
        (!self.replies.is_empty()).then(|| Step::Send(mem::take(&mut self.replies).freeze()))
    }

    pub(super) fn is_full(&self) -> bool {
        self.replies.len() >= REPLIES_OCTETS_MAX
    }

    pub(super) fn has_too_many_bad_commands(&self) -> bool {
        self.bad_commands >= self.settings.bad_commands_max.max(1)
    }

    /// Counts a transaction; false if the session had its share.
    pub(super) fn begin_transaction(&mut self) -> bool {
        let is_allowed = self.transactions < self.settings.transactions_max;
        self.transactions = self.transactions.saturating_add(u32::from(is_allowed));
        is_allowed
    }

    pub(super) const fn offers_starttls(&self) -> bool {
        self.security.offers_starttls && !self.is_under_tls
    }

    pub(super) const fn lacks_tls(&self) -> bool {
        self.security.requires_tls && !self.is_under_tls
    }

    pub(super) const fn is_under_tls(&self) -> bool {
        self.is_under_tls
    }

    /// What was said in the clear is not said under TLS.
    pub(super) fn start_tls(&mut self) {
        self.is_under_tls = true;
        self.replies.clear();
    }
}

/// The buffer with room in it.
fn room(replies: &mut BytesMut) -> &mut BytesMut {
    if replies.capacity() == 0 {
        replies.reserve(REPLIES_OCTETS_MIN);
    }
    replies
}
