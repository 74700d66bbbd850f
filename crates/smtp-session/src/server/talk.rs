//! What a session has said and may say.

use std::fmt::Write as _;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use mail::{MessageId, Reply, Timestamp};
use smtp_codec::{Extension, ExtensionSet, write_reply};

use crate::server::bad_param::BadParam;
use crate::server::replies::{self, Ehlo, Line, Refusal};
use crate::server::settings::{Security, Settings};
use crate::server::step::{Reason, Step};

/// The replies on their way out, and the counts that limit a session whatever its state.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) settings: Arc<Settings>,
    security: Security,
    is_under_tls: bool,
    offers_xclient: bool,
    /// What the client called itself, by the words of a proxy.
    helo: Option<Box<str>>,
    /// The two clocks at one moment.
    clocks: Option<(Instant, Timestamp)>,
    /// When the command came that is being answered.
    pub(super) now: Instant,
    bad_commands: u32,
    transactions: u32,
    replies: BytesMut,
    logins: Logins,
}

/// Whether AUTH is known, and done. Each names the mechanisms that stand behind AUTH in EHLO's reply, perhaps none.
#[derive(Debug)]
enum Logins {
    NotTaken,
    Taken(Box<str>),
    Done(Box<str>),
}

impl Logins {
    fn mechanisms(&self) -> &str {
        match self {
            Self::NotTaken => "",
            Self::Taken(mechanisms) | Self::Done(mechanisms) => mechanisms,
        }
    }
}

/// Enough for most bursts.
const REPLIES_OCTETS_MIN: usize = 256;
/// So much is held for one `Send` at most, and one reply more.
const REPLIES_OCTETS_MAX: usize = 8 * 1024;

// A buffer that grows takes all, so the results of writing to it say nothing.
impl Talk {
    pub(super) fn new(settings: Arc<Settings>, security: Security, now: Instant) -> Self {
        Self {
            settings,
            security,
            is_under_tls: false,
            offers_xclient: false,
            helo: None,
            clocks: None,
            now,
            bad_commands: 0,
            transactions: 0,
            replies: BytesMut::new(),
            logins: Logins::NotTaken,
        }
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

    pub(super) fn say_bad_param(&mut self, bad: BadParam) {
        let out = room(&mut self.replies);
        replies::write_bad_param(out, bad, &self.settings.offers).unwrap_or_default();
        self.bad_commands = self.bad_commands.saturating_add(1);
    }

    pub(super) fn say_greeting(&mut self) {
        replies::write_greeting(room(&mut self.replies), &self.settings).unwrap_or_default();
    }

    pub(super) fn say_helo(&mut self) {
        replies::write_helo(room(&mut self.replies), &self.settings).unwrap_or_default();
    }

    pub(super) fn say_ehlo(&mut self) {
        let ehlo = Ehlo {
            settings: &self.settings,
            offered: self.announced(),
            offers_starttls: self.offers_starttls(),
            offers_xclient: self.offers_xclient,
            mechanisms: self.logins.mechanisms(),
            now: self.wall_clock(),
        };
        ehlo.write(room(&mut self.replies)).unwrap_or_default();
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

    /// The extensions that are offered now.
    pub(super) fn offered(&self) -> ExtensionSet {
        self.possible(self.settings.offers.extensions)
    }

    /// Those, and the ones that the client may have once it has logged in.
    pub(super) fn announced(&self) -> ExtensionSet {
        let offers = &self.settings.offers;
        let may_log_in = !self.is_logged_in() && !self.logins.mechanisms().is_empty();
        let later = if may_log_in { offers.extensions_by_login } else { ExtensionSet::default() };
        self.possible(offers.extensions.and(later))
    }

    /// Those of `extensions` that can be had in this session.
    fn possible(&self, extensions: ExtensionSet) -> ExtensionSet {
        let mut offered = extensions.with(Extension::Size);
        if !offered.has(Extension::Chunking) {
            offered = offered.without(Extension::BinaryMime);
        }
        if !self.is_under_tls {
            offered = offered.without(Extension::RequireTls);
        }
        if self.clocks.is_none() {
            offered = offered.without(Extension::FutureRelease).without(Extension::DeliverBy);
        }
        if self.is_logged_in() || !self.logins.mechanisms().is_empty() {
            offered = offered.with(Extension::Auth);
        }
        offered
    }

    /// Whether AUTH is known here.
    pub(super) const fn takes_logins(&self) -> bool {
        !matches!(self.logins, Logins::NotTaken)
    }

    /// Nobody is logged in.
    pub(super) fn offer_logins(&mut self, mechanisms: Box<str>) {
        self.logins = Logins::Taken(mechanisms);
    }

    pub(super) const fn is_logged_in(&self) -> bool {
        matches!(self.logins, Logins::Done(_))
    }

    pub(super) fn log_in(&mut self) {
        self.logins = Logins::Done(self.logins.mechanisms().into());
    }

    /// Says what the driver asks a client that logs in; a challenge is as long as it is.
    pub(super) fn say_challenge(&mut self, reply: &Reply) {
        let out = room(&mut self.replies);
        write!(out, "{} {}\r\n", reply.code(), reply.text()).unwrap_or_default();
    }

    /// Says what the driver said of a login that failed.
    pub(super) fn say_login_refused(&mut self, reply: &Reply) {
        self.say_reply(reply);
        self.bad_commands = self.bad_commands.saturating_add(1);
    }

    /// What the wall clock shows, if that is known.
    pub(super) fn wall_clock(&self) -> Timestamp {
        let (then, at) = self.clocks.unwrap_or((self.now, Timestamp::default()));
        at.plus(self.now.saturating_duration_since(then))
    }

    pub(super) const fn set_wall_clock(&mut self, at: Timestamp) {
        self.clocks = Some((self.now, at));
    }

    pub(super) const fn offers_starttls(&self) -> bool {
        self.security.offers_starttls && !self.is_under_tls
    }

    pub(super) const fn offer_xclient(&mut self) {
        self.offers_xclient = true;
    }

    pub(super) const fn offers_xclient(&self) -> bool {
        self.offers_xclient
    }

    /// What the client calls itself: the proxy that speaks for it knows better than its own EHLO.
    pub(super) fn helo(&self, said: &str) -> Box<str> {
        self.helo.as_deref().unwrap_or(said).into()
    }

    pub(super) fn set_helo(&mut self, helo: Box<str>) {
        self.helo = (!helo.is_empty()).then_some(helo);
    }

    pub(super) const fn lacks_tls(&self) -> bool {
        self.security.requires_tls && !self.is_under_tls
    }

    pub(super) const fn is_under_tls(&self) -> bool {
        self.is_under_tls
    }

    pub(super) const fn begin_under_tls(&mut self) {
        self.is_under_tls = true;
    }

    /// What was said in the clear is not said under TLS.
    pub(super) fn start_tls(&mut self) {
        self.is_under_tls = true;
        self.logins = Logins::NotTaken;
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
